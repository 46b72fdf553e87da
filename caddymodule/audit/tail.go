package audit

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// tail is what the end of an audit file says.
type tail struct {
	last  link  // of the last good record; zero in an empty file
	whole int64 // bytes up to the last line feed
	torn  int64 // bytes behind it
}

// readTail finds the last good record. Lines behind it that are whole but no
// good records stay where they are: they are for VerifyFile to name. A file
// with lines but no record among the last ones is somebody else's, and an
// error.
func readTail(f *os.File) (tail, error) {
	info, err := f.Stat()
	if err != nil {
		return tail{}, err
	}
	size := info.Size()
	// Two lines of the longest kind, so that a good one shows behind a torn
	// one whatever their lengths.
	from := max(size-2*maxLine, 0)
	b, err := io.ReadAll(io.NewSectionReader(f, from, size-from))
	if err != nil {
		return tail{}, err
	}
	end := bytes.LastIndexByte(b, '\n') + 1
	t := tail{whole: from + int64(end), torn: int64(len(b) - end)}
	if end == 0 {
		if from > 0 {
			return tail{}, fmt.Errorf("no line feed in the last %d bytes: %w", len(b), errNotRecord)
		}
		return t, nil
	}
	for lines := b[:end-1]; ; {
		i := bytes.LastIndexByte(lines, '\n')
		if l, _, err := parseLine(lines[i+1:]); err == nil {
			t.last = l
			return t, nil
		}
		if i < 0 {
			return tail{}, fmt.Errorf("no good record at the end of %d bytes: %w", size, errNotRecord)
		}
		lines = lines[:i]
	}
}
