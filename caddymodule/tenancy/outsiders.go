package tenancy

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/resolve"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/attempts"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenancy/problem"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// guard is what a server's tenant_auth ask of callers. Who asks for a name of nobody is
// answered as if it were a customer's, or the answer would tell who is one.
type guard struct {
	required bool // some of them let nobody pass without a credential
	keys     bool
	tokens   []*auth.Verifier
}

// Guard is said by who verifies callers, in its Provision: whether a credential is
// required, and whether API keys are read; v verifies tokens and may be nil.
func (a *App) Guard(ctx caddy.Context, required, keys bool, v *auth.Verifier) {
	srv, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	g := a.guards[srv]
	if g == nil {
		g = new(guard)
		a.guards[srv] = g
	}
	g.required, g.keys = g.required || required, g.keys || keys
	a.takesKeys = a.takesKeys || keys
	if v != nil {
		g.tokens = append(g.tokens, v)
	}
}

// AnswerOutsider answers a request that was refused for that cause, without telling
// more of the tenants than the caller may know: to whom has no good credential, all
// names look like a customer's; to whom has one, all that are not theirs like nobody's.
// Only a member of a suspended tenant is told that it is.
//
// A token is verified on every refusal that carries one, whatever the cause: the time
// that takes must not tell a suspended tenant from an unknown one.
func (a *App) AnswerOutsider(w http.ResponseWriter, r *http.Request, q *Request, claims []resolve.Claim, cause error) error {
	srv, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	g := a.guards[srv]
	if g == nil {
		return q.answerName(w, r, claims, cause)
	}
	now := time.Now()
	users, byKey, err := a.verifyOutsider(g, r, now)
	switch {
	case errors.Is(err, auth.ErrNoToken) && !g.required:
		return q.answerName(w, r, claims, cause)
	case err != nil:
		return q.AnswerToken(w, r, err)
	}
	for _, c := range claims {
		if !errors.Is(cause, tenant.ErrInactive) || c.Tenant == nil || c.Tenant.Status != tenant.Suspended {
			continue
		}
		for i := range users {
			// The users of a tenant's own issuer are verified for its requests only.
			if users[i].BelongsTo(c.Slug) && (c.Tenant.Issuer == "" || byKey) {
				a.Record(r, audit.Event{Type: audit.TypeSuspended, Reason: "suspended", Tenant: c.Slug.String(), User: users[i].Subject})
				return problem.Suspended.Answer(w, r)
			}
		}
	}
	return q.answerName(w, r, claims, cause)
}

// verifyOutsider returns whose credential a request carries, by each of the verifiers
// that take it, and whether it is an API key.
func (a *App) verifyOutsider(g *guard, r *http.Request, now time.Time) (users []auth.Principal, byKey bool, err error) {
	read := auth.BearerToken
	if g.keys {
		read = auth.Credential
	}
	token, err := read(r.Header, r.URL.RawQuery)
	if err != nil {
		return nil, false, err
	}
	credentials, err := a.Credentials()
	if err != nil {
		return nil, false, err
	}
	if g.keys && auth.IsAPIKey(token) {
		user, err := VerifyKey(credentials, token, now)
		return []auth.Principal{user}, true, err
	}
	err = fmt.Errorf("%w: no verifier", auth.ErrBadToken)
	for _, v := range g.tokens {
		user, failed := v.Verify(r.Context(), token, now)
		if failed == nil {
			users = append(users, user)
		}
		err = failed
	}
	if len(users) > 0 {
		return users, false, nil
	}
	return nil, false, err
}

// answerName is the common answer to a name of nobody. Many names count as guessing at
// them, and each one for itself: who asks for one that is gone, or suspended, again and
// again is stopped there and not elsewhere.
func (q *Request) answerName(w http.ResponseWriter, r *http.Request, claims []resolve.Claim, cause error) error {
	now, counter := time.Now(), q.app.attempts.Get()
	if len(claims) == 0 {
		counter.Failed(q.client, now)
	}
	for _, c := range claims {
		first, wait, tooMany := counter.FailedAt(q.client, c.Slug.String(), now)
		if tooMany {
			return AnswerAttempts(w, r, wait)
		}
		if first && (c.Tenant == nil || !errors.Is(cause, tenant.ErrInactive)) {
			counter.Failed(q.client, now)
		}
	}
	return problem.NoTenant.Answer(w, r)
}

// AnswerToken answers a request without a good credential, whomever it is for. One that
// was good once is counted for its tenant's name: it guesses at nothing.
func (q *Request) AnswerToken(w http.ResponseWriter, r *http.Request, err error) error {
	now, counter := time.Now(), q.app.attempts.Get()
	switch {
	case errors.Is(err, auth.ErrNoKeys):
		return problem.Starting.Answer(w, r)
	case errors.Is(err, auth.ErrNoToken):
		w.Header()["Www-Authenticate"] = []string{"Bearer"}
		return problem.Token.Answer(w, r)
	case auth.Genuine(err):
		if _, wait, tooMany := counter.FailedAt(q.client, q.String(), now); tooMany {
			return AnswerAttempts(w, r, wait)
		}
	default:
		counter.Failed(q.client, now)
	}
	w.Header()["Www-Authenticate"] = []string{`Bearer error="invalid_token"`} // RFC 6750, section 3.1
	return problem.Token.Answer(w, r)
}

// AnswerForeign answers a member of another tenant like anybody who asks for a tenant
// that does not exist, unless it is told instead.
func (q *Request) AnswerForeign(w http.ResponseWriter, r *http.Request, instead *problem.Problem) error {
	now, counter := time.Now(), q.app.attempts.Get()
	first, wait, tooMany := counter.FailedAt(q.client, q.String(), now)
	switch {
	case tooMany:
		return AnswerAttempts(w, r, wait)
	case first:
		counter.Failed(q.client, now)
	}
	return instead.Answer(w, r)
}

// defaultGuesses is how many failed attempts a client has if nothing is configured.
const defaultGuesses = "300/1m"

// openAttempts finds or makes the counter of failed attempts.
func (a *App) openAttempts() error {
	if a.Guesses == "" {
		a.Guesses = defaultGuesses
	}
	most, err := attempts.Parse("guesses", a.Guesses)
	if err != nil {
		return fmt.Errorf("tenancy: %w", err)
	}
	a.attempts, err = attempts.Hold("requests", most)
	return err
}

// TooManyAttempts reports whether the request's client has too many failed attempts, and
// for how long.
func (q *Request) TooManyAttempts(now time.Time) (wait time.Duration, tooMany bool) {
	return q.app.attempts.Get().TooMany(q.client, now)
}

// AnswerAttempts answers who has too many failed attempts.
func AnswerAttempts(w http.ResponseWriter, r *http.Request, wait time.Duration) error {
	w.Header()["Retry-After"] = []string{strconv.Itoa(int((wait + time.Second - 1) / time.Second))}
	return problem.Abuse.Answer(w, r)
}
