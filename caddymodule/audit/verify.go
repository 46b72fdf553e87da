package audit

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// VerifyReport says what files hold and what is wrong with them.
type VerifyReport struct {
	// Records counts good records.
	Records int64
	// FirstSeq and LastSeq are the lowest and the highest sequence number, 0
	// when there is no record. FirstSeq above 1 means that older records are
	// not in the files given, as after rotation.
	FirstSeq, LastSeq int64
	// Head is the hash of record LastSeq in hexadecimal. Kept elsewhere, it
	// shows later whether records were removed from the end.
	Head string
	// Problems are in the order of the files; at most 1000 are kept.
	Problems []Problem
	// More counts the problems that were not kept.
	More int64
}

// OK reports whether nothing is wrong.
func (r VerifyReport) OK() bool { return len(r.Problems) == 0 }

// Problem is one thing that is wrong.
type Problem struct {
	File string
	// Line is the line's number in the file, from 1.
	Line int64
	// What is the finding in words.
	What string
}

// String returns "FILE:LINE: WHAT".
func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.What) }

const (
	maxProblems = 1000
	maxGaps     = 1000
)

// VerifyFile checks the chain of records over the files, in whatever order they
// are named: they are taken by their first record. See [Files] for a rotated
// trail. It finds records that were removed, changed, moved or inserted, lines
// that are no records and a torn last line. It needs memory for one line.
//
// The error is about reading; what the files say wrong is in the report. It
// may be run beside the writer, and then may see a last line half-written.
func VerifyFile(paths ...string) (VerifyReport, error) {
	if len(paths) == 0 {
		return VerifyReport{}, errors.New("verifying audit files: expected at least one file")
	}
	type file struct {
		path  string
		first int64
	}
	files := make([]file, len(paths))
	for i, path := range paths {
		first, err := firstSeq(path)
		if err != nil {
			return VerifyReport{}, fmt.Errorf("verifying audit file %q: %w", path, err)
		}
		files[i] = file{path, first}
	}
	slices.SortStableFunc(files, func(a, b file) int { return cmp.Compare(a.first, b.first) })
	var v verifier
	for _, f := range files {
		if err := v.file(f.path); err != nil {
			return VerifyReport{}, fmt.Errorf("verifying audit file %q: %w", f.path, err)
		}
	}
	return v.finish(), nil
}

// firstSeq is the number of the file's first record, 0 when it begins with
// none.
func firstSeq(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	line, _, err := readLine(bufio.NewReader(f))
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	l, _, _ := parseLine(line)
	return l.seq, nil
}

// verifier follows a chain line by line. After a problem it goes on from what
// the line states, so that one deed is one finding.
type verifier struct {
	report VerifyReport
	at     Problem // file and line being read
	prev   link    // the line before
	gaps   []gap   // numbers not seen yet, ascending
}

// gap is a run of sequence numbers that were passed over.
type gap struct {
	from, to int64
	at       Problem
}

func (v *verifier) problem(format string, args ...any) {
	p := v.at
	p.What = fmt.Sprintf(format, args...)
	v.add(p)
}

func (v *verifier) add(p Problem) {
	if len(v.report.Problems) >= maxProblems {
		v.report.More++
		return
	}
	v.report.Problems = append(v.report.Problems, p)
}

func (v *verifier) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return v.lines(path, f)
}

func (v *verifier) lines(path string, r io.Reader) error {
	v.at = Problem{File: path}
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		line, whole, err := readLine(br)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		v.at.Line++
		switch {
		case !whole:
			v.problem("torn: the last line has no end")
		case line == nil:
			v.problem("%v: longer than %d bytes", errNotRecord, maxLine)
		default:
			v.line(line)
		}
	}
}

// readLine returns a line without its line feed; whole says that it had one. A
// line beyond maxLine is skipped and returned as nil.
func readLine(br *bufio.Reader) (line []byte, whole bool, err error) {
	line = []byte{}
	read := false
	for {
		part, err := br.ReadSlice('\n')
		read = read || len(part) > 0
		if line != nil && len(line)+len(part) <= maxLine+1 {
			line = append(line, part...)
		} else {
			line = nil
		}
		switch {
		case err == nil:
			if line != nil {
				line = line[:len(line)-1]
			}
			return line, true, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && read:
			return line, false, nil
		default:
			return nil, false, err
		}
	}
}

func (v *verifier) line(line []byte) {
	l, prev, err := parseLine(line)
	if errors.Is(err, errNotRecord) {
		v.problem("%v", err)
		return
	}
	if err != nil {
		v.problem("record %d: %v", l.seq, err)
	} else {
		v.report.Records++
	}
	v.place(l, prev)
}

// place compares a record with the one before it and moves on to it.
func (v *verifier) place(l link, prev [sha256.Size]byte) {
	r := &v.report
	first := r.LastSeq == 0
	switch {
	case first:
		r.FirstSeq = l.seq
		if l.seq > 1 { // rotated away, or moved further down
			v.passOver(gap{1, l.seq - 1, v.at})
		}
		if l.seq == 1 && prev != [sha256.Size]byte{} {
			v.problem("record 1: its prev is not zero")
		}
	case l.seq == v.prev.seq+1 && v.follows(l.seq):
		if prev != v.prev.hash {
			v.problem("record %d: its prev is not the hash of record %d before it", l.seq, v.prev.seq)
		}
	case l.seq > r.LastSeq:
		if l.seq > r.LastSeq+1 {
			v.passOver(gap{r.LastSeq + 1, l.seq - 1, v.at})
		}
	case v.fill(l.seq):
		v.problem("record %d: reordered, found behind record %d", l.seq, v.prev.seq)
	default:
		v.problem("record %d: repeated, found behind record %d", l.seq, v.prev.seq)
	}
	v.prev = l
	r.FirstSeq = min(r.FirstSeq, l.seq)
	if first || l.seq > r.LastSeq {
		r.LastSeq = l.seq
		r.Head = hex.EncodeToString(l.hash[:])
	}
}

// follows reports whether the next number may stand here: it is the highest so
// far, or one that was passed over and comes in a run that was moved.
func (v *verifier) follows(seq int64) bool {
	return seq == v.report.LastSeq+1 || v.fill(seq)
}

func (v *verifier) passOver(g gap) {
	if len(v.gaps) < maxGaps {
		v.gaps = append(v.gaps, g)
		return
	}
	v.missing(g)
}

func (v *verifier) missing(g gap) {
	p := g.at
	if g.from == g.to {
		p.What = fmt.Sprintf("removed: record %d is missing before this line", g.from)
	} else {
		p.What = fmt.Sprintf("removed: records %d to %d are missing before this line", g.from, g.to)
	}
	v.add(p)
}

// fill takes seq out of the gaps and reports whether it was in one.
func (v *verifier) fill(seq int64) bool {
	i, found := slices.BinarySearchFunc(v.gaps, seq, func(g gap, seq int64) int {
		switch {
		case g.to < seq:
			return -1
		case g.from > seq:
			return 1
		}
		return 0
	})
	if !found {
		return false
	}
	g := v.gaps[i]
	var left []gap
	if g.from < seq {
		left = append(left, gap{g.from, seq - 1, g.at})
	}
	if rest := (gap{seq + 1, g.to, g.at}); g.to > seq {
		if len(left) == 1 && len(v.gaps) >= maxGaps {
			v.missing(rest) // keeps memory bounded on a file made to fill it
		} else {
			left = append(left, rest)
		}
	}
	v.gaps = slices.Replace(v.gaps, i, i+1, left...)
	return true
}

// finish reports what is still missing.
func (v *verifier) finish() VerifyReport {
	for _, g := range v.gaps {
		if g.to >= v.report.FirstSeq {
			v.missing(g)
		}
	}
	v.gaps = nil
	return v.report
}
