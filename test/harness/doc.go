// Package harness runs the product for black-box tests: the two built
// binaries from the repository's own Caddyfile, in a temporary folder, on free
// loopback ports, and PostgreSQL; Redis is in ratelimit/redistest.
//
// Processes can be ended, killed, frozen and started again. They end with the
// test, and with the test process however that ends; their logs are shown when
// the test fails. Nothing is mocked and nothing is skipped: what is missing
// fails the test.
package harness

import (
	"testing"
	"time"
)

// StartTimeout is how long anything may take to come up. It is generous,
// because test machines are busy; nothing waits for it to pass.
const StartTimeout = 60 * time.Second

// Eventually polls until ok returns true and fails the test if that takes
// longer than the timeout. The words complete "waiting for ...".
func Eventually(t testing.TB, timeout time.Duration, words string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); ; time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: not within %s", words, timeout)
		}
	}
}
