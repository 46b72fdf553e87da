package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Access is an attempt to cross from one tenant to another, or some of them, as
// a gateway recorded it. Its values may come from an attacker; the tenants need
// not exist.
type Access struct {
	// ID is the gateway's, made once: what comes again has it again.
	ID string `json:"id"`
	// At is when it happened, Last when the last of Count did; zero for one.
	At         time.Time `json:"time"`
	Last       time.Time `json:"last,omitzero"`
	Type       string    `json:"type"`
	Reason     string    `json:"reason,omitempty"`
	Tenant     string    `json:"tenant,omitempty"`      // that was asked for
	UserTenant string    `json:"user_tenant,omitempty"` // whose credential it was
	User       string    `json:"user,omitempty"`
	Claimed    []string  `json:"claimed,omitempty"` // SOURCE=SLUG each
	Method     string    `json:"method,omitempty"`
	Host       string    `json:"host,omitempty"`
	Path       string    `json:"path,omitempty"`
	ClientIP   string    `json:"client_ip,omitempty"`
	RequestID  string    `json:"request_id,omitempty"`
	Count      int64     `json:"count"`
	// ReceivedAt is set by SaveAccess.
	ReceivedAt time.Time `json:"received_at"`
}

// Bounds of a record. A gateway cuts values at 256 bytes, says how long they
// were, and sends three bytes for each that was no UTF-8: what it sends must
// fit, or it would be sent for ever.
const (
	maxAccessValue = 1024
	maxAccessID    = 128
	maxClaimed     = 16
	maxCount       = 1<<53 - 1
	// MaxAccess is the largest number of records that SaveAccess takes.
	MaxAccess = 1000
)

// texts are the record's values that anybody may have chosen.
func (a *Access) texts() []*string {
	list := []*string{&a.Type, &a.Reason, &a.Tenant, &a.UserTenant, &a.User, &a.Method, &a.Host, &a.Path, &a.ClientIP, &a.RequestID}
	for i := range a.Claimed {
		list = append(list, &a.Claimed[i])
	}
	return list
}

func (a *Access) check(bad *petstore.Invalid, name string) {
	if n := len(a.ID); n == 0 || n > maxAccessID || strings.ContainsFunc(a.ID, func(c rune) bool { return c <= ' ' || c > '~' }) {
		bad.Add(name+".id", "expected 1 to %d visible ASCII characters", maxAccessID)
	}
	if a.At.UnixMicro() <= 0 || a.At.Year() > 9999 {
		bad.Add(name+".time", "expected a time after 1970")
	}
	if !a.Last.IsZero() && (a.Last.UnixMicro() <= 0 || a.Last.Year() > 9999) {
		bad.Add(name+".last", "expected a time after 1970")
	}
	if a.Type == "" {
		bad.Add(name+".type", "expected a word")
	}
	if a.Count < 1 || a.Count > maxCount {
		bad.Add(name+".count", "expected a number from 1 to 2^53-1")
	}
	if len(a.Claimed) > maxClaimed {
		bad.Add(name+".claimed", "expected at most %d", maxClaimed)
	}
	for _, s := range a.texts() {
		if len(*s) > maxAccessValue {
			bad.Add(name, "expected values of at most %d bytes", maxAccessValue)
			break
		}
	}
}

// named are the slugs that the record names.
func (a *Access) named() string {
	list := []string{a.Tenant, a.UserTenant}
	for _, claim := range a.Claimed {
		_, slug, _ := strings.Cut(claim, "=")
		list = append(list, slug)
	}
	var slugs []string
	for _, s := range list {
		if slug, err := tenant.ParseSlug(s); err == nil && !slices.Contains(slugs, slug.String()) {
			slugs = append(slugs, slug.String())
		}
	}
	if len(slugs) == 0 {
		return ""
	}
	return " " + strings.Join(slugs, " ") + " "
}

const accessColumns = `id, at, last_at, received_at, type, reason, tenant, user_tenant, user_name, claimed, method, host, path, client_ip, request_id, events`

// accessBatch is how many rows one statement inserts. More save round trips to
// Postgres; on SQLite the work of binding grows with the square of the values:
// with a hundred rows it was five times that of eight, row by row.
const accessBatch = 8

// SaveAccess adds records, all or none, and returns how many were new: those
// that are there already are left as they are. Now and then it also trims the
// table, see [Catalog.TrimAccess]. Errors: [*petstore.Invalid].
func (c *Catalog) SaveAccess(ctx context.Context, records []Access) (added int, err error) {
	var bad petstore.Invalid
	if len(records) > MaxAccess {
		bad.Add("records", "expected at most %d", MaxAccess)
		return 0, bad.Err()
	}
	for i := range records {
		records[i].check(&bad, fmt.Sprintf("records[%d]", i))
	}
	if err := bad.Err(); err != nil {
		return 0, err
	}
	now := c.now()
	err = c.write(ctx, func(tx sqldb.Conn) error {
		added = 0
		for batch := range slices.Chunk(records, accessBatch) {
			n, err := insertAccess(ctx, tx, batch, now)
			if err != nil {
				return err
			}
			added += n
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("saving access records: %w", err)
	}
	if c.accessAdded.Add(int64(added)) >= trimEvery {
		c.accessAdded.Store(0)
		if _, err := c.TrimAccess(ctx); err != nil {
			return added, err
		}
	}
	return added, nil
}

func insertAccess(ctx context.Context, tx sqldb.Conn, records []Access, now time.Time) (int, error) {
	var values strings.Builder
	var args []any
	for i := range records {
		a := &records[i]
		for _, s := range a.texts() {
			*s = strings.ReplaceAll(*s, "\x00", "\ufffd") // Postgres cannot keep it
		}
		claimed := ""
		if len(a.Claimed) > 0 {
			b, err := json.Marshal(a.Claimed)
			if err != nil {
				return 0, err
			}
			claimed = string(b)
		}
		row := []any{
			a.ID, a.At.UnixMicro(), sqldb.Micros(a.Last), now.UnixMicro(), a.Type, a.Reason, a.Tenant, a.UserTenant, a.User, claimed,
			a.Method, a.Host, a.Path, a.ClientIP, a.RequestID, a.Count, a.named(),
		}
		separator := "("
		if i > 0 {
			separator = ", ("
		}
		for range row {
			args = append(args, nil)
			fmt.Fprintf(&values, "%s$%d", separator, len(args))
			separator = ", "
		}
		copy(args[len(args)-len(row):], row)
		values.WriteByte(')')
	}
	n, err := sqldb.Affected(ctx, tx, `INSERT INTO access_audit (`+accessColumns+`, tenants) VALUES `+values.String()+` ON CONFLICT (id) DO NOTHING`, args...)
	return int(n), err
}
