package control

import (
	"strconv"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
)

// checkLimits accepts "" and lists such as "200/1h 10/1s": a count, a slash
// and a length of digits with s, m, h or d. The gateway has the last word on
// what it supports; this keeps out what no gateway could read.
func checkLimits(bad *petstore.Invalid, s string) {
	if len(s) > 200 {
		bad.Add("limits", "expected at most 200 characters")
		return
	}
	for _, window := range strings.Fields(s) {
		count, length, ok := strings.Cut(window, "/")
		n, err := strconv.ParseUint(count, 10, 48)
		if !ok || err != nil || n == 0 || !validLength(length) {
			bad.Add("limits", "expected windows such as 200/1h 10/1s, found %.40q", window)
			return
		}
	}
}

func validLength(s string) bool {
	if len(s) < 2 || len(s) > 9 || !strings.ContainsRune("smhd", rune(s[len(s)-1])) {
		return false
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	return err == nil && n > 0
}
