package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The largest files that are read, in bytes: about a million tenants in JSON, and
// a tenth of that in YAML, which takes far more memory to read.
const (
	MaxJSONSize = 512 << 20
	MaxYAMLSize = 64 << 20
)

// settle is how long a file must have been left alone before it is read, so that
// one that is being written in place is not read half.
const settleTime = 50 * time.Millisecond

// NewFile returns a source that reads tenants from a file in JSON (".json") or
// YAML (".yaml", ".yml"):
//
//	tenants:
//	  - slug: acme-pets
//	    name: Acme Pets
//	    plan: free
//	    hosts: [pets.acme.example]
//
// The fields are those of [NewSQLite]'s query. The file may come later and be
// replaced or rewritten at any time; a look at an unchanged one costs a stat. Of
// one in JSON that has changed, only the records are read that are new or
// different; YAML is for lists that are short.
func NewFile(path string) (Source, error) {
	f := &file{path: path}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".json":
		f.text = &jsonText{keys: fileKeys}
		f.parse, f.most = f.parseJSON, MaxJSONSize
	case ".yaml", ".yml":
		f.parse, f.most = parseYAML, MaxYAMLSize
	default:
		return nil, fmt.Errorf("reading file source %q: expected a name that ends in .json, .yaml or .yml", path)
	}
	return f, nil
}

type file struct {
	path  string
	parse func(data []byte) ([]Record, error)
	most  int64
	text  *jsonText // nil for YAML

	seen os.FileInfo // at the last successful look, nil before and after a failure
	hash [sha256.Size]byte
	// whole says that the last successful look was a full one.
	whole bool

	// bad is the file whose content could not be read, and fault why: it is not
	// read again until it changes.
	bad   os.FileInfo
	fault error
}

func (f *file) parseJSON(data []byte) ([]Record, error) {
	doc, err := f.text.all(data)
	return doc.tenants, err
}

func (f *file) String() string { return "file " + f.path }
func (f *file) Close() error   { return nil }

// Interval is short, because a look is one stat.
func (f *file) Interval() time.Duration { return 200 * time.Millisecond }

func (f *file) Load(ctx context.Context) ([]Record, error) {
	changes, err := f.look(ctx, true)
	return changes.Records, err
}

// LoadChanges implements [Incremental] for files in JSON.
func (f *file) LoadChanges(ctx context.Context) (Changes, error) {
	if f.text == nil || f.seen == nil {
		return Changes{}, ErrFull
	}
	return f.look(ctx, false)
}

func (f *file) look(ctx context.Context, whole bool) (Changes, error) {
	changes, err := f.load(ctx, whole)
	if err != nil && !errors.Is(err, ErrUnchanged) && !errors.Is(err, ErrFull) {
		f.seen = nil
		return Changes{}, fmt.Errorf("reading tenants from file %q: %w", f.path, err)
	}
	return changes, err
}

func (f *file) load(ctx context.Context, whole bool) (Changes, error) {
	before, err := f.settled(ctx)
	if err != nil {
		return Changes{}, err
	}
	// All that there is was returned by the last look, or is already known.
	complete := f.seen != nil && (f.whole || !whole)
	if complete && same(before, f.seen) {
		return Changes{}, ErrUnchanged
	}
	if f.bad != nil && same(before, f.bad) {
		return Changes{}, f.fault
	}
	data, after, err := f.content(before)
	if err != nil {
		return Changes{}, err
	}
	hash := sha256.Sum256(data)
	if complete && hash == f.hash {
		f.seen = after
		return Changes{}, ErrUnchanged
	}
	var changes Changes
	if whole {
		if changes.Records, err = f.parse(data); err != nil {
			f.bad, f.fault = after, err
			return Changes{}, err
		}
	} else {
		doc, ok := f.text.changes(data)
		if !ok {
			return Changes{}, ErrFull
		}
		changes = doc.changes()
	}
	f.seen, f.hash, f.whole, f.bad = after, hash, whole, nil
	return changes, nil
}

// content reads the file, and returns what it is afterwards.
func (f *file) content(before os.FileInfo) ([]byte, os.FileInfo, error) {
	if !before.Mode().IsRegular() {
		return nil, nil, errors.New("expected a regular file")
	}
	if before.Size() > f.most {
		return nil, nil, fmt.Errorf("expected at most %d bytes, found %d", f.most, before.Size())
	}
	data, err := readFile(f.path, before.Size(), f.most)
	if err != nil {
		return nil, nil, err
	}
	// A file that was written to meanwhile is read again at the next look.
	after, err := f.stat()
	if err != nil {
		return nil, nil, err
	}
	if !same(before, after) {
		return nil, nil, errors.New("the file changed while it was read")
	}
	return data, after, nil
}

// settled waits until the file has not been written to for settleTime, but not
// longer than a few times that: who writes all the time must not keep the file
// from being read.
func (f *file) settled(ctx context.Context) (os.FileInfo, error) {
	info, err := f.stat()
	for range 4 {
		if err != nil || f.seen != nil && same(info, f.seen) {
			break
		}
		age := time.Since(info.ModTime())
		if age >= settleTime {
			break
		}
		if age < 0 { // the file's clock is ahead of ours
			age = 0
		}
		select {
		case <-time.After(settleTime - age):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		last := info
		if info, err = f.stat(); err == nil && same(last, info) {
			break
		}
	}
	return info, err
}

func (f *file) stat() (os.FileInfo, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	return info, nil
}

func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// readFile reads a file of about that size.
func readFile(path string, size, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close()
	data := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := data.ReadFrom(io.LimitReader(f, most+1)); err != nil {
		return nil, err
	}
	if int64(data.Len()) > most {
		return nil, fmt.Errorf("expected at most %d bytes", most)
	}
	return data.Bytes(), nil
}

var (
	_ Incremental = (*file)(nil)
	_ Paced       = (*file)(nil)
)
