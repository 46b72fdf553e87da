package plans

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Unmarshal reads one plan of a Caddyfile and adds it; the dispenser is at the word
// "plan".
func Unmarshal(d *caddyfile.Dispenser, into map[string]Config) error {
	if !d.NextArg() {
		return d.Err("plan: expected a name")
	}
	name := d.Val()
	if _, twice := into[name]; twice {
		return d.Errf("plan %q: given twice", name)
	}
	plan, err := unmarshalLimits(d)
	if err != nil {
		return err
	}
	// Compiled here only for the error, which so gets the file and the line.
	if _, err := New(map[string]Config{name: plan}, ""); err != nil {
		return d.WrapErr(err)
	}
	into[name] = plan
	return nil
}

// unmarshalLimits reads what follows a plan's name.
func unmarshalLimits(d *caddyfile.Dispenser) (plan Config, err error) {
	plan.Limits = append(plan.Limits, d.RemainingArgs()...)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "window":
			limits := d.RemainingArgs()
			if len(limits) == 0 {
				return plan, d.Err("window: expected a limit, as in 100/1h")
			}
			plan.Limits = append(plan.Limits, limits...)
		case "per":
			words := d.RemainingArgs()
			if len(words) < 2 || (words[0] != "client" && words[0] != "tenant") {
				return plan, d.Err("per: expected 'client' or 'tenant' and a limit, as in per tenant 1000/1h")
			}
			for _, limit := range words[1:] {
				plan.Limits = append(plan.Limits, words[0]+":"+limit)
			}
		case "calendar":
			var limit string
			if !d.AllArgs(&limit) {
				return plan, d.Err("calendar: expected a quota, as in 5000000/month")
			}
			quota, period, _ := strings.Cut(limit, "/")
			plan.Limits = append(plan.Limits, quota+"/calendar-"+period)
		case "concurrent":
			var n string
			if !d.AllArgs(&n) {
				return plan, d.Err("concurrent: expected a number of requests")
			}
			plan.Limits = append(plan.Limits, n+"/concurrent")
		case "on_store_failure":
			if !d.AllArgs(&plan.OnStoreFailure) {
				return plan, d.Err("on_store_failure: expected local_share, deny or open")
			}
		default:
			return plan, d.Errf("plan: unknown option %q; expected window, per, calendar, concurrent or on_store_failure", d.Val())
		}
	}
	return plan, nil
}
