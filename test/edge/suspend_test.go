package edge

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A suspended tenant's streams end by every protocol, and the client can tell
// that they were broken off.
func TestASuspendedTenantsStreamsEnd(t *testing.T) {
	g := startGateway(t, "", options()+tenantSite(loadBackend(t)))
	servedAt(t, g.https, "fluffy-friends.petstore.test", "/")
	servedAt(t, g.https, "acme-pets.petstore.test", "/")
	open := make(map[string]chan error)
	for _, protocol := range protocols {
		open["events by "+protocol] = readEvents(t, g.https, protocol, "text/event-stream")
		open["a long answer by "+protocol] = readEvents(t, g.https, protocol, "*/*")
	}
	websocket := openWebSocket(t, g.https) // of acme-pets, which stays

	write(t, g.path("tenants.json"), strings.Replace(tenantsJSON, `"slug":"fluffy-friends"`, `"slug":"fluffy-friends","status":"suspended"`, 1))
	for name, ended := range open {
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("%s ended as if it were whole", name)
			}
		case <-time.After(patience):
			t.Errorf("%s goes on", name)
		}
	}
	if err := websocket.end(); err != nil {
		t.Errorf("another tenant's WebSocket broke: %v", err)
	}
	if a := connect(t, g.https, "h2", "fluffy-friends.petstore.test").get("fluffy-friends.petstore.test", "/events"); a.status != http.StatusNotFound {
		t.Errorf("a new stream: %+v", a)
	}

	websocket = openWebSocket(t, g.https)
	write(t, g.path("tenants.json"), strings.Replace(tenantsJSON, `"slug":"acme-pets"`, `"slug":"acme-pets","status":"suspended"`, 1))
	select {
	case <-websocket.broken:
	case <-time.After(patience):
		t.Error("the WebSocket goes on")
	}
}

// readEvents reads the stream of events until it ends, and then sends how.
func readEvents(t testing.TB, port int, protocol, accept string) chan error {
	t.Helper()
	in, _ := eventsOf(t, port, protocol, accept)
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatalf("the stream's first line: %v", err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, in)
		ended <- err
	}()
	return ended
}
