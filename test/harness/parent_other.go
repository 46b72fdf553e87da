//go:build unix && !linux

package harness

import "syscall"

// attributes are none: other kernels do not tell a child of its parent's death.
func attributes(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

// children are not known there; what a process has made ends by itself.
func children(int) []int { return nil }
