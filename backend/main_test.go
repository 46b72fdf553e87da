package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func environ(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestCommandLineMistakesAreExplained(t *testing.T) {
	tests := []struct {
		args []string
		env  map[string]string
		code int
		want string
	}{
		{[]string{"version"}, nil, 0, "petstore dev"},
		{[]string{"--version"}, nil, 0, "petstore dev"},
		{[]string{"--help"}, nil, 0, "Commands:"},
		{[]string{"help", "serve"}, nil, 0, "--public-port"},
		{[]string{"serve", "--help"}, nil, 0, "PETSTORE_DATA"},
		{[]string{"dance"}, nil, 2, `unknown command "dance"`},
		{[]string{"help", "dance"}, nil, 2, `unknown command "dance"`},
		{[]string{"help", "--data", "x"}, nil, 2, `expected a command to help with, found "--data"`},
		{[]string{"serve", "--speed", "9"}, nil, 2, "speed"},
		{[]string{"serve", "now"}, nil, 2, `unexpected argument "now"`},
		{[]string{"--public-port", "0"}, nil, 2, "--public-port 0"},
		{[]string{"--base-domain", "a..b"}, nil, 2, "--base-domain"},
		{[]string{"--plans", "Free", "--listen", "127.0.0.1:0"}, nil, 2, "--plans"},
		{[]string{"--isolation", "none", "--listen", "127.0.0.1:0"}, nil, 2, "--isolation"},
		{nil, map[string]string{"PETSTORE_PUBLIC_PORT": "x"}, 2, "PETSTORE_PUBLIC_PORT"},
	}
	for _, tc := range tests {
		var out bytes.Buffer
		tc.args = append([]string{}, tc.args...)
		if code := run(t.Context(), tc.args, environ(tc.env), &out, &out); code != tc.code || !strings.Contains(out.String(), tc.want) {
			t.Errorf("%v: got exit code %d and %q, expected %d and %q", tc.args, code, out.String(), tc.code, tc.want)
		}
	}
}

func TestPortInUseIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var out bytes.Buffer
	dir := filepath.Join(t.TempDir(), "data")
	code := run(t.Context(), []string{"--listen", l.Addr().String(), "--data", dir}, environ(nil), &out, &out)
	if code != exitFailure || !strings.Contains(out.String(), l.Addr().String()) || !strings.Contains(out.String(), "in use") {
		t.Errorf("got exit code %d and %q", code, out.String())
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the data folder was touched by a server that cannot listen")
	}
}

// server is the whole program, running.
type server struct {
	address string
	stop    func() int
}

// lockedBuffer is written by the program and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, args ...string) *server {
	t.Helper()
	return startIn(t, nil, args...)
}

// waitFor polls until something is so, and fails the test when it is not
// within 20 s.
func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited 20 s for nothing")
		}
	}
}

func startIn(t *testing.T, env map[string]string, args ...string) *server {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var log lockedBuffer
	code := make(chan int, 1)
	go func() { code <- run(ctx, append(args, "--listen", "127.0.0.1:0"), environ(env), io.Discard, &log) }()
	s := &server{stop: sync.OnceValue(func() int { cancel(); return <-code })}
	t.Cleanup(func() { s.stop() })
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for line := range strings.Lines(log.String()) {
			var entry struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
				s.address = "http://" + entry.Address
				return s
			}
		}
	}
	t.Fatalf("the server did not start: %s", log.String())
	return nil
}

func get(t *testing.T, method, url, token string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestServerStartsFromTheDataOfTheRunBefore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first := start(t, "--data", dir, "--demo")
	info, err := os.Stat(filepath.Join(dir, "admin.token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("admin.token: got %v, %v, expected mode 0600", info, err)
	}
	token, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	credential := strings.TrimSpace(string(token))
	status, tenants := get(t, "GET", first.address+"/api/admin/tenants", credential)
	for _, part := range []string{`"acme-pets"`, `"fluffy-friends"`, `"paws-and-claws"`, "https://acme-pets.petstore.localhost:8443/"} {
		if status != 200 || !strings.Contains(tenants, part) {
			t.Fatalf("got %d %s, expected %s in it", status, tenants, part)
		}
	}
	if code := first.stop(); code != exitOK {
		t.Fatalf("got exit code %d after an interrupt", code)
	}
	second := start(t, "--data", dir, "--demo")
	if _, again := get(t, "GET", second.address+"/api/admin/tenants", credential); again != tenants {
		t.Errorf("the second run has %s, expected %s", again, tenants)
	}
	if status, body := get(t, "GET", second.address+"/readyz", ""); status != 200 {
		t.Errorf("not ready: %s", body)
	}
	// Without the gateway's keys nobody is believed, and nothing breaks.
	if status, _ := get(t, "GET", second.address+"/api/pets", credential); status != 401 {
		t.Errorf("got status %d without keys, expected 401", status)
	}
}
