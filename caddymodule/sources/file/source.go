package file

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry/jsonrows"
)

// The largest files that are read, in bytes: about a million tenants in JSON, and
// a tenth of that in YAML, which takes far more memory to read.
const (
	maxJSON = 512 << 20
	maxYAML = 64 << 20
)

// settleTime is how long a file must have been left alone before it is read, so
// that one that is being written in place is not read half.
const settleTime = 50 * time.Millisecond

// rereadAfter is when a file that looks the same is read again where the system
// does not tell the time of a file's last change of any kind.
const rereadAfter = 10 * time.Second

func newSource(path string) (*source, error) {
	s := &source{path: path, changed: changedAt}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".json":
		s.parse, s.most = jsonrows.JSON, maxJSON
	case ".yaml", ".yml":
		s.parse, s.most = jsonrows.YAML, maxYAML
	default:
		return nil, fmt.Errorf("reading file source %q: expected a name that ends in .json, .yaml or .yml", path)
	}
	return s, nil
}

type source struct {
	path    string
	parse   func([]byte) (*jsonrows.Document, error)
	most    int64
	changed func(os.FileInfo) time.Time
	last    *reading // nil before the first and when nothing is known
}

// reading is what came of the last time that the file was read.
type reading struct {
	state

	at   time.Time
	hash [sha256.Size]byte
	err  error // what Load says until the file changes
}

// state tells one state of a file from another.
type state struct {
	os.FileInfo

	changed time.Time // when anything of it was, if the system tells
}

func (s state) same(other state) bool {
	return s.FileInfo != nil && other.FileInfo != nil && os.SameFile(s.FileInfo, other.FileInfo) && s.Size() == other.Size() &&
		s.ModTime().Equal(other.ModTime()) && s.changed.Equal(other.changed)
}

// age is for how long the file has been left alone; negative if its clock is ahead
// of ours.
func (s state) age() time.Duration { return min(time.Since(s.ModTime()), time.Since(s.changed)) }

// String implements [registry.Source].
func (s *source) String() string { return "file " + s.path }

// Close implements [registry.Source].
func (s *source) Close() error { return nil }

// Interval implements [registry.Paced]: it is short, because a poll is one stat.
func (s *source) Interval() time.Duration { return 200 * time.Millisecond }

// Forget implements [registry.Forgetful].
func (s *source) Forget() { s.last = nil }

// EmptyIsMeant implements [registry.EmptyMeant]: a file without a list is an error,
// so an empty list was written by somebody.
func (s *source) EmptyIsMeant() bool { return true }

// Load implements [registry.Source].
func (s *source) Load(ctx context.Context) ([]registry.Record, error) {
	records, err := s.load(ctx)
	if err != nil && !errors.Is(err, registry.ErrUnchanged) {
		return nil, fmt.Errorf("reading tenants from file %q: %w", s.path, err)
	}
	return records, err
}

func (s *source) load(ctx context.Context) ([]registry.Record, error) {
	last := s.last
	s.last = nil // what fails leaves nothing known
	now, err := s.settled(ctx, last)
	if err != nil {
		return nil, err
	}
	if last != nil && now.same(last.state) && (!now.changed.IsZero() || time.Since(last.at) < rereadAfter) {
		s.last = last
		return nil, last.err
	}
	read := &reading{state: now, at: time.Now(), err: registry.ErrUnchanged}
	if age := now.age(); age >= 0 && age < settleTime {
		read.state = state{} // it is being written to, and may look the same afterwards
	}
	data, err := s.read(now)
	if err != nil {
		return nil, err
	}
	s.last = read
	if read.hash = sha256.Sum256(data); last != nil && read.hash == last.hash {
		read.err = last.err
		return nil, last.err
	}
	doc, err := s.parse(data)
	if err == nil && doc.Delta {
		err = errors.New("expected the whole list, found a delta")
	}
	if err != nil {
		read.err = err
		return nil, err
	}
	return doc.Records, nil
}

// read returns the file's text.
func (s *source) read(before state) ([]byte, error) {
	if !before.Mode().IsRegular() {
		return nil, errors.New("expected a regular file")
	}
	if before.Size() > s.most {
		return nil, fmt.Errorf("expected at most %d bytes, found %d", s.most, before.Size())
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	after, err := s.stat()
	if err == nil && !before.same(after) {
		err = errors.New("the file changed while it was read")
	}
	return data, err
}

// settled waits until the file has not been written to for settleTime, but not
// longer than a few times that: who writes all the time must not keep the file
// from being read.
func (s *source) settled(ctx context.Context, last *reading) (now state, err error) {
	for range 4 {
		before := now
		now, err = s.stat()
		if err != nil || now.same(before) || last != nil && now.same(last.state) || now.age() >= settleTime {
			return now, err
		}
		select {
		case <-time.After(settleTime - max(now.age(), 0)):
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
	return s.stat()
}

func (s *source) stat() (state, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return state{}, errors.Unwrap(err)
	}
	return state{info, s.changed(info)}, nil
}

// Interface guard.
var _ registry.Paced = (*source)(nil)
