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
	gone   bool // a proxy took the client for gone, for a fault of its body
}

// WriteHeader remembers the first final status; 1xx come before it. What a
// proxy notes for a client that left is not sent to one with a broken body:
// bodyProblem says what is.
func (w *statusRecorder) WriteHeader(status int) {
	if status == statusClientGone && w.status == 0 && !w.gone && w.state.fault.Load() != nil {
		w.gone = true
		return
	}
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusRecorder) Write(b []byte) (int, error) {
	switch {
	case w.status != 0:
	case w.gone: // an answer with a body is the backend's own
		w.WriteHeader(statusClientGone)
	default:
		w.status = http.StatusOK
	}
	// A short answer that was on its way is let through.
	if w.begun && w.state.tenantEnded() {
		return 0, errTenantEnded // reverse_proxy breaks the answer off
	}
	w.begun = true
	return w.ResponseWriter.Write(b)
}
