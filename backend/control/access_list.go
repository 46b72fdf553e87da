package control

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// How much of the access records is kept, unless [Options] say otherwise.
const (
	DefaultAccessKeep = 100_000
	DefaultAccessAge  = 90 * 24 * time.Hour
)

// trimEvery is how many new records have the table trimmed at once, so that a
// flood cannot outrun the background.
const trimEvery = 1000

// AccessQuery selects records. Zero values select all.
type AccessQuery struct {
	// Tenant is named by the record: it was asked for, claimed, or is the
	// credential's.
	Tenant tenant.Slug
	Type   string
	// Since is the first time that is selected, Before the first that is not
	// any more.
	Since, Before time.Time
	// After is the cursor that came with the page before.
	After string
	Limit int
}

// ListAccess returns records, the newest first, and the cursor of the next page
// if there is one. Errors: [*petstore.Invalid].
//
// A query for a tenant or a type reads the table in the order of time until the
// page is full; how long it can get is bounded.
func (c *Catalog) ListAccess(ctx context.Context, q AccessQuery) (list []Access, next string, err error) {
	text, args, err := q.statement()
	if err != nil {
		return nil, "", err
	}
	err = c.db.View(ctx, func(tx sqldb.Conn) (err error) {
		list, err = sqldb.All(ctx, tx, scanAccess, text, args...)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("listing access records: %w", err)
	}
	if len(list) > q.Limit {
		list = list[:q.Limit]
		last := list[q.Limit-1]
		next = strconv.FormatInt(last.At.UnixMicro(), 10) + "." + last.ID
	}
	return list, next, nil
}

// statement selects one record more than asked for, which shows that there is a
// next page.
func (q AccessQuery) statement() (text string, args []any, err error) {
	text = `SELECT ` + accessColumns + ` FROM access_audit WHERE 1 = 1`
	// and adds a condition in which each %d stands for one value.
	and := func(condition string, values ...any) {
		places := make([]any, len(values))
		for i, v := range values {
			args = append(args, v)
			places[i] = len(args)
		}
		text += fmt.Sprintf(` AND `+condition, places...)
	}
	if !q.Tenant.IsZero() {
		and(`tenants LIKE $%d`, "% "+q.Tenant.String()+" %") // no slug has a wildcard in it
	}
	if q.Type != "" {
		and(`type = $%d`, q.Type)
	}
	if !q.Since.IsZero() {
		and(`at >= $%d`, q.Since.UnixMicro())
	}
	if !q.Before.IsZero() {
		and(`at < $%d`, q.Before.UnixMicro())
	}
	if q.After != "" {
		at, id, ok := parseAccessCursor(q.After)
		if !ok {
			return "", nil, petstore.InvalidField("after", "expected next_after of the page before")
		}
		and(`(at, id) < ($%d, $%d)`, at, id)
	}
	args = append(args, q.Limit+1)
	return text + fmt.Sprintf(` ORDER BY at DESC, id DESC LIMIT $%d`, len(args)), args, nil
}

func parseAccessCursor(s string) (at int64, id string, ok bool) {
	digits, id, ok := strings.Cut(s, ".")
	at, err := strconv.ParseInt(digits, 10, 64)
	return at, id, ok && err == nil && id != "" && len(id) <= maxAccessID && isPrint(id)
}

func scanAccess(scan sqldb.Scan) (a Access, err error) {
	var at, last, received int64
	var claimed string
	err = scan(&a.ID, &at, &last, &received, &a.Type, &a.Reason, &a.Tenant, &a.UserTenant, &a.User, &claimed,
		&a.Method, &a.Host, &a.Path, &a.ClientIP, &a.RequestID, &a.Count)
	if err != nil {
		return a, err
	}
	a.At, a.Last, a.ReceivedAt = sqldb.Time(at), sqldb.Time(last), sqldb.Time(received)
	if claimed != "" {
		if err := json.Unmarshal([]byte(claimed), &a.Claimed); err != nil {
			return a, fmt.Errorf("reading access record %q: %w", a.ID, err)
		}
	}
	return a, nil
}

// TrimAccess deletes the records that are too old, and the oldest of too many,
// and returns how many those were. What operators did is not touched.
func (c *Catalog) TrimAccess(ctx context.Context) (deleted int, err error) {
	at, id := c.now().Add(-c.accessAge).UnixMicro(), ""
	var more bool
	err = c.db.View(ctx, func(tx sqldb.Conn) error {
		var lastAt int64
		var lastID string
		err := tx.QueryRowContext(ctx, `SELECT at, id FROM access_audit ORDER BY at DESC, id DESC LIMIT 1 OFFSET $1`, c.accessKeep).Scan(&lastAt, &lastID)
		switch {
		case err == nil && lastAt >= at:
			at, id, more = lastAt, lastID, true
			return nil
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return err
		}
		// Most rounds find nothing, and need no lock to see it.
		return tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM access_audit WHERE at < $1)`, at).Scan(&more)
	})
	if err == nil && more {
		err = c.write(ctx, func(tx sqldb.Conn) error {
			n, err := sqldb.Affected(ctx, tx, `DELETE FROM access_audit WHERE (at, id) <= ($1, $2)`, at, id)
			deleted = int(n)
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("trimming access records: %w", err)
	}
	return deleted, nil
}
