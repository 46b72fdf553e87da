package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a child process of the test.
type Process struct {
	t    testing.TB
	spec Spec
	log  string // the file that takes its output
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// Spec says how to start a process.
type Spec struct {
	// Name names the process in messages and its log file.
	Name string
	// Command is the program and its arguments.
	Command []string
	// Dir is the working folder; the log is written there too.
	Dir string
	// Env is the whole environment.
	Env []string
	// UID and GID are whom it runs as; zero means as the test.
	UID, GID uint32
	// Group gives it a process group of its own, as a terminal does.
	Group bool
	// OnParentDeath is sent when the test process dies first; SIGKILL unless
	// set.
	OnParentDeath syscall.Signal
}

// Start starts a process, which ends with the test.
func Start(t testing.TB, spec Spec) *Process {
	t.Helper()
	p := &Process{t: t, spec: spec, log: filepath.Join(spec.Dir, spec.Name+".log")}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", spec.Name, tail(p.Log(), 16<<10))
		}
	})
	p.Start()
	return p
}

// Start starts the process again after it has ended.
func (p *Process) Start() {
	p.t.Helper()
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatalf("starting %s: %v", p.spec.Name, err)
	}
	defer out.Close()
	cmd := exec.Command(p.spec.Command[0], p.spec.Command[1:]...)
	cmd.Dir, cmd.Env = p.spec.Dir, p.spec.Env
	// A file, not a pipe: nothing then waits for grandchildren that hold it.
	cmd.Stdout, cmd.Stderr = out, out
	signal := p.spec.OnParentDeath
	if signal == 0 {
		signal = syscall.SIGKILL
	}
	cmd.SysProcAttr = attributes(signal)
	cmd.SysProcAttr.Setpgid = p.spec.Group
	if p.spec.UID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: p.spec.UID, Gid: p.spec.GID}
	}
	if err := start(cmd); err != nil {
		p.t.Fatalf("starting %s: %v", p.spec.Name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
}

// start starts commands from one thread that never ends: the signal on the
// parent's death is bound to the thread, and Go ends threads when it likes.
func start(cmd *exec.Cmd) error {
	starter.once.Do(func() {
		starter.jobs = make(chan func())
		go func() {
			runtime.LockOSThread()
			for job := range starter.jobs {
				job()
			}
		}()
	})
	failed := make(chan error)
	starter.jobs <- func() { failed <- cmd.Start() }
	return <-failed
}

var starter struct {
	once sync.Once
	jobs chan func()
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal and fails the test if the process has ended.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signalling %s: %v", p.spec.Name, err)
	}
}

// SignalGroup sends a signal to the process's group, as a terminal's Ctrl-C
// does.
func (p *Process) SignalGroup(s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(-p.PID(), s); err != nil {
		p.t.Fatalf("signalling the group of %s: %v", p.spec.Name, err)
	}
}

// Freeze stops the process without closing anything, until Thaw: a stalled
// machine, seen from outside.
func (p *Process) Freeze() { p.t.Helper(); p.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (p *Process) Thaw() { p.t.Helper(); p.Signal(syscall.SIGCONT) }

// Kill ends the process at once, as a crash would. It may have ended before.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // a frozen process too; an ended one is fine
	<-p.done
}

// Stop asks the process to end, waits, and returns its exit status. It fails
// the test if the process does not end.
func (p *Process) Stop() int {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	return p.Wait(30 * time.Second)
}

// Wait waits for the process to end by itself and returns its exit status, -1
// for a signal. It fails the test after the timeout.
func (p *Process) Wait(timeout time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(timeout):
		p.t.Fatalf("waiting for %s to end: not within %s", p.spec.Name, timeout)
		return 0
	}
}

// Ended reports whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Log returns everything the process has written, over all its starts.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// portTaken reports whether the process has ended because of a port.
func (p *Process) portTaken() bool {
	return p.Ended() && strings.Contains(p.Log(), "address already in use")
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "...\n" + s[len(s)-n:]
}
