package redistest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// slotCount is the number of hash slots of a Redis Cluster.
const slotCount = 16384

// StartCluster runs a Redis Cluster of masters without replicas and returns
// when every one of them considers it whole.
func StartCluster(t testing.TB, masters int) []*Server {
	t.Helper()
	servers := make([]*Server, masters)
	for i := range servers {
		// The cluster bus listens 10000 above, which is not always a port.
		bus := FreePort(t)
		servers[i] = Start(t, "--cluster-enabled", "yes", "--cluster-port", fmt.Sprint(bus),
			"--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "30000")
		servers[i].bus = bus
	}
	for i, s := range servers {
		s.Do("CLUSTER", "ADDSLOTSRANGE", i*slotCount/masters, (i+1)*slotCount/masters-1)
		if i > 0 {
			servers[0].Do("CLUSTER", "MEET", "127.0.0.1", s.port, s.bus)
		}
	}
	for _, s := range servers {
		Await(t, func() bool {
			info := s.Do("CLUSTER", "INFO").(string)
			return strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", masters))
		})
	}
	return servers
}

// NodeID is the server's name in its cluster.
func (s *Server) NodeID() string { return s.Do("CLUSTER", "MYID").(string) }

// MigrateSlot moves one slot with its keys from s to another master, as a
// reshard does, calling during while the slot is between the two.
func (s *Server) MigrateSlot(slot int, to *Server, others []*Server, during func()) {
	s.t.Helper()
	to.Do("CLUSTER", "SETSLOT", slot, "IMPORTING", s.NodeID())
	s.Do("CLUSTER", "SETSLOT", slot, "MIGRATING", to.NodeID())
	during()
	for {
		keys := s.Do("CLUSTER", "GETKEYSINSLOT", slot, 100).([]any)
		if len(keys) == 0 {
			break
		}
		for _, k := range keys {
			s.Do("MIGRATE", "127.0.0.1", to.port, k, 0, 5000)
		}
		during()
	}
	id := to.NodeID()
	to.Do("CLUSTER", "SETSLOT", slot, "NODE", id)
	s.Do("CLUSTER", "SETSLOT", slot, "NODE", id)
	for _, o := range others {
		if o != s && o != to {
			o.Do("CLUSTER", "SETSLOT", slot, "NODE", id)
		}
	}
}

// StartSentinel runs a sentinel that watches master under the name "main" and
// promotes a replica as soon as the master has been silent for a moment.
func StartSentinel(t testing.TB, master *Server) *Server {
	t.Helper()
	s := Start(t, "--sentinel", fmt.Sprintf("sentinel monitor main 127.0.0.1 %d 1", master.port))
	s.Do("SENTINEL", "SET", "main", "down-after-milliseconds", 300)
	s.Do("SENTINEL", "SET", "main", "failover-timeout", 3000)
	return s
}

// Await polls until done says so, and fails the test if it never does.
func Await(t testing.TB, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(startTimeout)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting after %s", startTimeout)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
