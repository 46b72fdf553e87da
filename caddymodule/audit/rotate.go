package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Rotation is ours, though Caddy brings a package for it (timberjack): that one
// names rotated files by the clock and deletes the "oldest", which are the newest
// after the clock was set back; and it opens the file itself, so that a lock and
// the repair of a torn line would race with it.

// rotated names the nth rotated file; 1 is the youngest.
func rotated(path string, n int) string { return path + "." + strconv.Itoa(n) }

// rotatedFiles returns the numbers of the rotated files of path, ascending.
func rotatedFiles(path string) ([]int, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("listing audit files of %q: %w", path, err)
	}
	var numbers []int
	for _, e := range entries {
		suffix, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+".")
		if n, err := strconv.Atoi(suffix); ok && err == nil && n > 0 && strconv.Itoa(n) == suffix {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// rotate renames path.1 to path.2 and so on up to the first free number, at most
// keep, and path to path.1, and removes what lies behind keep. It works from the
// oldest on, so that a crash between two steps leaves a gap in the numbers and
// never two files of one name; the next rotation fills the gap.
func rotate(path string, keep int) error {
	numbers, err := rotatedFiles(path)
	if err != nil {
		return err
	}
	free := 1
	for _, n := range numbers {
		if n > keep {
			if err := os.Remove(rotated(path, n)); err != nil {
				return err
			}
		}
		if n == free {
			free++
		}
	}
	for n := min(free, keep); n > 1; n-- {
		if err := os.Rename(rotated(path, n-1), rotated(path, n)); err != nil {
			return err
		}
	}
	return os.Rename(path, rotated(path, 1))
}
