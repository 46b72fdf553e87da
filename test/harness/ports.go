package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// The range lies below the kernel's own choice for outgoing connections, so
// that no connection takes a port between its choice here and its use.
const firstPort, lastPort = 20000, 31999

// FreePort returns a loopback port that nothing listens on, and that no other
// call returns, also in another test process, until the test ends. A mere look
// would not do: two Caddys share a port without an error, and each would get
// half of the other's requests.
func FreePort(t testing.TB) int {
	t.Helper()
	// Users cannot lock one another's files; the look below is all they share.
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("caddy-tenancy-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatalf("reserving a port: %v", err)
	}
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(port)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatalf("reserving a port: %v", err)
		}
		// The kernel gives the lock back when this process ends.
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil || !free(port) {
			f.Close()
			continue
		}
		t.Cleanup(func() { f.Close() })
		return port
	}
	t.Fatalf("reserving a port: none of 200 tried from %d to %d is free", firstPort, lastPort)
	return 0
}

// free reports whether the port can be had on all addresses, by TCP and UDP.
func free(port int) bool {
	for _, host := range []string{"127.0.0.1", ""} {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, port))
		if err != nil {
			return false
		}
		l.Close()
	}
	u, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
	if err != nil {
		return false
	}
	u.Close()
	return true
}
