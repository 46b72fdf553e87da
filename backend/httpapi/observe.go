package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// observation is what log and metrics learn about a request on its way.
type observation struct {
	route  string
	tenant string // of a verified identity only
	err    *Problem
}

type observationKey struct{}

// observed returns the request's observation. Outside of observe it returns
// one that nobody reads.
func observed(ctx context.Context) *observation {
	if o, ok := ctx.Value(observationKey{}).(*observation); ok {
		return o
	}
	return &observation{}
}

// observe counts and logs every request and keeps a panic from ending the
// program.
func (a *API) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := a.Now()
		seen := &observation{route: "/"}
		id := requestID(r)
		w.Header().Set("X-Request-ID", id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		rec := &recorder{ResponseWriter: w}
		defer func() {
			v := recover()
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v) // the handler means to break the connection off
			}
			if v != nil {
				a.Log.Error("handler panicked", "request_id", id, "panic", v, "stack", string(debug.Stack()))
				if rec.status == 0 {
					writeProblem(rec, NewProblem(http.StatusInternalServerError, "the request could not be completed"))
				}
			}
			took := a.Now().Sub(start)
			a.metrics.observe(seen, r.Method, rec.code(), took)
			a.logRequest(r, seen, rec, id, took)
		}()
		next.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), observationKey{}, seen)))
	})
}

func (a *API) logRequest(r *http.Request, seen *observation, rec *recorder, id string, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case rec.code() >= 500:
		level = slog.LevelError
	case seen.route == "/healthz" || seen.route == "/readyz" || seen.route == "/metrics",
		strings.HasPrefix(seen.route, "/internal/") && seen.err == nil:
		level = slog.LevelDebug
	}
	// Every value of the client's is cut; the JSON handler escapes them.
	attrs := []slog.Attr{
		slog.String("request_id", id), slog.String("tenant", seen.tenant),
		slog.String("method", Clip(r.Method)), slog.String("route", seen.route), slog.String("path", Clip(r.URL.Path)),
		slog.Int("status", rec.code()), slog.Int64("bytes", rec.bytes), slog.Duration("duration", took),
	}
	if seen.err != nil && seen.err.cause != nil {
		text := seen.err.cause.Error()
		attrs = append(attrs, slog.String("error", text[:min(len(text), 500)]))
	}
	a.Log.LogAttrs(r.Context(), level, "request", attrs...)
}

// requestID takes the gateway's id when it is short and plain, or makes one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-ID")
	if id == "" || len(id) > 64 || strings.ContainsFunc(id, func(c rune) bool {
		return ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && c != '-' && c != '_' && c != '.'
	}) {
		return rand.Text()
	}
	return id
}

// recorder remembers what was sent.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController and http.MaxBytesReader reach the
// connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}
