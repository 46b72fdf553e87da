package harness

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestPortIsNotGivenOutTwice(t *testing.T) {
	seen := make(map[int]bool)
	for range 50 {
		port := FreePort(t)
		if seen[port] {
			t.Fatalf("FreePort returned %d twice", port)
		}
		seen[port] = true
	}
}

func TestPortInUseIsNotFree(t *testing.T) {
	for _, host := range []string{"127.0.0.1", ""} {
		l, err := net.Listen("tcp", host+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if port := l.Addr().(*net.TCPAddr).Port; free(port) {
			t.Errorf("free(%d) = true while %q listens there", port, l.Addr())
		}
	}
}

func TestProcessIsFrozenThawedKilledAndStartedAgain(t *testing.T) {
	p := Start(t, Spec{Name: "cat", Dir: t.TempDir(), Command: []string{"/bin/sh", "-c", "while echo tick; do sleep 0.01; done"}})
	ticks := func() int { return strings.Count(p.Log(), "tick") }
	Eventually(t, StartTimeout, "the first tick", func() bool { return ticks() > 0 })

	p.Freeze()
	Eventually(t, StartTimeout, "the process to be stopped", func() bool { return state(t, p.PID()) == "T" })
	p.Thaw()
	n := ticks()
	Eventually(t, StartTimeout, "ticks after the thaw", func() bool { return ticks() > n })

	p.Kill()
	if !p.Ended() {
		t.Fatal("a killed process has not ended")
	}
	n = ticks()
	p.Start()
	Eventually(t, StartTimeout, "ticks after the restart", func() bool { return ticks() > n })
}

// A test process that is killed, as by a timeout of its own making, cleans up
// nothing: its children must end all the same.
func TestChildEndsWhenTheTestProcessIsKilled(t *testing.T) {
	if os.Getenv("HARNESS_TEST_PARENT") != "" {
		p := Start(t, Spec{Name: "sleep", Dir: t.TempDir(), Command: []string{"/bin/sleep", "600"}})
		fmt.Printf("child %d\n", p.PID())
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "HARNESS_TEST_PARENT=1")
	out, err := cmd.Output()
	if err == nil {
		t.Fatal("the process that should have been killed ended well")
	}
	var child int
	if _, err := fmt.Sscanf(string(out), "child %d", &child); err != nil {
		t.Fatalf("reading the child's number from %q: %v", out, err)
	}
	Eventually(t, 10*time.Second, "the orphan to end", func() bool {
		s := state(t, child)
		return s == "" || s == "Z"
	})
}

func TestPostgresAnswersAndComesBackAfterACrash(t *testing.T) {
	p := StartPostgres(t)
	db, err := sql.Open("pgx", p.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)"); err != nil {
		t.Fatal(err)
	}
	made := children(p.PID())
	p.Kill()
	if err := db.Ping(); err == nil {
		t.Fatal("a killed server answers")
	}
	for _, pid := range made {
		Eventually(t, 10*time.Second, "what the server has made to end", func() bool {
			s := state(t, pid)
			return s == "" || s == "Z"
		})
	}
	if len(made) == 0 {
		t.Error("the server has made no process")
	}
	p.Restart()
	var n int
	if err := db.QueryRow("SELECT n FROM kept").Scan(&n); err != nil || n != 7 {
		t.Fatalf("after the crash: n = %d, err = %v; want 7", n, err)
	}
}

// state is the process's state as the kernel's letter, empty when it is gone.
func state(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}
