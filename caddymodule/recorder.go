package caddymodule

import (
	"net/http"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// statusRecorder remembers the status of the answer.
type statusRecorder struct {
	caddyhttp.ResponseWriterWrapper
	status int
	fault  *atomic.Pointer[error] // of the client's body; nil without one
	gone   bool                   // a proxy took the client for gone, for that fault
}

// WriteHeader remembers the first final status; 1xx come before it. What a
// proxy notes for a client that left is not sent to one with a broken body:
// bodyProblem says what is.
func (w *statusRecorder) WriteHeader(status int) {
	if status == statusClientGone && w.status == 0 && w.fault != nil && w.fault.Load() != nil {
		w.gone = true
		return
	}
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusRecorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}
