package control

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/backend/sqldb"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Actor is who does something, for the audit log.
type Actor struct {
	Name      string // such as "operator" or "cli root"
	RequestID string
}

type actorKey struct{}

// WithActor returns a context whose actions are recorded as the actor's.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

func actorOf(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return Actor{Name: "system"}
}

// Event is one action on a tenant.
type Event struct {
	At        time.Time       `json:"at"`
	Actor     string          `json:"actor"`
	RequestID string          `json:"request_id,omitempty"`
	Action    string          `json:"action"`
	Tenant    string          `json:"tenant"`
	Before    json.RawMessage `json:"before,omitempty"`
	After     json.RawMessage `json:"after,omitempty"`
}

// record writes an event in the transaction of the action itself: there is no
// action without its event, and no event of an action that was rolled back.
// before and after are marshalled; nil is nothing.
func (c *Catalog) record(ctx context.Context, tx sqldb.Conn, action string, slug tenant.Slug, before, after any) error {
	actor := actorOf(ctx)
	now := c.now().UTC()
	texts := [2]string{}
	for i, v := range []any{before, after} {
		if v == nil {
			continue
		}
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("recording %q: %w", action, err)
		}
		texts[i] = string(b)
	}
	return sqldb.Exec(ctx, tx, `INSERT INTO admin_audit (id, at, actor, request_id, action, slug, before, after)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		petstore.NewID(now), now.UnixMicro(), actor.Name, actor.RequestID, action, slug.String(), texts[0], texts[1])
}

// Events returns a tenant's latest events, the newest first.
func (c *Catalog) Events(ctx context.Context, slug tenant.Slug, limit int) (events []Event, err error) {
	err = c.db.View(ctx, func(tx sqldb.Conn) (err error) {
		events, err = sqldb.All(ctx, tx, scanEvent, `SELECT at, actor, request_id, action, slug, before, after FROM admin_audit
			WHERE slug = $1 ORDER BY at DESC, id DESC LIMIT $2`, slug.String(), limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the events of tenant %q: %w", slug, err)
	}
	return events, nil
}

func scanEvent(scan sqldb.Scan) (e Event, err error) {
	var at int64
	var before, after string
	err = scan(&at, &e.Actor, &e.RequestID, &e.Action, &e.Tenant, &before, &after)
	e.At, e.Before, e.After = sqldb.Time(at), json.RawMessage(before), json.RawMessage(after)
	return e, err
}

// auditView is a tenant as events show it.
type auditView struct {
	Name      string   `json:"name"`
	Plan      string   `json:"plan"`
	Status    string   `json:"status"`
	Limits    string   `json:"limits,omitempty"`
	Isolation string   `json:"isolation"`
	Hosts     []string `json:"hosts,omitempty"`
	Upstreams []string `json:"upstreams,omitempty"`
	Issuer    Issuer   `json:"issuer,omitzero"`
}

func viewOf(t Tenant) auditView {
	return auditView{t.Name, string(t.Plan), t.Status.String(), t.Limits, string(t.Isolation), t.Hosts, t.Upstreams, IssuerOf(t)}
}
