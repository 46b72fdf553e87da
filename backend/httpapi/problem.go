package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// problem is an error as the client sees it (RFC 9457). The type is
// "about:blank" throughout: the status says it all, and the detail says the
// rest to people.
type problem struct {
	Type   string                `json:"type"`
	Title  string                `json:"title"`
	Status int                   `json:"status"`
	Detail string                `json:"detail,omitempty"`
	Errors []petstore.FieldError `json:"errors,omitempty"`

	retryAfter int // seconds; 0 sends no header
	cause      error
}

func (p *problem) Error() string {
	if p.cause != nil {
		return p.cause.Error()
	}
	return p.Title + ": " + p.Detail
}

func (p *problem) Unwrap() error { return p.cause }

func newProblem(status int, detail string) *problem {
	return &problem{Status: status, Detail: detail}
}

// badField is a 400 that names one field.
func badField(field, expected string) *problem {
	return &problem{Status: http.StatusBadRequest, Detail: "the request is not valid",
		Errors: []petstore.FieldError{{Field: field, Problem: expected}}}
}

// problemOf is the one table from errors to statuses. Internal text never
// leaves: the detail is a constant for whatever the client did not cause.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	p = newProblem(http.StatusInternalServerError, "the request could not be completed")
	var invalid *petstore.Invalid
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &invalid):
		p = &problem{Status: http.StatusBadRequest, Detail: "the request is not valid", Errors: invalid.Fields}
	case errors.As(err, &tooLarge):
		p = newProblem(http.StatusRequestEntityTooLarge, "the body is larger than "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes")
	case errors.Is(err, identity.ErrUnverified):
		p = newProblem(http.StatusUnauthorized, "a verified tenant identity is required")
	case errors.Is(err, petstore.ErrNotFound):
		p = newProblem(http.StatusNotFound, "no such pet")
	case errors.Is(err, petstore.ErrNoTenant), errors.Is(err, tenant.ErrNotFound), errors.Is(err, tenant.ErrInactive):
		p = newProblem(http.StatusNotFound, "no such tenant")
	case errors.Is(err, petstore.ErrExists):
		p = newProblem(http.StatusConflict, "a pet of this id or microchip exists already")
	case errors.Is(err, control.ErrNoHost):
		p = newProblem(http.StatusNotFound, "no such host")
	case errors.Is(err, control.ErrTaken):
		p = newProblem(http.StatusConflict, "the name, or one that looks like it, is taken")
	case errors.Is(err, control.ErrKeyReused):
		p = newProblem(http.StatusUnprocessableEntity, "the idempotency key was used for another request")
	case errors.Is(err, control.ErrBusy):
		p = newProblem(http.StatusConflict, "the tenant is being worked on; try again in a moment")
		p.retryAfter = 2
	case errors.Is(err, control.ErrNoCredential):
		p = newProblem(http.StatusNotFound, "no such key or revocation")
	case errors.Is(err, control.ErrNoKey):
		p = newProblem(http.StatusNotFound, "no such configuration key")
	case errors.Is(err, control.ErrDiffers):
		p = newProblem(http.StatusInternalServerError, "the copy differs from the original; nothing was changed")
	case errors.Is(err, control.ErrState):
		p = newProblem(http.StatusConflict, "the tenant's present state does not allow that")
	case errors.Is(err, petstore.ErrBehind):
		p = newProblem(http.StatusServiceUnavailable, "the tenant's data is being upgraded")
		p.retryAfter = 10
	case errors.Is(err, petstore.ErrFrozen):
		p = newProblem(http.StatusServiceUnavailable, "the tenant's data is being moved and cannot be changed for a moment")
		p.retryAfter = 5
	case errors.Is(err, petstore.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		p = newProblem(http.StatusServiceUnavailable, "the storage does not answer at the moment")
		p.retryAfter = 2
	case errors.Is(err, context.Canceled):
		p = newProblem(499, "the client went away")
	}
	p.cause = err
	return p
}

// writeProblem sends p. Its bytes depend on nothing but p, so that two causes
// with one answer cannot be told apart.
func writeProblem(w http.ResponseWriter, p *problem) {
	p.Type = "about:blank"
	if p.Title = http.StatusText(p.Status); p.Title == "" {
		p.Title = "Client Closed Request"
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", `Bearer realm="petstore"`) // RFC 9110, section 15.5.2
	}
	body, _ := json.Marshal(p) // strings and numbers always marshal
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

// writeJSON sends a value that always marshals.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
