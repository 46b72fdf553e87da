package harness

import "syscall"

// attributes make the kernel end a process whose parent was killed before it
// could clean up.
func attributes(onParentDeath syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: onParentDeath}
}
