package tenancy

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// DurationArg reads the one argument of a Caddyfile option as a duration of more
// than 0 and at most 24h. The dispenser is at the option's name.
func DurationArg(d *caddyfile.Dispenser, into *caddy.Duration) error {
	var text string
	option := d.Val()
	if !d.AllArgs(&text) {
		return d.Errf("%s: expected one duration, as in 500ms", option)
	}
	v, err := caddy.ParseDuration(text)
	if err != nil || v <= 0 || v > 24*time.Hour {
		return d.Errf("%s: bad duration %q; expected more than 0 and at most 24h, as in 500ms", option, text)
	}
	*into = caddy.Duration(v)
	return nil
}

// Replace replaces the placeholders in an option's text, as guests and handlers do in
// their Provision. One that stands for nothing is an error: it would be taken for the
// text that it is.
func Replace(option string, text *string) error {
	if !strings.Contains(*text, "{") {
		return nil
	}
	replaced, err := caddy.NewReplacer().ReplaceOrErr(*text, true, true)
	if err != nil {
		return fmt.Errorf("%s %q: %w", option, *text, err)
	}
	*text = replaced
	return nil
}

// NumberArg reads the one argument of a Caddyfile option as a number from 1 to
// most. The dispenser is at the option's name.
func NumberArg(d *caddyfile.Dispenser, most int64) (int64, error) {
	option := d.Val()
	if !d.NextArg() {
		return 0, d.Errf("%s: expected a number from 1 to %d", option, most)
	}
	n, err := Number(d, most)
	if err == nil && d.NextArg() {
		err = d.ArgErr()
	}
	return n, err
}

// Number reads the token at which the dispenser is as a number from 1 to most.
func Number(d *caddyfile.Dispenser, most int64) (int64, error) {
	n, err := strconv.ParseInt(d.Val(), 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, d.Errf("bad number %q; expected 1 to %d", d.Val(), most)
	}
	return n, nil
}
