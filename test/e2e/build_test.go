package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBuildsInDifferentFoldersHaveTheSameBytesAndAreNotRepeated(t *testing.T) {
	caddy, petstore := harness.Binaries(t)
	c := copyCheckout(t)
	c.build(t)
	for name, path := range map[string]string{"caddy": caddy, "petstore": petstore} {
		if !bytes.Equal(read(t, path), read(t, filepath.Join(c.dir, "bin", name))) {
			t.Errorf("bin/%s differs between two folders", name)
		}
	}
	if out := c.build(t); strings.Count(out, "up to date") != 2 {
		t.Errorf("a second build said:\n%s\nwant both up to date", out)
	}
	out, err := exec.Command(filepath.Join(c.dir, "bin/caddy"), "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "v2.") {
		t.Errorf("bin/caddy version: %q, %v; want Caddy's", out, err)
	}
	// A binary that somebody has damaged is not up to date.
	if err := os.WriteFile(filepath.Join(c.dir, "bin/petstore"), []byte("no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out := c.build(t); !strings.Contains(out, "built bin/petstore") || !bytes.Equal(read(t, petstore), read(t, filepath.Join(c.dir, "bin/petstore"))) {
		t.Errorf("a damaged binary was not built again:\n%s", out)
	}
	// Nor is one whose sources have changed, though only in a comment.
	main := filepath.Join(c.dir, "backend/main.go")
	if err := os.WriteFile(main, append(read(t, main), "\n// One more line.\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := c.build(t); !strings.Contains(out, "built bin/petstore") || !strings.Contains(out, "bin/caddy is up to date") {
		t.Errorf("after a change of the pet store the build said:\n%s", out)
	}
}

// The real tool resolves versions over the network; here a stand-in shows what
// it would be asked for.
func TestToolXcaddyBuildsPluginsWhenItIsThere(t *testing.T) {
	c := copyCheckout(t)
	tools := t.TempDir()
	const standIn = `#!/bin/sh
[ "$1" = build ] && [ "$3" = --output ] || exit 9
printf '%s\n' "$@" >"$4"
chmod +x "$4"
`
	if err := os.WriteFile(filepath.Join(tools, "xcaddy"), []byte(standIn), 0o755); err != nil {
		t.Fatal(err)
	}
	c.env = append(c.env, "PATH="+tools+":"+os.Getenv("PATH"))
	out, status := c.call(t, nil, "build", "--with", "example.com/a", "--with", "example.com/b/v2@v2.3.4", "--with", "example.com/c/v3="+filepath.Join(c.dir, "test/testdata/plugin"))
	if status != 0 {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	args := strings.Split(strings.TrimSpace(string(read(t, filepath.Join(c.dir, "bin/caddy")))), "\n")
	want := []string{
		"build", "v2.11.9", "--output", args[3],
		"--with", "github.com/caddy-tenancy/caddy-tenancy/caddymodule", "--replace", "github.com/caddy-tenancy/caddy-tenancy=" + c.dir,
		"--with", "example.com/a", "--with", "example.com/b/v2@v2.3.4",
		"--with", "example.com/c/v3@v3.0.0=" + filepath.Join(c.dir, "test/testdata/plugin"),
	}
	if strings.Join(args, "\n") != strings.Join(want, "\n") {
		t.Errorf("xcaddy was called with\n%q\nwant\n%q", args, want)
	}

	local := "example.com/c/v3=" + filepath.Join(c.dir, "test/testdata/plugin")
	c.build(t, "--with", local)
	if out := c.build(t, "--with", local); !strings.Contains(out, "bin/caddy is up to date") {
		t.Errorf("a second build said:\n%s\nwant it up to date", out)
	}
	hello := filepath.Join(c.dir, "test/testdata/plugin/hello.go")
	if err := os.WriteFile(hello, append(read(t, hello), "\n// One more line.\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := c.build(t, "--with", local); !strings.Contains(out, "built bin/caddy") {
		t.Errorf("after a change of the plugin the build said:\n%s", out)
	}
}

func TestWrongCallsSayWhatWasExpected(t *testing.T) {
	c := copyCheckout(t)
	for _, test := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"help"}, 0, "Usage:"},
		{[]string{"--help"}, 0, "Usage:"},
		{[]string{"bulid"}, 2, `unknown command "bulid"`},
		{[]string{"run", "now"}, 2, `unknown argument "now"`},
		{[]string{"build", "--with"}, 2, "--with needs a value"},
		{[]string{"build", "--with", "@v1.0.0"}, 2, "expected MODULE[@VERSION][=PATH]"},
		{[]string{"build", "--with", "example.com/a="}, 2, "expected MODULE[@VERSION][=PATH]"},
		{[]string{"build", "--with", "example.com/a=no/such/folder"}, 1, "does not exist"},
		{[]string{"build", "--with", "example.com/a=" + c.dir + "/backend"}, 1, "has no go.mod"},
	} {
		out, status := c.call(t, nil, test.args...)
		if status != test.status || !strings.Contains(out, test.says) {
			t.Errorf("xcaddy.sh %q: exit status %d and\n%s\nwant %d and %q", test.args, status, out, test.status, test.says)
		}
	}
	if _, err := os.Stat(filepath.Join(c.dir, "bin")); err == nil {
		t.Error("a wrong call has built something")
	}
}
