// Command caddy is Caddy with its standard modules and caddy-tenancy.
package main

import (
	_ "time/tzdata" // time zones on machines without them, as Caddy's own build has

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-tenancy/caddy-tenancy/caddymodule"
)

func main() { caddycmd.Main() }
