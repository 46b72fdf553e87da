//go:build unix

package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests here run this test binary again, in a role named by the
// environment, to kill it or to take its disk space away.
const roleEnv, pathEnv = "AUDIT_TEST_ROLE", "AUDIT_TEST_PATH"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "writer":
		writeForever(os.Getenv(pathEnv))
	case "full":
		fillDisk(os.Getenv(pathEnv))
	default:
		os.Exit(m.Run())
	}
}

func child(t *testing.T, role, path string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), roleEnv+"="+role, pathEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

// writeForever appends batches larger than a page and says so after each.
func writeForever(path string) {
	s := NewFile(path, FileOptions{MaxSize: 4 << 20, Keep: 100})
	recs := make([]Record, 100)
	for i := range recs {
		recs[i] = Record{Event: Event{Time: start, Type: "x", Path: strings.Repeat("p", 3000), Count: 1}}
	}
	for {
		if _, err := s.Write(recs); err != nil {
			panic(err)
		}
		fmt.Println("wrote")
	}
}

func TestAWriterKilledInMidWriteLosesNoRecordThatWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	written := int64(0)
	for round := range 6 {
		cmd, out := child(t, "writer", path)
		for range 3 + round {
			if _, err := out.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			written += 100
		}
		cmd.Process.Kill()
		rest, _ := io.ReadAll(out) // what it said before it died
		written += 100 * int64(strings.Count(string(rest), "\n"))
		cmd.Wait()
	}
	s := newFile(t, path, FileOptions{})
	write(t, s, some(1))
	if r := mustVerify(t, path); r.FirstSeq != 1 || r.Records < written {
		t.Errorf("%d records from %d on, want at least the %d that were reported written", r.Records, r.FirstSeq, written)
	}
}

// limit sets the largest file this process may write.
func limit(n uint64) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		panic(err)
	}
	l.Cur = n
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		panic(err)
	}
}

// fillDisk records while no file may grow beyond 2,500 bytes, then with space
// again, and prints what it saw.
func fillDisk(path string) {
	o := defaults()
	o.queue, o.burst = 100, 1<<30
	r, err := open(o, NewFile(path, FileOptions{}))
	if err != nil {
		panic(err)
	}
	limit(2500)
	for i := range 200 {
		r.Record(Event{Type: "x", RequestID: fmt.Sprint(i)})
		for i < 5 && r.waiting() > 0 { // the first ones find space
			time.Sleep(time.Millisecond)
		}
	}
	for r.Stats().SinkErrors == 0 {
		time.Sleep(time.Millisecond)
	}
	report, err := VerifyFile(path)
	fmt.Println("full:", report.Records == 5, report.OK(), err)
	limit(1 << 40)
	if err := r.Close(); err != nil {
		panic(err)
	}
	fmt.Println("dropped:", r.Stats().Dropped)
}

func TestAFullDiskIsCountedAndRetriedAndTheChainStaysWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	cmd, out := child(t, "full", path)
	said, err := io.ReadAll(out)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		t.Fatalf("%v after %q", err, said)
	}
	var dropped int64
	if _, err := fmt.Sscanf(string(said), "full: true true <nil>\ndropped: %d\n", &dropped); err != nil {
		t.Fatalf("the child said %q", said)
	}
	r := mustVerify(t, path)
	noted := int64(0)
	for line := range strings.Lines(read(t, path)) {
		if _, after, ok := strings.Cut(line, `"type":"audit_dropped"`); ok {
			_, after, _ = strings.Cut(after, `"count":`)
			var n int64
			fmt.Sscan(strings.SplitN(after, ",", 2)[0], &n)
			noted += n
			r.Records--
		}
	}
	if dropped == 0 || noted != dropped || r.Records+dropped != 200 {
		t.Errorf("%d records and %d dropped (%d noted), want 200 in all", r.Records, dropped, noted)
	}
}

func TestNoSpaceLeftOnTheDeviceIsAnErrorOfTheSink(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		return // a device of Linux; the test above covers the rest
	}
	s := NewFile("/dev/full", FileOptions{})
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.f = f
	if _, err := s.Write(some(1)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
}
