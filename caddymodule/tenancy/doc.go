// Package tenancy is the app `tenancy`, the part of the gateway that all its
// Caddy modules share: configuration, life cycle over reloads, what the handlers
// of one request know of it, problem documents, metrics, the admin API and the
// commands.
//
// It knows no handler and no guest. A guest is a module in one of its four
// namespaces; each has an interface here and an exported conformance suite beside
// the package that the interface comes from:
//
//	tenancy.sources.*    SourceModule    registry/sourcetest
//	tenancy.resolvers.*  ResolverModule  resolve/resolvetest
//	tenancy.limiters.*   LimiterModule   limit/limitertest
//	tenancy.sinks.*      SinkModule      audit/sinktest
package tenancy
