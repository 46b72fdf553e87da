package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// Root is the folder of the checkout: a test starts in its package's folder,
// and that lies in it.
func Root(t testing.TB) string {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatalf("finding the checkout: %v", err)
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "xcaddy.sh")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatalf("finding the checkout: no xcaddy.sh in %q or above", wd)
		}
	}
}

var built struct {
	once sync.Once
	err  error
	out  []byte
}

// Binaries returns the paths of the gateway and the pet store, as xcaddy.sh
// builds them, which happens first if they are missing or out of date.
func Binaries(t testing.TB) (caddy, petstore string) {
	t.Helper()
	root := Root(t)
	built.once.Do(func() {
		if built.err = os.MkdirAll(filepath.Join(root, "bin"), 0o755); built.err != nil {
			return
		}
		// Test packages run side by side; one of them builds.
		lock, err := os.OpenFile(filepath.Join(root, "bin/.lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			built.err = err
			return
		}
		defer lock.Close()
		if built.err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); built.err != nil {
			return
		}
		cmd := exec.Command(filepath.Join(root, "xcaddy.sh"), "build")
		built.out, built.err = cmd.CombinedOutput()
	})
	if built.err != nil {
		t.Fatalf("building the binaries: %v\n%s", built.err, built.out)
	}
	return filepath.Join(root, "bin/caddy"), filepath.Join(root, "bin/petstore")
}

// Tool finds a program on PATH, or where Debian and test/run.sh put it.
func Tool(t testing.TB, name, debianPackage string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	places, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	places = append(places, filepath.Join(Root(t), "test/.cache", name))
	for i := len(places) - 1; i >= 0; i-- {
		if info, err := os.Stat(places[i]); err == nil && info.Mode()&0o111 != 0 {
			return places[i]
		}
	}
	t.Fatalf("finding %q: it is in Debian's package %s", name, debianPackage)
	return ""
}
