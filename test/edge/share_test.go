package edge

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

func TestGatewaysShareCertificatesThroughStorage(t *testing.T) {
	recorder := harness.StartRecorder(t)
	caddyfile := strings.Replace(options(onDemand("off")), "file_system storage", "file_system "+t.TempDir(), 1) +
		tenantSite(fmt.Sprintf("127.0.0.1:%d", recorder.Port))
	gateways := []*gateway{startGateway(t, "", caddyfile), startGateway(t, "", caddyfile)}
	for _, host := range []string{"acme-pets.petstore.test", "pets.acme.example", "fluffy.example"} {
		var serials []string
		for _, g := range gateways {
			servedAt(t, g.https, host, "/")
			serials = append(serials, connect(t, g.https, "h2", host).cert.SerialNumber.String())
		}
		if serials[0] != serials[1] {
			t.Errorf("%s: two certificates, one for each gateway", host)
		}
	}
	gateways[0].process.Kill()
	servedAt(t, gateways[1].https, "fluffy.example", "/")
}
