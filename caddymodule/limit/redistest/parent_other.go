//go:build !linux

package redistest

import "os/exec"

// dieWithParent has no equivalent here: a killed test leaves its server
// running.
func dieWithParent(*exec.Cmd) {}
