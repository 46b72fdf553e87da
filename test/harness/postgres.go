package harness

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx", to see when the server answers
)

// Postgres is a PostgreSQL server with an empty database.
type Postgres struct {
	*Process
	// Port is its loopback port.
	Port int
}

// StartPostgres makes a cluster in a temporary folder and starts a server on
// it, which ends with the test. It keeps nothing safe from a power cut.
//
// PostgreSQL refuses to run as root; the user postgres, which Debian's package
// makes, runs it then.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	initdb, server := Tool(t, "initdb", "postgresql"), Tool(t, "postgres", "postgresql")
	uid, gid := unprivileged(t)
	// Not t.TempDir: its parents are closed to other users.
	dir, err := os.MkdirTemp("", "caddy-tenancy-postgres-")
	if err != nil {
		t.Fatalf("making a folder for PostgreSQL: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if uid != 0 {
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			t.Fatalf("making a folder for PostgreSQL: %v", err)
		}
	}
	data, env := filepath.Join(dir, "data"), []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C"}
	cmd := exec.Command(initdb, "--pgdata", data, "--username", "tenancy", "--auth", "trust", "--encoding", "UTF8", "--no-sync")
	cmd.Dir, cmd.Env = dir, env
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("making a PostgreSQL cluster: %v\n%s", err, out)
	}
	for range 3 {
		p := &Postgres{Port: FreePort(t)}
		p.Process = Start(t, Spec{
			Name: "postgres", Dir: dir, Env: env, UID: uid, GID: gid,
			Command: []string{
				server, "-D", data, "-p", strconv.Itoa(p.Port), "-h", "127.0.0.1",
				"-c", "unix_socket_directories=", "-c", "fsync=off",
			},
		})
		if p.await() {
			return p
		}
	}
	t.Fatal("starting PostgreSQL: a port was taken each time")
	return nil
}

// unprivileged returns whom the server runs as, zeros for the test's own user.
func unprivileged(t testing.TB) (uid, gid uint32) {
	t.Helper()
	if os.Getuid() != 0 {
		return 0, 0
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("starting PostgreSQL as root: %v; Debian's package postgresql makes the user", err)
	}
	id, err1 := strconv.ParseUint(u.Uid, 10, 32)
	group, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatalf("reading the ids of user postgres: %v, %v", err1, err2)
	}
	return uint32(id), uint32(group)
}

// URL is the address of the server's database in the form of libpq.
func (p *Postgres) URL() string {
	return fmt.Sprintf("postgres://tenancy@127.0.0.1:%d/postgres?sslmode=disable", p.Port)
}

// MakeRole makes the role petapp, which may do what it is granted only, and returns
// the address of the database for it.
func (p *Postgres) MakeRole() (url string) {
	p.t.Helper()
	db, err := sql.Open("pgx", p.URL())
	if err == nil {
		_, err = db.ExecContext(p.t.Context(), "CREATE ROLE petapp LOGIN")
		_ = db.Close()
	}
	if err != nil {
		p.t.Fatalf("making a role: %v", err)
	}
	return strings.Replace(p.URL(), "tenancy@", "petapp@", 1)
}

// await returns false when the port was taken.
func (p *Postgres) await() bool {
	p.t.Helper()
	var err error
	for deadline := time.Now().Add(StartTimeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if p.portTaken() {
			return false
		}
		if p.Ended() {
			break
		}
		if err = p.ping(); err == nil {
			return true
		}
	}
	p.t.Fatalf("starting PostgreSQL: no answer: %v\n%s", err, p.Log())
	return false
}

// Kill ends the server and the processes that it has made at once. Left alone,
// those would answer on for a moment.
func (p *Postgres) Kill() {
	made := children(p.PID())
	p.Process.Kill()
	for _, pid := range made {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
}

// Restart starts the server again with its data, after Kill or instead of it,
// and returns when it answers. A server refuses to start while processes of a
// killed one still end: it is then started until it does.
func (p *Postgres) Restart() {
	p.t.Helper()
	p.Kill()
	p.Start()
	Eventually(p.t, StartTimeout, "PostgreSQL to answer again", func() bool {
		if p.Ended() {
			p.Start()
		}
		return p.ping() == nil
	})
}

// ping returns nil if the server answers.
func (p *Postgres) ping() error {
	db, err := sql.Open("pgx", p.URL())
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return db.PingContext(ctx)
}
