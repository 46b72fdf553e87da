package caddymodule

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/ratelimit"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/sketch"
)

// GuessConfig slows down who tries out names and tokens: a client with too
// many requests that found no tenant, or carried a bad or foreign token, gets
// 429 for every request until its count has gone down.
//
// Counting takes fixed memory, so a flood from a million addresses costs
// nothing more. An IPv6 client is its /64.
type GuessConfig struct {
	// How many failures a client has in the window, as in `300/1m`, which is the
	// default. `off` counts nothing.
	Limit string `json:"limit,omitempty"`
}

const defaultGuesses = "300/1m"

// guesses is the running counter; nil counts nothing.
type guesses struct {
	most    uint32
	window  time.Duration
	counter *sketch.Counter
}

// Close implements io.Closer, for the pool. There is nothing to close.
func (*guesses) Close() error { return nil }

// parse reads the limit; nil means off.
func (c GuessConfig) parse() (*ratelimit.Limit, error) {
	text := c.Limit
	switch text {
	case "off":
		return nil, nil
	case "":
		text = defaultGuesses
	}
	limit, err := ratelimit.ParseLimit(text)
	if err != nil {
		return nil, fmt.Errorf("tenancy: guesses: %w", err)
	}
	if limit.Window <= 0 || limit.Window > time.Hour || limit.N > 1_000_000 || limit.Level != ratelimit.PerClient {
		return nil, fmt.Errorf("tenancy: guesses %q: expected at most 1000000 in at most 1h, as in 300/1m, or off", text)
	}
	return &limit, nil
}

// open finds or makes the counter, so that a reload forgives nobody.
func (c GuessConfig) open() (*pooled[*guesses], error) {
	limit, err := c.parse()
	if limit == nil {
		return nil, err
	}
	return hold(fmt.Sprintf("guesses %d %v", limit.N, limit.Window), func() (*guesses, error) {
		return &guesses{uint32(limit.N), limit.Window, sketch.New(limit.Window)}, nil
	})
}

// tooMany reports whether the client has used up its failures.
func (g *guesses) tooMany(client netip.Addr, now time.Time) bool {
	return g != nil && g.counter.Count(client, now) >= g.most
}

// failed counts one failure.
func (g *guesses) failed(client netip.Addr, now time.Time) {
	if g != nil {
		g.counter.Add(client, now)
	}
}

// answer tells the client to stop.
func (g *guesses) answer(w http.ResponseWriter, r *http.Request) error {
	w.Header()["Retry-After"] = []string{strconv.Itoa(int((g.window + time.Second - 1) / time.Second))}
	return problemAbuse.answer(w, r)
}

// guessing is the app's counter, or nil.
func (a *App) guessing() *guesses {
	if a.guessed == nil {
		return nil
	}
	return a.guessed.value
}

// failed counts a request that was refused for what it guessed at.
func (a *App) failed(r *http.Request) {
	a.guessing().failed(clientAddr(r), time.Now())
}
