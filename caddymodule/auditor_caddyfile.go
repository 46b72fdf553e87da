package caddymodule

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/audit"
)

// unmarshal reads one place to record to; the dispenser is at the word "audit".
func (c *AuditConfig) unmarshal(d *caddyfile.Dispenser) error {
	words := d.RemainingArgs()
	kind := ""
	if len(words) > 0 {
		kind = words[0]
	}
	switch {
	case kind == "log" && len(words) == 1 && !c.Log:
		c.Log = true
	case kind == "http" && len(words) == 2 && words[1] != "" && c.HTTP == "":
		c.HTTP = words[1]
		if !strings.Contains(c.HTTP, "{") { // else what the placeholder stands for is known later
			if err := audit.CheckURL(c.HTTP); err != nil {
				return d.WrapErr(err)
			}
		}
	case kind == "file" && len(words) == 2 && words[1] != "" && c.File == "":
		c.File = words[1]
	default:
		return d.Err("audit: expected 'file PATH', 'log' or 'http URL', each at most once")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if kind != "file" {
			return d.Errf("audit: unknown option %q; 'audit %s' has none", option, kind)
		}
		switch option {
		case "roll_size":
			var text string
			if !d.AllArgs(&text) {
				return d.Err("roll_size: expected a size, as in 64MiB")
			}
			size, err := humanize.ParseBytes(text)
			if err != nil || size < 1<<10 || size > 1<<40 {
				return d.Errf("roll_size: bad size %q; expected 1KiB to 1TiB, as in 64MiB", text)
			}
			c.RollSize = int64(size)
		case "roll_keep":
			n, err := positiveArg(d, 10_000)
			if err != nil {
				return err
			}
			c.RollKeep = int(n)
		default:
			return d.Errf("audit: unknown option %q; expected roll_size or roll_keep", option)
		}
	}
	return nil
}
