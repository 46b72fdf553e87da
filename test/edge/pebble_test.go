package edge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// authority is Let's Encrypt's test authority, Pebble. It checks domains as
// the real one does, by asking DNS.
type authority struct {
	t       testing.TB
	process *harness.Process
	port    int
	// Directory is the address for ACME clients, who trust TrustFile.
	Directory, TrustFile string
	client               *http.Client
	management           int
}

// startAuthority builds and starts Pebble with certificates of one hour.
func startAuthority(t testing.TB, nameserver string) *authority {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "pebble")
	build := exec.Command("go", "build", "-C", filepath.Join(harness.Root(t), "test/tools/pebble"), "-o", binary, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building Pebble: %v\n%s", err, out)
	}
	a := &authority{t: t, port: harness.FreePort(t), management: harness.FreePort(t), TrustFile: filepath.Join(dir, "server.pem")}
	a.Directory = fmt.Sprintf("https://127.0.0.1:%d/dir", a.port)
	trust := selfSigned(t, a.TrustFile, filepath.Join(dir, "server.key"))
	a.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, DisableKeepAlives: true}, Timeout: patience}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress":           fmt.Sprintf("127.0.0.1:%d", a.port),
		"managementListenAddress": fmt.Sprintf("127.0.0.1:%d", a.management),
		"certificate":             "server.pem", "privateKey": "server.key",
		"httpPort": 1, "tlsPort": 1, // nothing but DNS can prove a domain
		"keyAlgorithm": "ecdsa",
		"profiles":     map[string]any{"default": map[string]any{"description": "an hour", "validityPeriod": 3600}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "pebble.json"), string(config))
	a.process = harness.Start(t, harness.Spec{
		Name: "pebble", Dir: dir, Env: []string{"PATH=" + os.Getenv("PATH"), "PEBBLE_VA_NOSLEEP=1"},
		Command: []string{binary, "-config", "pebble.json", "-dnsserver", nameserver},
	})
	harness.Eventually(t, harness.StartTimeout, "the authority", func() bool {
		if a.process.Ended() {
			t.Fatal("the authority ended")
		}
		res, err := a.client.Get(a.Directory)
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return a
}

// roots are the certificates that its certificates lead to.
func (a *authority) roots() *x509.CertPool {
	a.t.Helper()
	pool := x509.NewCertPool()
	res, err := a.client.Get(fmt.Sprintf("https://127.0.0.1:%d/roots/0", a.management))
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	root, err := io.ReadAll(res.Body)
	if err != nil || !pool.AppendCertsFromPEM(root) {
		a.t.Fatalf("reading the authority's root: %v", err)
	}
	return pool
}

// selfSigned writes a certificate for 127.0.0.1 and its key, and returns who
// trusts it.
func selfSigned(t testing.TB, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	write(t, certFile, certPEM)
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyBytes})))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(certPEM))
	return pool
}

// withPlugin builds a gateway with a plugin by the repository's own script, in
// a copy of the checkout.
func withPlugin(t testing.TB, plugin string) (binary string) {
	t.Helper()
	dir := t.TempDir()
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = harness.Root(t)
	names, err := list.Output()
	if err != nil {
		t.Fatalf("listing the checkout's files: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		b, err := os.ReadFile(filepath.Join(harness.Root(t), name))
		if err != nil {
			continue // deleted and not committed yet
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command(filepath.Join(dir, "xcaddy.sh"), "build", "--with", plugin)
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building with %s: %v\n%s", plugin, err, out)
	}
	return filepath.Join(dir, "bin/caddy")
}
