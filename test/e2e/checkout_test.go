package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-tenancy/caddy-tenancy/test/harness"
)

// checkout is a copy of the checkout in a folder of its own, as a user has it
// after a clone.
type checkout struct {
	dir string
	// env is an environment without a home: the script must need none. Go's
	// caches are named, so that nothing is fetched or compiled again.
	env []string
}

// copyCheckout copies what a clone has. Symbolic links, what git ignores and
// git's own folder are left out.
func copyCheckout(t *testing.T) *checkout {
	t.Helper()
	root := harness.Root(t)
	// The name has a space: the script must stand that.
	c := &checkout{dir: filepath.Join(t.TempDir(), "a clone")}
	for _, name := range []string{"caddymodule", "backend", "test/testdata"} {
		if err := os.CopyFS(filepath.Join(c.dir, name), os.DirFS(filepath.Join(root, name))); err != nil {
			t.Fatalf("copying the checkout: %v", err)
		}
	}
	for _, name := range []string{"Caddyfile", "go.mod", "go.sum", "xcaddy.sh"} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatalf("copying the checkout: %v", err)
		}
		if err := os.WriteFile(filepath.Join(c.dir, name), b, 0o755); err != nil {
			t.Fatalf("copying the checkout: %v", err)
		}
	}
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE", "GOPATH", "GOENV").Output()
	if err != nil {
		t.Fatalf("reading go env: %v", err)
	}
	dirs := strings.Split(strings.TrimSpace(string(out)), "\n")
	c.env = []string{
		"PATH=" + os.Getenv("PATH"), "GOCACHE=" + dirs[0], "GOMODCACHE=" + dirs[1], "GOPATH=" + dirs[2],
		"GOENV=" + dirs[3], "GOFLAGS=" + os.Getenv("GOFLAGS"), "GOPROXY=" + os.Getenv("GOPROXY"), "TMPDIR=" + os.TempDir(),
		"VERSION=" + version(t),
	}
	return c
}

// version is what the checkout's own pet store calls itself, so that a copy's
// can be the same.
func version(t *testing.T) string {
	t.Helper()
	_, petstore := harness.Binaries(t)
	out, err := exec.Command(petstore, "version").Output()
	if err != nil {
		t.Fatalf("asking the pet store for its version: %v", err)
	}
	words := strings.Fields(string(out))
	return words[len(words)-1]
}

// script is the path of a copy's script.
func (c *checkout) script() string { return filepath.Join(c.dir, "xcaddy.sh") }

// call runs the script to its end, from another folder.
func (c *checkout) call(t *testing.T, env []string, args ...string) (output string, status int) {
	t.Helper()
	cmd := exec.Command(c.script(), args...)
	cmd.Dir, cmd.Env = t.TempDir(), append(c.env, env...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("running xcaddy.sh: %v", err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// build runs the script's build, which must succeed.
func (c *checkout) build(t *testing.T, args ...string) string {
	t.Helper()
	out, status := c.call(t, nil, append([]string{"build"}, args...)...)
	if status != 0 {
		t.Fatalf("xcaddy.sh build %q: exit status %d\n%s", args, status, out)
	}
	return out
}

// useBinaries gives the copy the checkout's own binaries, which are up to date
// for it too.
func (c *checkout) useBinaries(t *testing.T) {
	t.Helper()
	caddy, _ := harness.Binaries(t)
	if err := os.CopyFS(filepath.Join(c.dir, "bin"), os.DirFS(filepath.Dir(caddy))); err != nil {
		t.Fatalf("copying the binaries: %v", err)
	}
}

// processes returns what runs in the copy, by number and name.
func (c *checkout) processes(t *testing.T) map[int]string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("listing processes: %d, %v", len(dirs), err)
	}
	found := make(map[int]string)
	for _, dir := range dirs {
		cwd, err := os.Readlink(dir + "/cwd")
		if err != nil || cwd != c.dir {
			continue // ended meanwhile, somebody else's, or elsewhere
		}
		name, err := os.ReadFile(dir + "/comm")
		var pid int
		if _, scanErr := fmt.Sscanf(filepath.Base(dir), "%d", &pid); err == nil && scanErr == nil {
			found[pid] = strings.TrimSpace(string(name))
		}
	}
	return found
}
