package file

import (
	"os"
	"syscall"
	"time"
)

// changedAt returns when anything of the file was changed last, which no program
// can set: it tells of a new content that has the size and the time of the old one.
func changedAt(info os.FileInfo) time.Time {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(stat.Ctim.Unix())
	}
	return time.Time{}
}
