package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// chain returns the lines of n records, each with its line feed.
func chain(n int) []string {
	var l link
	lines := make([]string, n)
	for i, rec := range some(n) {
		var b []byte
		b, l = l.appendLine(nil, &rec)
		lines[i] = string(b)
	}
	return lines
}

// rehash makes the line's hash fit its bytes again, as a careful forger would.
func rehash(line string) string {
	body := line[:len(line)-1-tailLen]
	return fmt.Sprintf(`%s,"hash":"%x"}`+"\n", body, sha256.Sum256([]byte(body)))
}

func TestTheVerifierNamesTheLineAndWhatIsWrong(t *testing.T) {
	edit := func(l []string, i int, from, to string) []string {
		l[i] = strings.Replace(l[i], from, to, 1)
		return l
	}
	for name, c := range map[string]struct {
		tamper func(l []string) []string
		want   []string
	}{
		"nothing":      {func(l []string) []string { return l }, nil},
		"first gone":   {func(l []string) []string { return l[2:] }, nil}, // rotated away: FirstSeq tells
		"changed":      {func(l []string) []string { return edit(l, 3, `"request_id":"3"`, `"request_id":"8"`) }, []string{"4: record 4: the record was changed"}},
		"hash changed": {func(l []string) []string { return edit(l, 3, `","hash":"`, `","hash":"0`) }, []string{"4: not an audit record"}},
		"changed and hashed anew": {func(l []string) []string {
			l = edit(l, 3, `"request_id":"3"`, `"request_id":"8"`)
			l[3] = rehash(l[3])
			return l
		}, []string{"5: record 5: its prev is not the hash of record 4"}},
		"one removed":        {func(l []string) []string { return slices.Delete(l, 3, 4) }, []string{"4: removed: record 4 is missing"}},
		"three removed":      {func(l []string) []string { return slices.Delete(l, 3, 6) }, []string{"4: removed: records 4 to 6 are missing"}},
		"two swapped":        {func(l []string) []string { l[3], l[4] = l[4], l[3]; return l }, []string{"4: removed: record 4 is missing", "5: record 4: moved or repeated, found behind record 5"}},
		"moved to the end":   {func(l []string) []string { return append(slices.Delete(l, 3, 4), chain(4)[3]) }, []string{"4: removed: record 4 is missing", "10: record 4: moved or repeated, found behind record 10"}},
		"moved to the front": {func(l []string) []string { return append([]string{chain(6)[5]}, slices.Delete(l, 5, 6)...) }, []string{"2: record 1: moved or repeated, found behind record 6"}},
		"a run moved":        {func(l []string) []string { return append(slices.Delete(l, 3, 6), chain(6)[3:]...) }, []string{"4: removed: records 4 to 6 are missing", "8: record 4: moved or repeated, found behind record 10"}},
		"repeated":           {func(l []string) []string { return slices.Insert(l, 4, l[3]) }, []string{"5: record 4: moved or repeated, found behind record 4"}},
		"foreign line":       {func(l []string) []string { return slices.Insert(l, 4, "{}\n") }, []string{"5: not an audit record"}},
		"empty line":         {func(l []string) []string { return slices.Insert(l, 4, "\n") }, []string{"5: not an audit record"}},
		"CRLF":               {func(l []string) []string { return edit(l, 4, "\n", "\r\n") }, []string{"5: not an audit record", "6: removed: record 5"}},
		"too long":           {func(l []string) []string { return slices.Insert(l, 4, strings.Repeat("x", maxLine+1)+"\n") }, []string{"5: not an audit record: longer"}},
		"upper-case hash": {func(l []string) []string {
			return edit(l, 4, l[4][len(l[4])-20:], strings.ToUpper(l[4][len(l[4])-20:]))
		}, []string{"5: not an audit record", "6: removed: record 5"}},
		"not JSON, hashed":  {func(l []string) []string { l[4] = rehash(strings.Replace(l[4], `"type":`, `type:`, 1)); return l }, []string{"5: not an audit record", "6: removed: record 5"}},
		"torn":              {func(l []string) []string { l[9] = l[9][:50]; return l }, []string{"10: torn"}},
		"no last line feed": {func(l []string) []string { l[9] = strings.TrimSuffix(l[9], "\n"); return l }, []string{"10: torn"}},
		"prev of the first": {func(l []string) []string {
			l[0] = rehash(strings.Replace(l[0], `"prev":"0`, `"prev":"1`, 1))
			return l[:1]
		}, []string{"1: record 1: its prev is not zero"}},
		"another chain": {func(l []string) []string {
			return append(l[:5], rehash(strings.Replace(l[5], `"prev":"`+l[5][strings.Index(l[5], `"prev":"`)+8:][:4], `"prev":"0000`, 1)))
		}, []string{"6: record 6: its prev is not the hash"}},
	} {
		t.Run(name, func(t *testing.T) {
			var v verifier
			if err := v.lines("f", strings.NewReader(strings.Join(c.tamper(chain(10)), ""))); err != nil {
				t.Fatal(err)
			}
			got := v.report.Problems
			slices.SortFunc(got, func(a, b Problem) int { return int(a.Line - b.Line) })
			ok := len(got) == len(c.want) || name == "hash changed"
			for i := range c.want {
				ok = ok && i < len(got) && strings.HasPrefix(got[i].String(), "f:"+c.want[i])
			}
			if !ok {
				t.Errorf("found %v, want %q", got, c.want)
			}
		})
	}
}

func TestFilesMayBeNamedInAnyOrder(t *testing.T) {
	dir := t.TempDir()
	l := chain(9)
	for name, lines := range map[string][]string{"c": l[:3], "a": l[3:6], "b": l[6:], "empty": nil} {
		os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(lines, "")), 0o600)
	}
	path := func(s string) string { return filepath.Join(dir, s) }
	r, err := VerifyFile(path("a"), path("b"), path("c"), path("empty"))
	if err != nil || !r.OK() || r.Records != 9 || r.FirstSeq != 1 || r.LastSeq != 9 {
		t.Errorf("got %+v, %v", r, err)
	}
	if r, _ := VerifyFile(path("c"), path("b")); len(r.Problems) != 1 || r.Problems[0].File != path("b") || r.Problems[0].Line != 1 {
		t.Errorf("without the middle file: %+v, want one gap at the first line of b", r)
	}
	if _, err := VerifyFile(path("none")); err == nil || !strings.Contains(err.Error(), path("none")) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := VerifyFile(); err == nil {
		t.Error("no file at all is no error")
	}
}

func TestTheHeadShowsRecordsRemovedFromTheEnd(t *testing.T) {
	var whole, cut verifier
	whole.lines("f", strings.NewReader(strings.Join(chain(5), "")))
	cut.lines("f", strings.NewReader(strings.Join(chain(5)[:4], "")))
	a, b := whole.report, cut.report
	if !b.OK() || a.Head == b.Head || a.LastSeq == b.LastSeq {
		t.Errorf("heads %d %s and %d %s", a.LastSeq, a.Head, b.LastSeq, b.Head)
	}
}

// FuzzVerifyFile holds the verifier against a plain second reading of the rule:
// what it finds good must be a chain by the words of the package comment.
func FuzzVerifyFile(f *testing.F) {
	l := chain(4)
	whole := strings.Join(l, "")
	f.Add([]byte(whole))
	f.Add([]byte(""))
	f.Add([]byte(whole[:len(whole)-1]))
	f.Add([]byte(l[0] + l[2]))
	f.Add([]byte(l[1] + l[0] + l[3] + l[2]))
	f.Add([]byte(strings.Replace(whole, `"seq":2`, `"seq":9007199254740992`, 1)))
	f.Add([]byte("\n\n\n"))
	f.Add([]byte(strings.Replace(whole, "x", "\xff", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v verifier
		if err := v.lines("f", bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		r := v.report
		for _, p := range r.Problems {
			if p.Line < 1 || p.What == "" {
				t.Errorf("problem without line or words: %+v", p)
			}
		}
		if !r.OK() {
			return
		}
		var n, last int64
		hash := ""
		for line := range bytes.Lines(b) {
			var rec struct {
				Seq        int64
				Prev, Hash string
			}
			line = bytes.TrimSuffix(line, []byte("\n"))
			if err := json.Unmarshal(line, &rec); err != nil {
				t.Fatalf("a good line is not JSON: %v", err)
			}
			want := fmt.Sprintf("%x", sha256.Sum256(line[:len(line)-75]))
			if !bytes.HasSuffix(line, []byte(`,"hash":"`+want+`"}`)) {
				t.Fatalf("line %q does not have hash %s", line, want)
			}
			if n > 0 && (rec.Seq != last+1 || rec.Prev != hash) {
				t.Fatalf("line %q does not follow record %d, %s", line, last, hash)
			}
			n, last, hash = n+1, rec.Seq, want
		}
		if r.Records != n || r.LastSeq != last || r.Head != hash {
			t.Errorf("report %+v, want %d records up to %d, %s", r, n, last, hash)
		}
	})
}
