// Package pgtest runs a real Postgres for tests: its own data in a temporary
// folder, reached by a socket there, so that no port can be taken.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is one Postgres. Its methods fail the test when they do not succeed.
type Server struct {
	tb         testing.TB
	bin, dir   string
	credential *syscall.Credential

	cmd    *exec.Cmd
	exited chan struct{}
	log    *bytes.Buffer // of the process that has exited
}

// Start initialises a server in a new folder, starts it, and stops and removes it
// when the test ends.
func Start(tb testing.TB) *Server {
	tb.Helper()
	// Not tb.TempDir: a socket's path has 107 bytes at most.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{tb: tb, bin: binaries(tb), dir: dir}
	tb.Cleanup(func() {
		s.Kill()
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	if os.Geteuid() == 0 {
		s.becomePostgres()
	}
	runtime.LockOSThread() // the thread's end would count as the parent's death
	out, err := s.command("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C").CombinedOutput()
	runtime.UnlockOSThread()
	if err != nil {
		tb.Fatalf("running initdb: %v\n%s", err, out)
	}
	s.Start()
	return s
}

// binaries finds the folder of the server's programs.
func binaries(tb testing.TB) string {
	tb.Helper()
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		tb.Fatal("no Postgres server is installed: apt-get install postgresql")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1])
}

// becomePostgres has the server run as the user that Debian made for it, since it
// refuses to run as root.
func (s *Server) becomePostgres() {
	s.tb.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		s.tb.Fatal(err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		s.tb.Fatalf("user postgres has id %s:%s", u.Uid, u.Gid)
	}
	if err := os.Chown(s.dir, uid, gid); err != nil {
		s.tb.Fatal(err)
	}
	s.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	// The server dies with the test, also when that is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, Pdeathsig: syscall.SIGQUIT}
	return cmd
}

// DSN is the address of the database "postgres", as the superuser.
func (s *Server) DSN() string {
	return fmt.Sprintf("host=%s user=postgres dbname=postgres connect_timeout=2", s.dir)
}

// Standby starts a second server that follows this one, until the test ends. Nobody
// can write to it. This one is stopped meanwhile, so that its data can be copied.
func (s *Server) Standby() *Server {
	s.tb.Helper()
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		s.tb.Fatal(err)
	}
	standby := &Server{tb: s.tb, bin: s.bin, dir: dir, credential: s.credential}
	s.tb.Cleanup(func() {
		standby.Kill()
		if err := os.RemoveAll(dir); err != nil {
			s.tb.Error(err)
		}
	})
	if s.credential != nil {
		if err := os.Chown(dir, int(s.credential.Uid), int(s.credential.Gid)); err != nil {
			s.tb.Fatal(err)
		}
	}
	s.Kill()
	if out, err := exec.Command("cp", "-a", s.data(), dir).CombinedOutput(); err != nil {
		s.tb.Fatalf("copying the data: %v\n%s", err, out)
	}
	s.Start()
	config, err := os.OpenFile(filepath.Join(standby.data(), "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		s.tb.Fatal(err)
	}
	_, err = fmt.Fprintf(config, "primary_conninfo = 'host=%s user=postgres'\n", s.dir)
	if err = errors.Join(err, config.Close(), os.WriteFile(filepath.Join(standby.data(), "standby.signal"), nil, 0o644)); err != nil {
		s.tb.Fatal(err)
	}
	standby.Start()
	return standby
}

// Start starts the server again after Kill and waits until it answers.
func (s *Server) Start() {
	s.tb.Helper()
	// Without autovacuum, nobody writes but the test: what it says of unchanged tables
	// holds.
	s.cmd = s.command("postgres", "-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "autovacuum=off",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=32MB", "-c", "max_connections=20")
	s.log = &bytes.Buffer{}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	started := make(chan error)
	exited := make(chan struct{})
	s.exited = exited
	go func(cmd *exec.Cmd) {
		runtime.LockOSThread() // the thread's end would count as the parent's death
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(exited)
	}(s.cmd)
	if err := <-started; err != nil {
		s.tb.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		conn, err := pgx.Connect(ctx, s.DSN())
		if err == nil {
			_ = conn.Close(ctx)
			cancel()
			return
		}
		cancel()
		select {
		case <-exited:
			s.tb.Fatalf("postgres did not start:\n%s", s.log)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.tb.Fatalf("waiting for postgres: %v", err)
		}
	}
}

// Kill ends the server as a crash would, without a farewell to its clients. It
// may be down already.
func (s *Server) Kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	// SIGQUIT has the parent end its children at once; after SIGKILL they would
	// live on and hold the shared memory.
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	<-s.exited
}

// Exec runs statements on a connection of their own.
func (s *Server) Exec(sql string, args ...any) {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN())
	if err != nil {
		s.tb.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		s.tb.Fatalf("running %q: %v", sql, err)
	}
}
