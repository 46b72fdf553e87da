package sqldb

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
)

// File says which file it is that a path leads to, whatever its name: another
// process may put another file there while a connection is open. The number is
// given to no other file for as long as a connection holds this one. The zero
// value is no file.
type File struct{ info fs.FileInfo }

// ErrReplaced means that another file is where an open one was. What is read
// there is old, and what is written there is lost, so both are refused. It is
// an [petstore.ErrUnavailable].
var ErrReplaced = fmt.Errorf("%w: the database file was replaced by another", petstore.ErrUnavailable)

// FileAt returns the file at path. One that is missing is [fs.ErrNotExist].
func FileAt(path string) (File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}
	return File{info}, nil
}

// StillAt returns [ErrReplaced] unless the file is the one at path.
func (f File) StillAt(path string) error {
	if now, err := FileAt(path); err != nil || !os.SameFile(now.info, f.info) {
		return fmt.Errorf("using %q: %w", path, ErrReplaced)
	}
	return nil
}
