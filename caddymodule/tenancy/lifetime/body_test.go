package lifetime

import (
	"net/http"
	"testing"
)

// The proxy gives up and closes the body when the backend fails.
func TestABodyThatTheProxyClosedIsNotBrokenByTheClient(t *testing.T) {
	b := &clientBody{http.NoBody, new(Exchange)}
	_ = b.note(http.ErrBodyReadAfterClose)
	if b.exchange.fault.Load() != nil {
		t.Error("it counts as broken by the client")
	}
}
