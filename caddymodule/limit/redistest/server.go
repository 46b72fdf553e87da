// Package redistest starts real Redis servers for tests: on free loopback
// ports, in the test's temporary folder, ended with the test. A server can be
// killed, restarted on the same port, and frozen, because failures that
// matter to a client have to be caused for real.
//
// It needs redis-server on PATH. A missing server fails the test: a check
// that silently did not run proves nothing.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// startTimeout is generous, because test machines are busy.
const startTimeout = 60 * time.Second

// Server is one redis-server process.
type Server struct {
	t    testing.TB
	dir  string
	port int
	bus  int // of a cluster node
	args []string
	cmd  *exec.Cmd
	out  *bytes.Buffer
	done chan struct{} // closed when the process has ended
}

// Start runs a redis-server without persistence and returns when it answers.
// The arguments are added to its command line, as in
// Start(t, "--appendonly", "yes").
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), args: args}
	t.Cleanup(s.Kill)
	// Another process may take the port between its choice and its use.
	for attempt := range 5 {
		s.port = FreePort(t)
		err := s.run()
		if err == nil {
			return s
		}
		if attempt == 4 {
			t.Fatalf("starting redis-server: %v\n%s", err, s.out)
		}
	}
	return nil
}

// FreePort returns a loopback port that nothing listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("looking for a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *Server) run() error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatalf("starting redis-server: %v; it is in Debian's package redis-server", err)
	}
	args := s.baseArgs()
	s.out = new(bytes.Buffer)
	s.cmd = exec.Command(path, args...)
	s.cmd.Dir = s.dir
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	dieWithParent(s.cmd)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	s.done = done
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait()
		close(done)
	}(s.cmd)
	return s.await()
}

func (s *Server) baseArgs() []string {
	if len(s.args) > 0 && s.args[0] == "--sentinel" {
		// A sentinel rewrites its configuration file and must have one.
		conf := filepath.Join(s.dir, "sentinel.conf")
		text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\n%s\n", s.port, s.dir, s.args[1])
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			s.t.Fatalf("writing sentinel.conf: %v", err)
		}
		return []string{conf, "--sentinel"}
	}
	return append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "notice",
	}, s.args...)
}

func (s *Server) await() error {
	c := s.Client()
	defer c.Close()
	deadline := time.Now().Add(startTimeout)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := c.Ping(ctx).Err()
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("process ended")
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer after %s: %w", startTimeout, err)
		}
	}
}

// Addr is the server's host and port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Port is the server's port.
func (s *Server) Port() int { return s.port }

// Dir is the folder the server works in.
func (s *Server) Dir() string { return s.dir }

// URL is the server's address in the form redis://host:port.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Client returns a client of its own for looking into the server. The caller
// closes it.
func (s *Server) Client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:                     s.Addr(),
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// Do runs one command and fails the test if it fails.
func (s *Server) Do(args ...any) any {
	s.t.Helper()
	c := s.Client()
	defer c.Close()
	res, err := c.Do(context.Background(), args...).Result()
	if err != nil {
		s.t.Fatalf("running %v: %v", args, err)
	}
	return res
}

// Kill ends the process at once, as a crash would. It may be called again.
func (s *Server) Kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	// A frozen process can be killed too.
	_ = s.cmd.Process.Signal(os.Kill)
	<-s.done
}

// Restart starts the server again on the same port, after Kill or instead of
// it. Without persistence it comes back empty.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if err := s.run(); err != nil {
		s.t.Fatalf("restarting redis-server: %v\n%s", err, s.out)
	}
}

// Freeze stops the process without closing its connections, until Thaw: what
// a stalled machine looks like from outside.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("signalling redis-server: %v", err)
	}
}
