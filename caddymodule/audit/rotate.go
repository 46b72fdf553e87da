package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
)

// rotated names the nth rotated file; 1 is the youngest.
func rotated(path string, n int) string { return path + "." + strconv.Itoa(n) }

// rotate moves the full file aside and opens an empty one. It works from the
// oldest on, so that a crash between two steps leaves a gap in the numbers and
// never two files of one name.
func (s *file) rotate() error {
	keep := max(s.opts.Keep, 0)
	if keep == 0 {
		if err := os.Remove(s.path); err != nil {
			return fmt.Errorf("rotating: %w", err)
		}
	} else {
		if err := shift(s.path, keep); err != nil {
			return fmt.Errorf("rotating: %w", err)
		}
	}
	s.f.Close()
	s.f = nil
	return s.open()
}

// shift renames path.1 to path.2 and so on up to the first free number, at most
// keep, and path to path.1.
func shift(path string, keep int) error {
	free := 1
	for free < keep {
		if _, err := os.Lstat(rotated(path, free)); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		free++
	}
	for n := free; n > 1; n-- {
		if err := os.Rename(rotated(path, n-1), rotated(path, n)); err != nil {
			return err
		}
	}
	return os.Rename(path, rotated(path, 1))
}

// Files lists the rotated files of path that exist, the oldest first, and path
// itself: what [VerifyFile] needs to check a whole trail.
func Files(path string) ([]string, error) {
	var files []string
	// A crash while rotating leaves one number out; the next rotation fills it.
	for n, missing := 1, 0; missing < 2; n++ {
		_, err := os.Stat(rotated(path, n))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing++
		case err != nil:
			return nil, fmt.Errorf("listing audit files of %q: %w", path, err)
		default:
			missing = 0
			files = append(files, rotated(path, n))
		}
	}
	slices.Reverse(files)
	// The current file is missing for a moment while it is rotated.
	if _, err := os.Stat(path); err == nil || len(files) == 0 {
		files = append(files, path)
	}
	return files, nil
}
