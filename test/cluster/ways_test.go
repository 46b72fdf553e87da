package cluster

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
)

// weather says what is down. A count that is odd means down, so that who looks
// before and after a request knows whether it was up throughout.
type weather struct {
	gateways                [3]atomic.Uint64
	redis, postgres, stores atomic.Uint64
}

// foul says that something is going down, fair that it is back.
func foul(part *atomic.Uint64) { part.Store(part.Load() | 1) }
func fair(part *atomic.Uint64) { part.Store((part.Load() + 1) &^ 1) }

// way is one way to ask for a tenant, and what each gateway is known to do
// with it: a change that was acknowledged is demanded from the moment on at
// which it was seen to be in force there.
type way struct {
	name   string
	slug   string // nobody: must never reach a backend
	user   string // whom the backend must be told of; empty for nobody
	host   string
	header http.Header
	// limited ways may get 429, and those that deny 503 without Redis.
	limited, denies bool
	// moving is odd while the tenant is moved to another place.
	moving *atomic.Uint64
	// suspended is odd while the tenant is, or is about to be.
	suspended *atomic.Uint64

	demands [3]atomic.Uint64 // per gateway: how often it changed, times four, and a demand
}

type demand uint64

const (
	anything demand = iota // a change is on its way
	served
	refused
)

func (w *way) demand(g int, d demand) {
	w.demands[g].Store(w.demands[g].Load()/4*4 + 4 + uint64(d)) // one goroutine demands
}

func (w *way) demandAll(d demand) {
	for g := range w.demands {
		w.demand(g, d)
	}
}

func (w *way) demanded(g int) demand { return demand(w.demands[g].Load() % 4) }

// moment is what held when it was taken.
type moment struct{ demand, gateway, redis, postgres, stores, moving, suspended uint64 }

func (p *platform) moment(g int, w *way) moment {
	m := moment{
		demand: w.demands[g].Load(), gateway: p.weather.gateways[g].Load(),
		redis: p.weather.redis.Load(), postgres: p.weather.postgres.Load(), stores: p.weather.stores.Load(),
	}
	if w.moving != nil {
		m.moving, m.suspended = w.moving.Load(), w.suspended.Load()
	}
	return m
}

// answer is what a client got.
type answer struct {
	err    error // nothing, or not all of it
	status int
	header http.Header
	body   string
	// saw is the tenant that the backend was told of, empty if the request did
	// not get there; plan is its plan.
	saw, plan string
	// before and after say what held around it.
	before, after moment
}

// ok reports a success that the backend made.
func (a answer) ok() bool { return a.err == nil && a.saw != "" && a.status < 300 }

// ask sends one request through a gateway.
func (p *platform) ask(g int, w *way, method, path, body string) (a answer) {
	a.before = p.moment(g, w)
	defer func() { a.after = p.moment(g, w) }()
	req, err := http.NewRequestWithContext(context.Background(), method, fmt.Sprintf("http://127.0.0.1:%d%s", p.gateways[g].port, path), strings.NewReader(body))
	if err != nil {
		a.err = err
		return a
	}
	maps.Copy(req.Header, w.header)
	req.Host = w.host
	req.Header.Set(askedHeader, w.slug+"/"+w.user)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := p.client.Do(req)
	if err != nil {
		a.err = err
		return a
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	a.err, a.status, a.header, a.body = err, res.StatusCode, res.Header, string(b)
	a.saw, a.plan = res.Header.Get(sawHeader), res.Header.Get(planHeader)
	return a
}

// judge compares an answer with what was demanded while it was made. Whatever
// is down excuses only what the docs say of it.
func (p *platform) judge(g int, w *way, method, path string, a answer) {
	up := func(before, after uint64) bool { return before == after && before%2 == 0 }
	var (
		gatewayUp  = up(a.before.gateway, a.after.gateway)
		redisUp    = up(a.before.redis, a.after.redis)
		postgresUp = up(a.before.postgres, a.after.postgres)
		storesUp   = up(a.before.stores, a.after.stores)
		stays      = up(a.before.moving, a.after.moving)
		active     = up(a.before.suspended, a.after.suspended)
		demanded   = anything
	)
	if a.before.demand == a.after.demand {
		demanded = demand(a.before.demand % 4)
	}
	wrong := func(why string) {
		p.fault("%s, %s of tenant %q, %s %s: %s: status %d, %v, the backend saw %q; demanded %d; up: gateway %t, Redis %t, PostgreSQL %t, stores %t\n%.300s",
			p.gateways[g].name, w.name, w.slug, method, path, why, a.status, a.err, a.saw, demanded, gatewayUp, redisUp, postgresUp, storesUp, a.body)
	}
	switch {
	case a.saw != "" && a.saw != w.slug:
		wrong("another tenant")
	case a.saw != "" && demanded == refused:
		wrong("served, though a refusal was in force")
	case a.err != nil:
		// What an answer still lacks when its tenant is suspended does not come.
		if begun := a.saw != ""; gatewayUp && (active || !begun) {
			wrong("no answer from a gateway that is up")
		}
	case a.saw != "" && a.status >= 500:
		// A tenant that is moved is read and not written.
		excused := !postgresUp || !storesUp || !stays && method != http.MethodGet && a.status == http.StatusServiceUnavailable
		if path == seenPath || !excused {
			wrong("the backend failed")
		}
	case a.saw != "":
		p.passed.Add(1)
	case a.status == http.StatusTooManyRequests:
		if !w.limited {
			wrong("a limit that has room")
		}
	case a.status == http.StatusServiceUnavailable:
		// A gateway that started without its source knows no credentials.
		excused := !gatewayUp || !postgresUp && w.user != "" || !redisUp && w.denies
		if !excused {
			wrong("unavailable")
		}
	case a.status >= 500:
		if gatewayUp {
			wrong("the gateway failed")
		}
	case demanded == served && gatewayUp:
		wrong("refused, though serving was in force")
	default:
		p.passed.Add(1)
	}
}
