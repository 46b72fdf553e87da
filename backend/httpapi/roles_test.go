package httpapi

import (
	"net/http"
	"testing"
)

func TestChangingPetsNeedsAUserWithAFittingRoleAndReadingNeedsNone(t *testing.T) {
	w := newWorld(t)
	as := func(user string, roles ...string) func(*http.Request) { return w.asUser("acme", user, roles...) }
	const body = `{"name":"Rex","species":"dog"}`
	pet := w.do(http.MethodPost, "/api/pets", body, as("ann", "editor")).pet(t)
	for _, test := range []struct {
		user   string
		roles  []string
		status int
	}{
		{"", nil, http.StatusUnauthorized},
		{"ann", nil, http.StatusForbidden},
		{"ann", []string{"viewer", "Editor", "editors"}, http.StatusForbidden},
		{"ann", []string{"editor"}, 0},
		{"ann", []string{"viewer", "admin"}, 0},
	} {
		for _, change := range []struct {
			method, path, body string
			good               int
		}{
			{http.MethodPost, "/api/pets", body, http.StatusCreated},
			{http.MethodPut, "/api/pets/" + pet.ID, body, http.StatusOK},
			{http.MethodPatch, "/api/pets/" + pet.ID, `{"name":"Max"}`, http.StatusOK},
		} {
			want := test.status
			if want == 0 {
				want = change.good
			}
			a := w.do(change.method, change.path, change.body, as(test.user, test.roles...))
			if a.status != want || (want == http.StatusUnauthorized) != (a.header.Get("WWW-Authenticate") != "") {
				t.Errorf("%q %q: %s gets %d, want %d: %s", test.user, test.roles, change.method, a.status, want, a.body)
			}
		}
		for _, path := range []string{"/api/pets", "/api/pets/" + pet.ID} {
			if a := w.do(http.MethodGet, path, "", as(test.user, test.roles...)); a.status != http.StatusOK {
				t.Errorf("%q %q: reading gets %d: %s", test.user, test.roles, a.status, a.body)
			}
		}
	}
	if a := w.do(http.MethodDelete, "/api/pets/"+pet.ID, "", as("ann")); a.status != http.StatusForbidden {
		t.Errorf("deleting without a role gets %d", a.status)
	}
	if a := w.do(http.MethodDelete, "/api/pets/"+pet.ID, "", as("ann", "editor")); a.status != http.StatusNoContent {
		t.Errorf("deleting as an editor gets %d", a.status)
	}
}
