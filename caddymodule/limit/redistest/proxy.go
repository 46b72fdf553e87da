package redistest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy passes connections on to a server and can cut them at the worst
// moment: after a command was executed and before its answer arrives.
type Proxy struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	// CutReplies makes the proxy drop the next answers: each closes its
	// connection instead of being passed on.
	CutReplies atomic.Int64
	// Cut counts the answers dropped.
	Cut atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// StartProxy runs a proxy in front of s until the test ends.
func StartProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("starting proxy: %v", err)
	}
	p := &Proxy{listener: l, target: s.Addr(), conns: map[net.Conn]struct{}{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

// URL is the proxy's address in the form redis://host:port.
func (p *Proxy) URL() string { return "redis://" + p.listener.Addr().String() }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = struct{}{}, struct{}{}
		p.mu.Unlock()
		closeBoth := func() {
			client.Close()
			server.Close()
		}
		p.wg.Go(func() {
			defer closeBoth()
			_, _ = io.Copy(server, client)
		})
		p.wg.Go(func() {
			defer closeBoth()
			buf := make([]byte, 64<<10)
			for {
				n, err := server.Read(buf)
				if err != nil {
					return
				}
				if p.take() {
					p.Cut.Add(1)
					return
				}
				if _, err := client.Write(buf[:n]); err != nil {
					return
				}
			}
		})
	}
}

// take claims one of the answers to be cut.
func (p *Proxy) take() bool {
	for {
		n := p.CutReplies.Load()
		if n <= 0 {
			return false
		}
		if p.CutReplies.CompareAndSwap(n, n-1) {
			return true
		}
	}
}
