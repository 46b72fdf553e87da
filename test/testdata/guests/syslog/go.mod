module guest.example/syslog

go 1.26.0

require (
	github.com/caddy-tenancy/caddy-tenancy v0.0.0
	github.com/caddyserver/caddy/v2 v2.11.9
)
