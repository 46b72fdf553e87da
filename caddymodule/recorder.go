package caddymodule

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// statusRecorder remembers the status of the answer, and writes no more of it
// once its tenant is not served any more.
type statusRecorder struct {
	caddyhttp.ResponseWriterWrapper
	state  *state
	status int
	begun  bool // something of the body is written
}

// WriteHeader remembers the first final status; 1xx come before it.
func (w *statusRecorder) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusRecorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	// A short answer that was on its way is let through.
	if w.begun && w.state.tenantEnded() {
		return 0, errTenantEnded // reverse_proxy breaks the answer off
	}
	w.begun = true
	return w.ResponseWriter.Write(b)
}
