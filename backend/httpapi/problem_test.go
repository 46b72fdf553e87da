package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

func TestEveryErrorHasOneStatusAndKeepsItsTextInside(t *testing.T) {
	const secret = "pq: relation at 10.0.0.7"
	tests := []struct {
		err        error
		status     int
		retryAfter string
	}{
		{petstore.ErrNotFound, 404, ""}, {petstore.ErrNoTenant, 404, ""}, {tenant.ErrNotFound, 404, ""}, {tenant.ErrInactive, 404, ""},
		{petstore.ErrExists, 409, ""}, {identity.ErrUnverified, 401, ""},
		{petstore.ErrBehind, 503, "10"}, {petstore.ErrFrozen, 503, "5"}, {petstore.ErrUnavailable, 503, "2"},
		{context.DeadlineExceeded, 503, "2"}, {petstore.ErrForeignTenant, 500, ""}, {errors.New("?"), 500, ""},
	}
	for _, tc := range tests {
		rec := httptest.NewRecorder()
		writeProblem(rec, problemOf(fmt.Errorf("listing pets: %w: %s", tc.err, secret), answers()))
		if rec.Code != tc.status || rec.Header().Get("Retry-After") != tc.retryAfter {
			t.Errorf("%v: got status %d with Retry-After %q, expected %d with %q", tc.err, rec.Code, rec.Header().Get("Retry-After"), tc.status, tc.retryAfter)
		}
		if strings.Contains(rec.Body.String(), secret) {
			t.Errorf("%v: the answer shows %q", tc.err, rec.Body)
		}
	}
}
