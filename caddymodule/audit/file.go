package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// FileOptions shape a file sink. Zero values mean the defaults given.
type FileOptions struct {
	// MaxSize is the size in bytes at which a file is rotated: 64 MiB. A file
	// may be larger by one batch of records.
	MaxSize int64
	// Keep is how many rotated files are kept beside the current one: 10.
	// PATH.1 is the youngest. Negative keeps none.
	Keep int
	// NoSync leaves it to the operating system when records reach the disk.
	// Otherwise each batch is synced, off the request path.
	NoSync bool
	// Now is the clock for the records the sink writes itself: time.Now.
	Now func() time.Time
}

// file is a sink of chained JSON lines.
type file struct {
	path string
	opts FileOptions
	f    *os.File // nil until the first Write, and after a failure to rotate
	size int64    // bytes of whole records in f; what is behind them is torn
	torn bool     // f may be longer than size
	head link     // of the last record written
	cont bool     // head is known, from the file or from this run
	cut  int64    // bytes of a torn line removed and not yet told in the trail
	buf  []byte
}

// NewFile returns a sink that appends JSON lines to the file at path, which is
// created with mode 0600 in a folder that must exist. The chain continues the
// one found in the file or, when it is empty, in path.1.
//
// The file is opened, locked and, if a crash tore its last line, repaired at
// the first Write, so that checking a configuration leaves a file alone that
// a running process writes. While another process, or another sink of this
// one, holds the file, Write errs and the records wait.
//
// NewFile errs when the path cannot work: no folder, a folder itself, no right
// to write.
func NewFile(path string, opts FileOptions) (Sink, error) {
	if opts.MaxSize <= 0 {
		opts.MaxSize = 64 << 20
	}
	if opts.Keep == 0 {
		opts.Keep = 10
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if err := checkWritable(path); err != nil {
		return nil, fmt.Errorf("opening audit file %q: %w", path, err)
	}
	return &file{path: path, opts: opts}, nil
}

func checkWritable(path string) error {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		dir, err := os.Stat(filepath.Dir(path))
		if err == nil && !dir.IsDir() {
			err = errors.New("expected a file in a folder")
		}
		return err
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("expected a file, found a folder")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// Write appends all records or none, as one write of the system, so that a crash can
// tear at most the end of a batch, and takes back what was written when the
// disk is full.
func (s *file) Write(records []Record) (taken int, err error) {
	if err := s.ready(); err != nil {
		return 0, fmt.Errorf("writing audit file %q: %w", s.path, err)
	}
	if err := s.append(records); err != nil {
		return 0, fmt.Errorf("writing audit file %q: %w", s.path, err)
	}
	if s.size >= s.opts.MaxSize {
		// The records are written. A rotation that fails is tried again at the
		// next Write, which can report it.
		_ = s.rotate()
	}
	return len(records), nil
}

func (s *file) append(records []Record) error {
	buf, head := s.buf[:0], s.head
	if s.cut > 0 {
		buf, head = head.appendLine(buf, &Record{Event: Event{
			Time: s.opts.Now(), Type: TypeRepaired, Count: 1,
			Reason: "torn last line of " + strconv.FormatInt(s.cut, 10) + " bytes removed",
		}})
	}
	for i := range records {
		before := len(buf)
		buf, head = head.appendLine(buf, &records[i])
		if n := len(buf) - before; n > maxLine {
			return fmt.Errorf("record %d of the batch has %d bytes, expected at most %d", i, n, maxLine)
		}
	}
	s.torn = true
	n, err := s.f.Write(buf)
	if err == nil && !s.opts.NoSync {
		err = s.f.Sync()
	}
	if s.buf = buf[:0]; cap(buf) > maxLine {
		s.buf = nil
	}
	if err != nil {
		return errors.Join(fmt.Errorf("after %d of %d bytes: %w", n, len(buf), err), s.untear())
	}
	s.torn, s.head, s.cont, s.cut = false, head, true, 0
	s.size += int64(len(buf))
	return nil
}

// untear removes what a failed write left behind the last whole record.
func (s *file) untear() error {
	if !s.torn {
		return nil
	}
	info, err := s.f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > s.size { // else somebody truncated it; never lengthen it
		if err := s.f.Truncate(s.size); err != nil {
			return err
		}
	}
	s.torn = false
	return nil
}

// ready makes s.f the file at path, locked, whole, and not yet full.
func (s *file) ready() error {
	if s.f != nil {
		if err := s.untear(); err != nil {
			return err
		}
		if info := s.current(); info != nil {
			s.size = info.Size() // less than before when somebody truncated it
			if s.size >= s.opts.MaxSize {
				return s.rotate()
			}
			return nil
		}
		// Somebody moved or removed the file: go on in a new one, with the
		// chain as it stands.
		s.f.Close()
		s.f = nil
	}
	return s.open()
}

// current returns the open file's state while the path leads to it, else nil.
func (s *file) current() fs.FileInfo {
	there, err := os.Stat(s.path)
	if err != nil {
		return nil
	}
	if here, err := s.f.Stat(); err != nil || !os.SameFile(here, there) {
		return nil
	}
	return there
}

func (s *file) open() error {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return fmt.Errorf("locking: another writer has it: %w", err)
	}
	s.f = f
	if s.current() == nil {
		f.Close()
		s.f = nil
		return errors.New("the file was moved while it was opened")
	}
	if err := s.resume(); err != nil {
		f.Close()
		s.f = nil
		return err
	}
	return nil
}

// resume finds the end of the chain and repairs a torn line.
func (s *file) resume() error {
	t, err := readTail(s.f)
	if err != nil {
		return err
	}
	s.size, s.torn = t.whole, t.torn > 0
	if err := s.untear(); err != nil {
		return err
	}
	if !s.cont {
		s.head = t.last
		if t.whole == 0 {
			if s.head, err = lastOf(rotated(s.path, 1)); err != nil {
				return err
			}
		}
		s.cont = true
	}
	if s.cut += t.torn; s.cut > 0 {
		return s.append(nil)
	}
	return nil
}

// Close closes the file. The sink may not be used afterwards.
func (s *file) Close() error {
	if s.f == nil {
		return nil
	}
	err := errors.Join(s.untear(), s.f.Close())
	s.f = nil
	if err != nil {
		return fmt.Errorf("closing audit file %q: %w", s.path, err)
	}
	return nil
}

var _ Sink = (*file)(nil)
