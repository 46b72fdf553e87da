package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
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

// maxProblems bounds a report.
const maxProblems = 1000

// VerifyFile checks the chain of records over the files and the rotated files of
// each (PATH.1 and so on), in whatever order they are named: they are taken by
// their first record. It finds records that were removed, changed, moved or
// inserted, lines that are no records and a torn last line. It needs memory for
// one line.
//
// The error is about reading; what the files say wrong is in the report. It
// may be run beside the writer, and then may see a last line half-written.
func VerifyFile(paths ...string) (VerifyReport, error) {
	if len(paths) == 0 {
		return VerifyReport{}, errors.New("verifying audit files: expected at least one file")
	}
	firsts := make(map[string]int64)
	for _, path := range paths {
		if err := findFiles(path, firsts); err != nil {
			return VerifyReport{}, fmt.Errorf("verifying audit file %q: %w", path, err)
		}
	}
	files := slices.Sorted(maps.Keys(firsts))
	slices.SortStableFunc(files, func(a, b string) int { return cmp.Compare(firsts[a], firsts[b]) })
	var v verifier
	for _, path := range files {
		f, err := os.Open(path)
		if err == nil {
			err = v.lines(path, f)
			f.Close()
		}
		if err != nil {
			return VerifyReport{}, fmt.Errorf("verifying audit file %q: %w", path, err)
		}
	}
	return v.report, nil
}

// findFiles adds path and its rotated files with the number of the first record
// of each, 0 when it begins with none. Path itself is missing for a moment while
// it is rotated.
func findFiles(path string, firsts map[string]int64) error {
	files := []string{path}
	numbers, err := rotatedFiles(path)
	for _, n := range numbers {
		files = append(files, rotated(path, n))
	}
	for _, file := range files {
		f, openErr := os.Open(file)
		if errors.Is(openErr, fs.ErrNotExist) && len(files) > 1 {
			continue
		}
		if openErr != nil {
			return openErr
		}
		line, readErr := bufio.NewReaderSize(f, maxLine+1).ReadSlice('\n')
		f.Close()
		l, _, _ := parseLine(bytes.TrimSuffix(line, []byte("\n")))
		firsts[file] = l.seq
		if readErr != nil && !errors.Is(readErr, io.EOF) && !errors.Is(readErr, bufio.ErrBufferFull) {
			return readErr
		}
	}
	return err
}

// lines follows the chain through one file.
func (v *verifier) lines(path string, r io.Reader) error {
	v.at = Problem{File: path}
	br := bufio.NewReaderSize(r, maxLine+1)
	for {
		line, err := br.ReadSlice('\n')
		tooLong := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = br.ReadSlice('\n')
		}
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return err
		}
		if end && len(line) == 0 {
			return nil
		}
		v.at.Line++
		switch {
		case tooLong:
			v.problem("%v: longer than %d bytes", errNotRecord, maxLine)
		case end:
			v.problem("torn: the last line has no end")
		default:
			v.line(line[:len(line)-1])
		}
	}
}
