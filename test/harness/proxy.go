package harness

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy passes TCP connections on to a loopback port, and can cut them at the
// worst moment: when the server has done what was asked and before its answer
// arrives.
type Proxy struct {
	// Port is its own loopback port.
	Port int
	// CutReplies makes it drop the next answers: each ends its connection
	// instead of being passed on.
	CutReplies atomic.Int64
	// Cut counts the answers dropped.
	Cut atomic.Int64

	target string
	wg     sync.WaitGroup
	mu     sync.Mutex
	conns  []net.Conn
	ended  bool
}

// StartProxy runs a proxy in front of the address until the test ends. Nothing
// need listen there yet: then connections are closed.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("starting a proxy: %v", err)
	}
	p := &Proxy{Port: l.Addr().(*net.TCPAddr).Port, target: target}
	p.wg.Go(func() { p.accept(l) })
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		p.ended = true
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		if !p.keep(client, server) {
			return
		}
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
			p.reply(client, server)
		})
	}
}

// keep notes connections to close at the end, or closes them if it has come.
func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		for _, c := range conns {
			c.Close()
		}
		return false
	}
	p.conns = append(p.conns, conns...)
	return true
}

// reply passes on what the server says, until it is to be cut.
func (p *Proxy) reply(client, server net.Conn) {
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
