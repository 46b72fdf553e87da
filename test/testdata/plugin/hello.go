// Package hello is a Caddy plugin that does nothing. It is there to be added by
// "xcaddy.sh build --with" in a test.
package hello

import "github.com/caddyserver/caddy/v2"

func init() { caddy.RegisterModule(Hello{}) }

// Hello is the plugin's only module.
type Hello struct{}

// CaddyModule implements caddy.Module.
func (Hello) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tenancy_test.hello", New: func() caddy.Module { return new(Hello) }}
}
