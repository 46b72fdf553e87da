package audit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func newFile(t testing.TB, path string, o FileOptions) *File {
	t.Helper()
	s := NewFile(path, o)
	s.now = func() time.Time { return start }
	t.Cleanup(func() { s.Close() })
	return s
}

func some(n int) []Record {
	recs := make([]Record, n)
	for i := range recs {
		recs[i] = Record{Event: Event{Time: start, Type: "x", RequestID: fmt.Sprint(i), Count: 1}}
	}
	return recs
}

func write(t testing.TB, s Sink, recs []Record) {
	t.Helper()
	if _, err := s.Write(recs); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// mustVerify checks the whole audit log of path and expects no problem.
func mustVerify(t testing.TB, path string) VerifyReport {
	t.Helper()
	report, err := VerifyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Errorf("verify: %s", p)
	}
	return report
}

// files lists the rotated files of path, the oldest first, and path.
func files(t testing.TB, path string) []string {
	t.Helper()
	numbers, err := rotatedFiles(path)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{path}
	for _, n := range numbers {
		list = append(list, rotated(path, n))
	}
	slices.Reverse(list)
	return list
}

func TestTheFileHasTheFormThatIsDocumented(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	s := newFile(t, path, FileOptions{})
	write(t, s, some(2))
	const want = `{"seq":1,"time":"2026-03-01T12:00:00.000Z","type":"x","request_id":"0","count":1,"prev":"0000000000000000000000000000000000000000000000000000000000000000","hash":"cf092664ec59820bd4d1f539863ad29b038a23993ad486321513cb5c245eede9"}
`
	got := read(t, path)
	first, _, _ := strings.Cut(got, "\n")
	if first+"\n" != want {
		t.Errorf("line 1 is\n%s\nwant\n%s", first, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if r := mustVerify(t, path); r.Records != 2 || r.FirstSeq != 1 || r.LastSeq != 2 {
		t.Errorf("report %+v", r)
	}
}

func TestTheChainGoesOnAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	for range 3 {
		s := newFile(t, path, FileOptions{})
		write(t, s, some(2))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if r := mustVerify(t, path); r.Records != 6 || r.LastSeq != 6 {
		t.Errorf("report %+v", r)
	}
}

func TestFilesAreRotatedBySizeAndTheChainGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	for range 6 { // each restart meets an empty, half-full or full file
		s := newFile(t, path, FileOptions{MaxSize: 1000, Keep: 3})
		for range 7 {
			write(t, s, some(1))
		}
		s.Close()
	}
	if got := files(t, path); !slices.Equal(got, []string{path + ".3", path + ".2", path + ".1", path}) {
		t.Errorf("files %q, want three rotated ones and the current", got)
	}
	if r := mustVerify(t, path); r.LastSeq != 42 || r.FirstSeq <= 1 || r.Records != r.LastSeq-r.FirstSeq+1 {
		t.Errorf("report %+v, want the last of 42 records", r)
	}
	for _, f := range files(t, path) {
		if info, err := os.Stat(f); err != nil || info.Size() > 1400 || info.Mode().Perm() != 0o600 {
			t.Errorf("%q has %d bytes and mode %v, want about 1000 and 0600", f, info.Size(), info.Mode())
		}
	}
}

func TestARotationThatCrashedHalfWayIsFinishedByTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	s := newFile(t, path, FileOptions{MaxSize: 500, Keep: 5})
	for range 20 {
		write(t, s, some(1))
	}
	s.Close()
	// As after a crash between renaming 2 to 3 and 1 to 2.
	for _, n := range []int{4, 3, 2} {
		os.Rename(rotated(path, n), rotated(path, n+1))
	}
	if got := files(t, path); len(got) != 5 {
		t.Fatalf("files %q, want 5 with a gap at 2", got)
	}
	mustVerify(t, path)
	s = newFile(t, path, FileOptions{MaxSize: 500, Keep: 5})
	for range 3 {
		write(t, s, some(1))
	}
	mustVerify(t, path)
}

func TestALastLineTornAnywhereIsCutAndNoted(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.jsonl")
	s := newFile(t, path, FileOptions{})
	write(t, s, some(3))
	s.Close()
	whole := read(t, path)
	last := strings.LastIndex(whole[:len(whole)-1], "\n") + 1
	for size := last + 1; size < len(whole); size++ {
		if err := os.WriteFile(path, []byte(whole[:size]), 0o600); err != nil {
			t.Fatal(err)
		}
		s := newFile(t, path, FileOptions{})
		write(t, s, some(1))
		s.Close()
		if r := mustVerify(t, path); r.Records != 4 {
			t.Fatalf("cut at %d: %d records, want 2 old, the note and 1 new", size, r.Records)
		}
		want := fmt.Sprintf(`"type":"audit_repaired","reason":"torn last line of %d bytes removed"`, size-last)
		if got := read(t, path); !strings.Contains(got, want) {
			t.Fatalf("cut at %d: no note %s", size, want)
		}
	}
}

func TestATornFirstLineContinuesTheRotatedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	s := newFile(t, path, FileOptions{})
	write(t, s, some(2))
	s.Close()
	if err := rotate(path, 10); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(path, []byte(`{"seq":3,"ti`), 0o600)
	s = newFile(t, path, FileOptions{})
	write(t, s, some(1))
	if r := mustVerify(t, path); r.LastSeq != 4 {
		t.Errorf("report %+v, want records 1 to 4", r)
	}
}

func TestLinesThatWereTamperedWithAreLeftForTheVerifier(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	s := newFile(t, path, FileOptions{})
	write(t, s, some(2))
	s.Close()
	os.WriteFile(path, append([]byte(read(t, path)), "not a record\n"...), 0o600)
	s = newFile(t, path, FileOptions{})
	write(t, s, some(1))
	r, err := VerifyFile(path)
	if err != nil || r.Records != 3 || len(r.Problems) != 1 || r.Problems[0].Line != 3 {
		t.Errorf("report %+v, %v; want 3 good records and line 3 named", r, err)
	}
}

func TestAFileOfSomebodyElseIsNotWritten(t *testing.T) {
	for name, content := range map[string]string{
		"text":     "# my notes\nline\n",
		"one line": strings.Repeat("x", 3*maxLine),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "notes")
			os.WriteFile(path, []byte(content), 0o600)
			s := newFile(t, path, FileOptions{})
			if _, err := s.Write(some(1)); err == nil || !strings.Contains(err.Error(), errNotRecord.Error()) {
				t.Errorf("%v, want a refusal", err)
			}
			if read(t, path) != content {
				t.Error("the file was changed")
			}
		})
	}
}

func TestASecondWriterWaitsForTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	a, b := newFile(t, path, FileOptions{}), newFile(t, path, FileOptions{})
	write(t, a, some(1))
	before := read(t, path)
	if _, err := b.Write(some(1)); err == nil || !strings.Contains(err.Error(), "another writer") {
		t.Errorf("the second writer got %v, want a lock error", err)
	}
	if read(t, path) != before {
		t.Error("the second writer changed the file")
	}
	a.Close()
	write(t, b, some(1))
	if r := mustVerify(t, path); r.Records != 2 {
		t.Errorf("report %+v", r)
	}
}

func TestAFileMovedOrRemovedOrTruncatedBySomebodyIsFollowedByAnother(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.jsonl")
	s := newFile(t, path, FileOptions{})
	write(t, s, some(1))
	os.Rename(path, rotated(path, 1)) // as logrotate does
	write(t, s, some(1))
	if r := mustVerify(t, path); r.Records != 2 {
		t.Errorf("after a move: %+v", r)
	}
	os.Remove(rotated(path, 1))
	os.Remove(path)
	write(t, s, some(1))
	if r := mustVerify(t, path); r.FirstSeq != 3 {
		t.Errorf("after a removal: %+v, want a file that begins with record 3", r)
	}
	os.Truncate(path, 0)
	write(t, s, some(1))
	if bytes.Contains([]byte(read(t, path)), []byte{0}) {
		t.Error("a truncated file was filled with zeros")
	}
	if r := mustVerify(t, path); r.FirstSeq != 4 {
		t.Errorf("after a truncation: %+v, want a file that begins with record 4", r)
	}
}

func TestAPathThatCannotWorkIsNamedAndOpeningCreatesNothing(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
	for name, path := range map[string]string{"a folder": dir, "no folder": filepath.Join(dir, "no", "a.jsonl"), "in a file": filepath.Join(dir, "file", "a.jsonl")} {
		t.Run(name, func(t *testing.T) {
			if _, err := newFile(t, path, FileOptions{}).Write(some(1)); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%v, want an error that names %q", err, path)
			}
		})
	}
	if err := newFile(t, filepath.Join(dir, "file", "a.jsonl"), FileOptions{}).Prepare(); err == nil {
		t.Error("a folder was made in a file")
	}
	path := filepath.Join(dir, "new.jsonl")
	newFile(t, path, FileOptions{})
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("NewFile alone created the file: %v", err)
	}
}

func TestTheFolderIsMadeForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs", "audit", "a.jsonl")
	s := newFile(t, path, FileOptions{})
	if err := s.Prepare(); err != nil {
		t.Fatal(err)
	}
	write(t, s, some(1))
	for dir := filepath.Dir(path); filepath.Base(dir) != "001"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%q: mode %v, %v; want 0700", dir, info.Mode(), err)
		}
	}
}

// A smaller roll_keep must not leave old files behind a gap that looks like
// records removed.
func TestFilesBeyondASmallerNumberAreRemovedAtTheNextRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	for _, keep := range []int{6, 2} {
		s := newFile(t, path, FileOptions{MaxSize: 1, Keep: keep})
		for range 10 {
			write(t, s, some(1))
		}
		s.Close()
		mustVerify(t, path)
	}
	if got := files(t, path); len(got) != 3 {
		t.Errorf("files %q, want two rotated ones and the current", got)
	}
}

// Records that a failed write left whole on the disk were written by nobody else:
// the chain goes on behind them.
func TestTheChainGoesOnBehindWhatIsInTheFileAfterAFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	s, other := newFile(t, path, FileOptions{}), newFile(t, path, FileOptions{})
	write(t, s, some(1))
	s.Close()
	write(t, other, some(2))
	other.Close()
	write(t, s, some(1))
	if r := mustVerify(t, path); r.Records != 4 {
		t.Errorf("%+v, want 4 records", r)
	}
}

func BenchmarkFileWrite(b *testing.B) {
	s := newFile(b, filepath.Join(b.TempDir(), "a.jsonl"), FileOptions{})
	recs := some(100)
	b.ReportAllocs()
	for b.Loop() {
		write(b, s, recs)
	}
}
