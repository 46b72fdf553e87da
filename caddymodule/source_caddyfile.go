package caddymodule

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// unmarshal reads the source; the dispenser is at the word "source".
func (c *SourceConfig) unmarshal(d *caddyfile.Dispenser) error {
	if !d.AllArgs(&c.Type, &c.Address) {
		return d.Err("source: expected a type (sqlite, postgres, file or http) and an address")
	}
	switch c.Type {
	case "sqlite", "postgres", "file", "http":
	default:
		return d.Errf("source: unknown type %q; expected sqlite, postgres, file or http", c.Type)
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "query":
			if !d.AllArgs(&c.Query) {
				return d.Err("query: expected one SQL statement in quotes or backticks")
			}
		case "interval":
			if err := durationArg(d, &c.Interval); err != nil {
				return err
			}
		case "header":
			var name, value string
			if !d.AllArgs(&name, &value) || name == "" {
				return d.Err("header: expected a name and a value")
			}
			if c.Headers == nil {
				c.Headers = make(map[string]string)
			}
			c.Headers[name] = value
		case "long_poll":
			if err := durationArg(d, &c.LongPoll); err != nil {
				return err
			}
		case "max_stale":
			if err := durationArg(d, &c.MaxStale); err != nil {
				return err
			}
		default:
			return d.Errf("source: unknown option %q; expected query, interval, header, long_poll or max_stale", d.Val())
		}
	}
	return nil
}
