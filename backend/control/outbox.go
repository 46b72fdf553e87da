package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
)

// Mail is one message.
type Mail struct {
	ID      string // stays the same when sending is tried again
	To      string
	Subject string
	Body    string // plain text
	Created time.Time
}

// Sender sends mail. A mail that it accepted is not given to it again, except
// when the process dies between the sending and its record: then the same ID
// comes once more, so that a receiver can tell.
type Sender interface {
	Send(ctx context.Context, m Mail) error
}

// welcome puts the welcome mail into the outbox, once for a tenant. Without an
// address there is nobody to welcome.
func (c *Catalog) welcome(ctx context.Context, o onboarding) error {
	if o.adminEmail == "" {
		return nil
	}
	token, err := c.setupToken(ctx, o.ID)
	if err != nil {
		return err
	}
	site := ""
	if c.siteURL != nil {
		site = c.siteURL(o.Slug)
	}
	body := strings.Join([]string{
		"Welcome, " + o.Name + "!", "",
		"Your pet store is ready at " + site + "/", "",
		"Your one-time token is", "", "    " + token, "",
		"Exchange it within seven days, once, by POST " + site + "/api/token.", "",
	}, "\n")
	now := c.now()
	return c.write(ctx, func(tx sqldb.Conn) error {
		return sqldb.Exec(ctx, tx, `INSERT INTO outbox (id, slug, kind, recipient, subject, body, created_at, next_at)
			VALUES ($1, $2, 'welcome', $3, $4, $5, $6, $6) ON CONFLICT (slug, kind) DO NOTHING`,
			petstore.NewID(now), o.Slug.String(), o.adminEmail, "Welcome to your pet store", body, now.UnixMicro())
	})
}

// Retries of a mail: 1 s, 2 s, 4 s, ... up to an hour apart.
const (
	firstRetry = time.Second
	lastRetry  = time.Hour
	mailBatch  = 20
)

// Deliver sends the mail that is due and returns how much it sent. A mail is
// taken by one process at a time, by moving its next attempt on before it is
// sent; one that fails is tried again later. After success its text, which
// holds a secret, is forgotten.
func (c *Catalog) Deliver(ctx context.Context, to Sender) (sent int, err error) {
	for range mailBatch {
		m, attempts, found, takeErr := c.takeMail(ctx)
		if takeErr != nil || !found {
			return sent, errors.Join(err, takeErr)
		}
		sendErr := to.Send(ctx, m)
		recordErr := c.write(ctx, func(tx sqldb.Conn) error {
			if sendErr == nil {
				return sqldb.Exec(ctx, tx, `UPDATE outbox SET sent_at = $2, body = '', failure = '' WHERE id = $1`, m.ID, c.now().UnixMicro())
			}
			wait := min(lastRetry, firstRetry<<min(attempts, 20))
			text := sendErr.Error()
			return sqldb.Exec(ctx, tx, `UPDATE outbox SET failure = $2, next_at = $3 WHERE id = $1`,
				m.ID, text[:min(len(text), 500)], c.now().Add(wait).UnixMicro())
		})
		if sendErr == nil {
			sent++
		} else {
			err = errors.Join(err, fmt.Errorf("sending mail %q: %w", m.ID, sendErr))
		}
		if recordErr != nil {
			return sent, errors.Join(err, recordErr)
		}
	}
	return sent, err
}

// takeLease is how long one process may take to send a mail before another
// tries.
const takeLease = 2 * time.Minute

func (c *Catalog) takeMail(ctx context.Context) (m Mail, attempts int, found bool, err error) {
	err = c.write(ctx, func(tx sqldb.Conn) error {
		now := c.now()
		return sqldb.Each(ctx, tx, func(scan sqldb.Scan) error {
			var created int64
			err := scan(&m.ID, &m.To, &m.Subject, &m.Body, &created, &attempts)
			m.Created, found = sqldb.Time(created), true
			return err
		}, `UPDATE outbox SET attempts = attempts + 1, next_at = $2
			WHERE id = (SELECT id FROM outbox WHERE sent_at = 0 AND next_at <= $1 ORDER BY next_at, id LIMIT 1) AND sent_at = 0 AND next_at <= $1
			RETURNING id, recipient, subject, body, created_at, attempts`, now.UnixMicro(), now.Add(takeLease).UnixMicro())
	})
	if err != nil {
		return m, 0, false, fmt.Errorf("taking mail from the outbox: %w", err)
	}
	return m, attempts, found, nil
}
