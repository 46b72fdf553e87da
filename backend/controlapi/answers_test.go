package controlapi

import (
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
)

func TestEveryErrorOfTheControlPlaneHasOneStatus(t *testing.T) {
	want := map[error]int{
		control.ErrTaken: 409, control.ErrState: 409, control.ErrBusy: 409, control.ErrKeyReused: 422, control.ErrNoKey: 404,
		control.ErrNoHost: 404, control.ErrNoCredential: 404, control.ErrToken: 403, control.ErrDiffers: 500,
	}
	for _, a := range answers() {
		t.Run(a.Err.Error(), func(t *testing.T) {
			if a.Status != want[a.Err] || a.Detail == "" {
				t.Errorf("got status %d and %q, expected status %d", a.Status, a.Detail, want[a.Err])
			}
		})
		delete(want, a.Err)
	}
	if len(want) > 0 {
		t.Errorf("no answer for %v", want)
	}
}
