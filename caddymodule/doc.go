// Package caddymodule adds tenancy to Caddy: it finds out which tenant a
// request is for, how much that tenant may ask for, and tells the backend so
// in a way that no client can forge.
//
// It is the only package of the project that imports Caddy. Each module file
// parses its directive, provisions itself, calls one decision in a package
// below (tenant, resolve, registry, auth, ratelimit, sketch, framing,
// identity, audit) and translates the answer.
//
// # Modules
//
//	tenancy                          the app: registry, limiter, signer, audit
//	http.handlers.tenant             who is it? strip, resolve, refuse
//	http.handlers.tenant_auth        does the caller belong to that tenant?
//	http.handlers.tenant_rate_limit  how much? headers or 429
//	http.handlers.tenant_identity    inject the tenant headers and the signed identity
//	http.matchers.tenant             @gold tenant plan premium enterprise
//	http.reverse_proxy.upstreams.tenant  a tenant's own backends, or the shared ones
//	tls.permission.tenant            certificates only for the domains of active tenants
//	caddy.listeners.strict_http      no request that can be read in two ways
//	admin.api.tenancy                list, show, explain, refresh
//
// # A request
//
// tenant puts a [request state] into the request's variables; the handlers
// behind it read it and refuse to run without it, so a site that forgets the
// tenant directive serves errors and not data. tenant runs before every other
// directive except tracing: nothing in a site runs for a request that has no
// tenant. tenant_identity runs behind request_header, so that nothing an
// operator writes can overtake it, and before handle and reverse_proxy, so
// that it also covers a reverse_proxy inside a handle block.
//
// # Reloads
//
// What must outlive a configuration lives in usage pools: the registry's index
// by its source, the limiter by its store, the audit recorder by its sinks,
// and the metrics for the process's life. The counters of plans, limits and
// requests therefore survive a reload, also one that fails. A pooled value
// knows nothing of the configuration that made it: no logger, no context. What
// it needs of a running one, such as the storage, is handed in anew by each.
package caddymodule
