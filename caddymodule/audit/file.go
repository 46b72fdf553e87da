package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// FileOptions shape a file sink. Zero values mean the defaults given.
type FileOptions struct {
	// MaxSize is the size in bytes at which a file is rotated: 64 MiB. A file
	// may be larger by one batch of records.
	MaxSize int64
	// Keep is how many rotated files are kept beside the current one: 10.
	// PATH.1 is the youngest.
	Keep int
}

// File is a [Sink] of chained JSON lines.
type File struct {
	path string
	opts FileOptions
	now  func() time.Time

	f    *os.File // nil until the first Write, and after a failure
	head link     // of the last record written or found
	cut  int64    // bytes of a torn line removed and not yet told in the log
}

// NewFile returns a sink that appends JSON lines to the file at path, which is
// created with mode 0600. The chain continues the one found in the file or, when
// it is empty, in path.1. Each batch is on the disk when Write returns.
//
// The file is opened, locked and, if a crash tore its last line, repaired at the
// first Write. While another process, or another sink of this one, holds the
// file, Write errs.
func NewFile(path string, o FileOptions) *File {
	o.MaxSize = cmp.Or(max(o.MaxSize, 0), 64<<20)
	o.Keep = cmp.Or(max(o.Keep, 0), 10)
	return &File{path: path, opts: o, now: time.Now}
}

// Prepare makes the file's folder if need be, for its owner alone: records name
// customers and addresses.
func (s *File) Prepare() error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("making the audit file's folder: %w", err)
	}
	return nil
}

// Write appends all records or none, as one write of the system, so that a crash
// can tear at most the end of a batch, and takes back what was written when the
// disk is full.
func (s *File) Write(records []Record) (taken int, err error) {
	if err := s.write(records); err != nil {
		// Whatever is wrong with the file, the next Write opens it anew.
		return 0, fmt.Errorf("writing audit file %q: %w", s.path, errors.Join(err, s.Close()))
	}
	return len(records), nil
}

func (s *File) write(records []Record) error {
	size, err := s.ready()
	if err != nil {
		return err
	}
	lines, head, err := s.lines(records)
	if err != nil {
		return err
	}
	n, err := s.f.Write(lines)
	if err == nil {
		err = s.f.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("after %d of %d bytes: %w", n, len(lines), err), s.takeBack(size))
	}
	s.head, s.cut = head, 0
	return nil
}

// lines encodes the records, behind a note of a torn line if one was cut.
func (s *File) lines(records []Record) ([]byte, link, error) {
	var lines []byte
	head := s.head
	if s.cut > 0 {
		reason := fmt.Sprintf("torn last line of %d bytes removed", s.cut)
		lines, head = head.appendLine(lines, &Record{Event: Event{Time: s.now(), Type: TypeRepaired, Reason: reason}})
	}
	for i := range records {
		before := len(lines)
		lines, head = head.appendLine(lines, &records[i])
		if n := len(lines) - before; n > maxLine {
			return nil, link{}, fmt.Errorf("record %d of the batch has %d bytes, expected at most %d", i, n, maxLine)
		}
	}
	return lines, head, nil
}

// takeBack shortens the file to size. It never lengthens one that somebody else
// has truncated.
func (s *File) takeBack(size int64) error {
	info, err := s.f.Stat()
	if err == nil && info.Size() > size {
		err = s.f.Truncate(size)
	}
	return err
}

// ready makes s.f the file at path: locked, whole and not yet full. It returns
// the file's size.
func (s *File) ready() (int64, error) {
	size, ok := s.current()
	if ok && size >= s.opts.MaxSize {
		if err := rotate(s.path, s.opts.Keep); err != nil {
			return 0, fmt.Errorf("rotating: %w", err)
		}
		ok = false
	}
	if ok {
		return size, nil
	}
	// There is none yet, or it was moved or removed, here or by somebody else:
	// the chain goes on in the file that takes its place.
	if err := s.Close(); err != nil {
		return 0, err
	}
	return s.open()
}

// current returns the open file's size, and whether the path leads to it.
func (s *File) current() (size int64, ok bool) {
	if s.f == nil {
		return 0, false
	}
	there, err := os.Stat(s.path)
	if err != nil {
		return 0, false
	}
	here, err := s.f.Stat()
	return there.Size(), err == nil && os.SameFile(here, there)
}

func (s *File) open() (size int64, err error) {
	if s.f, err = os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		s.f = nil
		return 0, err
	}
	if err := lockFile(s.f); err != nil {
		return 0, fmt.Errorf("locking: another writer has it: %w", err)
	}
	if _, ok := s.current(); !ok {
		return 0, errors.New("the file was moved while it was opened")
	}
	t, err := readTail(s.f)
	if err != nil {
		return 0, err
	}
	last := t.last
	if t.whole == 0 {
		if last, err = lastOf(rotated(s.path, 1)); err != nil {
			return 0, err
		}
	}
	// An older one than this sink has written is there when somebody truncated the
	// file.
	if last.seq > s.head.seq {
		s.head = last
	}
	if t.torn > 0 {
		if err := s.takeBack(t.whole); err != nil {
			return 0, err
		}
		s.cut += t.torn
	}
	return t.whole, nil
}

// Close closes the file and lets another writer in.
func (s *File) Close() error {
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f = nil
	if err != nil {
		return fmt.Errorf("closing audit file %q: %w", s.path, err)
	}
	return nil
}

// lastOf returns the link of the last record of a rotated file, or zero when
// there is no such file.
func lastOf(path string) (link, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return link{}, nil
	}
	if err != nil {
		return link{}, err
	}
	defer f.Close()
	t, err := readTail(f)
	if err != nil {
		return link{}, fmt.Errorf("continuing %q: %w", path, err)
	}
	return t.last, nil
}

var _ PreparedSink = (*File)(nil)
