package upstreams

import (
	"sync"
	"testing"
)

// reverse_proxy writes to the values it is given.
func TestRequestsShareNoUpstream(t *testing.T) {
	addresses := []string{"192.0.2.2:80", "192.0.2.3:80"}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				list := candidates(addresses)
				if len(list) != 2 || list[0].Dial != "192.0.2.2:80" {
					t.Errorf("%v", list)
					return
				}
				list[0].Dial, list[1].MaxRequests = "", 7 // a race if shared
			}
		})
	}
	wg.Wait()
}
