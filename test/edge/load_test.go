package edge

import (
	"bufio"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// load is what a test's clients meet at one gateway.
type load struct {
	t      testing.TB
	port   int
	served map[string]*atomic.Int64 // by slug
	// lost counts requests whose connection failed before the answer began.
	lost atomic.Int64
	// wrong has every answer that nobody may get.
	mu    sync.Mutex
	wrong []string

	stop context.CancelFunc
	ctx  context.Context
	work sync.WaitGroup
}

var loadSlugs = []string{"acme-pets", "fluffy-friends"}

// startLoad begins to send requests: 20 clients that keep a connection by
// HTTP/1.1, 10 that make one for each request, 15 by HTTP/2, 5 by HTTP/3.
func startLoad(t testing.TB, port int) *load {
	l := &load{t: t, port: port, served: make(map[string]*atomic.Int64)}
	l.ctx, l.stop = context.WithCancel(context.Background())
	t.Cleanup(l.stop)
	for _, slug := range loadSlugs {
		l.served[slug] = new(atomic.Int64)
	}
	for i := range 50 {
		slug := loadSlugs[i%len(loadSlugs)]
		config := &tls.Config{ServerName: slug + ".petstore.test", InsecureSkipVerify: true}
		dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
		}
		var client http.RoundTripper
		switch {
		case i < 30:
			client = &http.Transport{TLSClientConfig: config, DialContext: dial, DisableKeepAlives: i < 10}
		case i < 45:
			client = &http.Transport{TLSClientConfig: config, DialContext: dial, ForceAttemptHTTP2: true}
		default:
			client = &http3.Transport{TLSClientConfig: config}
		}
		l.work.Go(func() {
			for l.ctx.Err() == nil {
				l.request(client, slug)
			}
			switch c := client.(type) {
			case *http.Transport:
				c.CloseIdleConnections()
			case *http3.Transport:
				c.Close()
			}
		})
	}
	return l
}

// request sends one and judges what came back.
func (l *load) request(client http.RoundTripper, slug string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	host := slug + ".petstore.test"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/", l.port), nil)
	if err != nil {
		l.blame("making a request: %v", err)
		return
	}
	r.Host = host
	res, err := client.RoundTrip(r)
	if err != nil {
		l.lost.Add(1)
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	tenant, asked, _ := strings.Cut(string(body), " ")
	switch {
	case err != nil:
		l.blame("an answer was cut off: %v", err)
	case res.StatusCode != http.StatusOK:
		l.blame("status %d: %s", res.StatusCode, body)
	case asked != host || tenant != "" && tenant != slug:
		l.blame("a request for %s became one of tenant %q at %q", host, tenant, asked)
	default:
		l.served[slug].Add(1)
	}
}

func (l *load) blame(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) < 20 {
		l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
	}
}

// end stops the clients and fails the test for each wrong answer.
func (l *load) end() (served, lost int64) {
	l.t.Helper()
	l.stop()
	l.work.Wait()
	for _, w := range l.wrong {
		l.t.Errorf("port %d: %s", l.port, w)
	}
	for _, n := range l.served {
		served += n.Load()
	}
	return served, l.lost.Load()
}

// loadBackend answers with the tenant and the host that it was asked for, and
// has a WebSocket and a stream of events.
func loadBackend(t testing.TB) string {
	return listenBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			echo(w, r)
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			for i := 0; r.Context().Err() == nil; i++ {
				if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
		default:
			_, _ = fmt.Fprintf(w, "%s %s", r.Header.Get("X-Tenant-ID"), r.Host)
		}
	}))
}

// echo is a WebSocket as far as a proxy can tell: a handshake, then bytes.
func echo(w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455 wants it
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	_, _ = io.Copy(conn, buffered)
}

// stream is a WebSocket or a stream of events that must not break.
type stream struct {
	turns  atomic.Int64
	broken chan struct{} // closed when a turn has failed
	end    func() error
}

func openWebSocket(t testing.TB, port int) *stream {
	t.Helper()
	const host = "acme-pets.petstore.test"
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(conn, "GET /echo HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", host)
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("opening a WebSocket: %v, %v", res, err)
	}
	return run(func(s *stream) error {
		want := fmt.Sprintf("turn %d\n", s.turns.Load())
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, want); err != nil {
			return err
		}
		if got, err := in.ReadString('\n'); err != nil || got != want {
			return fmt.Errorf("sent %q, got %q: %w", want, got, err)
		}
		time.Sleep(10 * time.Millisecond) // a conversation, not a flood
		return nil
	}, func() { conn.Close() })
}

// eventsOf asks for the stream of events of fluffy-friends.
func eventsOf(t testing.TB, port int, protocol, accept string) (in *bufio.Reader, closeConn func()) {
	t.Helper()
	const host = "fluffy-friends.petstore.test"
	c := connect(t, port, protocol, host)
	r, err := http.NewRequest(http.MethodGet, "https://gateway.invalid/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	r.Header.Set("Accept", accept)
	res, err := c.send(r)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("opening a stream of events: %v, %v", res, err)
	}
	return bufio.NewReader(res.Body), c.close
}

func openEvents(t testing.TB, port int, protocol string) *stream {
	t.Helper()
	in, closeConn := eventsOf(t, port, protocol, "text/event-stream")
	return run(func(s *stream) error {
		line, err := in.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", s.turns.Load()); err != nil || line != want {
			return fmt.Errorf("got %q, want %q: %w", line, want, err)
		}
		_, err = in.ReadString('\n')
		return err
	}, closeConn)
}

// run takes turns until one fails or the stream is ended; end returns the
// failure, if it came first.
func run(turn func(*stream) error, stop func()) *stream {
	s := &stream{broken: make(chan struct{})}
	var ended atomic.Bool
	done := make(chan error, 1)
	go func() {
		for {
			if err := turn(s); ended.Load() {
				done <- nil
				return
			} else if err != nil {
				done <- err
				close(s.broken)
				return
			}
			s.turns.Add(1)
		}
	}()
	s.end = func() error {
		select {
		case err := <-done: // it has broken by itself
			if err == nil {
				err = errors.New("ended by itself")
			}
			stop()
			return err
		default:
		}
		ended.Store(true)
		stop()
		return <-done
	}
	return s
}
