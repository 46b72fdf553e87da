package redis

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Timeouts of the limiter's own client. They are far below go-redis' defaults
// (5 s to read since v9.22): no request waits for them, but a connection that
// hangs must be given up and replaced soon. No attempt is ever repeated by the
// client: a repeated return would give back the same permits twice.
const (
	dialTimeout = 250 * time.Millisecond // or the wait budget, if that is longer
	ioTimeout   = 100 * time.Millisecond // or twice the wait budget, if that is longer
	poolTimeout = 50 * time.Millisecond
	noRetries   = -1
)

const urlForms = "expected redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"

// openRedis makes the client for a URL without connecting:
//
//	redis://[user:password@]host:6379/0      one server; rediss:// with TLS
//	unix://[user:password@]/path/redis.sock?db=0
//	redis+sentinel://[user:password@]host:26379,host:26379/0?master_name=NAME
//	redis+cluster://[user:password@]host:6379,host:6379
//
// With Sentinel the user and password are those of the sentinels; those of
// the servers are the query parameters username and password.
// The last two also exist as rediss+sentinel and rediss+cluster. Query
// parameters are those of go-redis' ParseURL, ParseFailoverURL and
// ParseClusterURL; the timeouts and retries among them are overridden.
func openRedis(raw string, budget time.Duration) (goredis.UniversalClient, error) {
	wait, dial := max(ioTimeout, 2*budget), max(dialTimeout, budget)
	scheme, _, ok := strings.Cut(raw, "://")
	if !ok {
		// The text is not repeated: it may hold a password.
		return nil, fmt.Errorf("reading Redis URL: no scheme, %s", urlForms)
	}
	maintenance := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	switch base, kind, _ := strings.Cut(scheme, "+"); {
	case scheme == "redis" || scheme == "rediss" || scheme == "unix":
		o, err := goredis.ParseURL(raw)
		if err != nil {
			return nil, badURL(err)
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dial, wait, wait, poolTimeout
		o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled = noRetries, 1, true
		o.MaintNotificationsConfig = maintenance
		return goredis.NewClient(o), nil
	case (base == "redis" || base == "rediss") && kind == "sentinel":
		o, err := goredis.ParseFailoverURL(splitHosts(base, raw))
		if err != nil {
			return nil, badURL(err)
		}
		if o.MasterName == "" {
			return nil, fmt.Errorf("reading Redis URL: expected ?master_name=NAME with %s", scheme)
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dial, wait, wait, poolTimeout
		o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled = noRetries, 1, true
		return goredis.NewFailoverClient(o), nil
	case (base == "redis" || base == "rediss") && kind == "cluster":
		o, err := goredis.ParseClusterURL(splitHosts(base, raw))
		if err != nil {
			return nil, badURL(err)
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dial, wait, wait, poolTimeout
		o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled = noRetries, 1, true
		// MOVED and ASK must still be followed; commands themselves say NoRetry.
		o.MaxRedirects, o.MaintNotificationsConfig = 3, maintenance
		return goredis.NewClusterClient(o), nil
	}
	return nil, fmt.Errorf("reading Redis URL: scheme %q, %s", scheme, urlForms)
}

// badURL keeps the URL, which may hold a password, out of an error's text.
func badURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("reading Redis URL: %w", err)
}

// splitHosts turns a list of hosts into one host and go-redis' repeated
// "addr" parameters. It works on the text because a list of host:port is not
// a valid authority to net/url.
func splitHosts(base, raw string) string {
	_, rest, _ := strings.Cut(raw, "://")
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	user := ""
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		user, authority = authority[:at+1], authority[at+1:]
	}
	hosts := strings.Split(authority, ",")
	for _, h := range hosts[1:] {
		if query != "" {
			query += "&"
		}
		query += "addr=" + url.QueryEscape(h)
	}
	return base + "://" + user + hosts[0] + "/" + path + "?" + query
}

// DiscardDriverLog silences the log that go-redis writes to standard error for
// each failed connection, for all its users in this process. What it would say
// is in StoreStats and in the errors of Take.
func DiscardDriverLog() { goredis.SetLogger(discard{}) }

type discard struct{}

func (discard) Printf(context.Context, string, ...any) {}
