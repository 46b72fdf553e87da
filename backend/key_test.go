package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/auth"
)

func TestOperatorWorksOnAPIKeysFromTheCommandLine(t *testing.T) {
	o := &operatorShell{t: t, dir: filepath.Join(t.TempDir(), "data")}
	o.do(0, "tenant", "create", "acme")
	var key, rest bytes.Buffer
	if code := run(t.Context(), []string{"key", "create", "acme", "nightly import", "--role", "editor,admin", "--ttl", "24h", "--data", o.dir}, environ(nil), &key, &rest); code != 0 {
		t.Fatalf("exit code %d: %s", code, rest.String())
	}
	// Nothing but the key where a script reads it.
	if text := strings.TrimSuffix(key.String(), "\n"); !auth.IsAPIKey(text) {
		t.Errorf("printed %q, expected a key", text)
	}
	list := o.do(0, "key", "list", "acme")
	if !strings.Contains(list, `"nightly import"  editor,admin`) || !strings.Contains(list, "good") || strings.Contains(list, key.String()[3:20]) {
		t.Errorf("got %s", list)
	}
	id := strings.Fields(strings.Split(list, "\n")[1])[0]
	o.do(0, "key", "revoke", "acme", id)
	if list := o.do(0, "key", "list", "acme"); !strings.Contains(list, "revoked at") {
		t.Errorf("got %s", list)
	}
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{2, "expected create, list or revoke", []string{"key"}},
		{2, `unknown command "key dance"`, []string{"key", "dance"}},
		{2, "expected NAME", []string{"key", "create", "acme"}},
		{2, "--ttl", []string{"key", "create", "acme", "ci", "--ttl", "-1h"}},
		{2, "slug", []string{"key", "list", "x_y"}},
		{1, "no such tenant", []string{"key", "list", "nobody"}},
		{1, `"roles[0]"`, []string{"key", "create", "acme", "ci", "--role", "a b"}},
		{1, "no such credential", []string{"key", "revoke", "acme", "nothing"}},
	} {
		if got := o.do(c.code, c.args...); !strings.Contains(got, c.want) {
			t.Errorf("%v: got %s, expected %q in it", c.args, got, c.want)
		}
	}
}
