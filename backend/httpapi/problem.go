package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Problem is an error as the client sees it (RFC 9457). The type is
// "about:blank" throughout: the status says it all, and the detail says the
// rest to people.
type Problem struct {
	Type   string                `json:"type"`
	Title  string                `json:"title"`
	Status int                   `json:"status"`
	Detail string                `json:"detail,omitempty"`
	Errors []petstore.FieldError `json:"errors,omitempty"`

	retryAfter int // seconds; 0 sends no header
	cause      error
}

// Error implements error.
func (p *Problem) Error() string {
	if p.cause != nil {
		return p.cause.Error()
	}
	return strconv.Itoa(p.Status) + ": " + p.Detail
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.cause }

// NewProblem is a problem without a cause.
func NewProblem(status int, detail string) *Problem { return &Problem{Status: status, Detail: detail} }

// Because keeps the cause for the log.
func (p *Problem) Because(err error) *Problem {
	p.cause = err
	return p
}

// BadField is a 400 that names one field.
func BadField(field, expected string) *Problem {
	return badFields([]petstore.FieldError{{Field: field, Problem: expected}})
}

func badFields(list []petstore.FieldError) *Problem {
	return &Problem{Status: http.StatusBadRequest, Detail: "the request is not valid", Errors: list}
}

// Answer is what a client is told for an error.
type Answer struct {
	Err        error
	Status     int
	Detail     string
	RetryAfter int // seconds; 0 sends no header
}

// answers are those of the pet store.
func answers() []Answer {
	return []Answer{
		{identity.ErrUnverified, http.StatusUnauthorized, "a verified tenant identity is required", 0},
		{petstore.ErrNotFound, http.StatusNotFound, "no such pet", 0},
		{petstore.ErrNoTenant, http.StatusNotFound, "no such tenant", 0},
		{tenant.ErrNotFound, http.StatusNotFound, "no such tenant", 0},
		{tenant.ErrInactive, http.StatusNotFound, "no such tenant", 0},
		{petstore.ErrExists, http.StatusConflict, "a pet of this id or microchip exists already", 0},
		{petstore.ErrBehind, http.StatusServiceUnavailable, "the tenant's data is being upgraded", 10},
		{petstore.ErrFrozen, http.StatusServiceUnavailable, "the tenant's data is being moved and cannot be changed for a moment", 5},
		{petstore.ErrUnavailable, http.StatusServiceUnavailable, "the storage does not answer at the moment", 2},
		{context.DeadlineExceeded, http.StatusServiceUnavailable, "the storage does not answer at the moment", 2},
		{context.Canceled, 499, "the client went away", 0},
	}
}

// AddAnswers says what clients are told for further errors. They go before
// those of the pet store.
func (a *API) AddAnswers(list []Answer) { a.answers = append(list, a.answers...) }

// problemOf is the one way from errors to statuses. Internal text never leaves:
// the detail is a constant for whatever the client did not cause.
func problemOf(err error, list []Answer) *Problem {
	var p *Problem
	var invalid *petstore.Invalid
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &invalid):
		p = badFields(invalid.Fields)
	case errors.As(err, &tooLarge):
		p = NewProblem(http.StatusRequestEntityTooLarge, "the body is larger than "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes")
	default:
		p = NewProblem(http.StatusInternalServerError, "the request could not be completed")
		for _, answer := range list {
			if errors.Is(err, answer.Err) {
				p = &Problem{Status: answer.Status, Detail: answer.Detail, retryAfter: answer.RetryAfter}
				break
			}
		}
	}
	p.cause = err
	return p
}

// writeProblem sends p. Its bytes depend on nothing but p, so that two causes
// with one answer cannot be told apart.
func writeProblem(w http.ResponseWriter, p *Problem) {
	p.Type = "about:blank"
	if p.Title = http.StatusText(p.Status); p.Title == "" {
		p.Title = "Client Closed Request"
	}
	h := w.Header()
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", `Bearer realm="petstore"`) // RFC 9110, section 15.5.2
	}
	body, _ := json.Marshal(p) // strings and numbers always marshal
	send(w, p.Status, "application/problem+json", body)
}

// WriteJSON sends a value.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err == nil {
		send(w, status, "application/json", body)
	}
	return err
}

func send(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}
