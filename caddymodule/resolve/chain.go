package resolve

import (
	"errors"
	"net/http"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Answer is what one resolver or the chain found.
type Answer struct {
	// Tenant is the tenant named, nil whenever there is an error.
	Tenant *tenant.Tenant
	// Slug is the name that was read. One resolver sets it also when no tenant
	// has that name; a chain sets it with Tenant only.
	Slug tenant.Slug
	// Source says which resolver answered: "host", "domain" (a tenant's own
	// domain), "path" or "header", joined by "+" when several did.
	Source string
	// Prefix is the part of the escaped path that names the tenant, as in
	// "/acme-pets"; empty if no path resolver answered. With it come Path and
	// RawPath, the URL's fields of these names as they are sent on; Path is "/"
	// at least.
	Prefix, Path, RawPath string
	// Claimed lists everything the request named when a chain refuses it with
	// [tenant.ErrConflict], [tenant.ErrNotFound] or [tenant.ErrInactive], or with
	// [tenant.ErrMalformed] in another place. It is for the audit log only.
	Claimed []Claim
}

// Claim is one tenant named by a refused request.
type Claim struct {
	Source string         // the resolver, as in [Answer]
	Slug   tenant.Slug    // the name that was read
	Tenant *tenant.Tenant // whose name it is, nil if nobody's
}

// Resolver reads one part of a request. It does no I/O, writes nothing to the request
// and is safe for concurrent use. Package resolvetest tells whether it keeps to this.
type Resolver interface {
	// Name is the word for the resolver in configuration and logs.
	Name() string
	// Resolve says whom the request names. The error is, or wraps:
	//
	//   - [tenant.ErrMissing]: this part names nobody, which is no fault if
	//     another part does;
	//   - [tenant.ErrMalformed]: it cannot be read without doubt;
	//   - [tenant.ErrNotFound]: it names no tenant; the answer's Slug says which.
	//
	// It does not check the tenant's status.
	Resolve(r *http.Request, l tenant.Lookup) (Answer, error)
}

// HeaderOwner is a [Resolver] that reads headers which no backend may see.
type HeaderOwner interface {
	Resolver
	// OwnedHeaders names them; they are removed, in every spelling, once the tenant
	// is known.
	OwnedHeaders() []string
}

// Chain is a set of resolvers of which any may answer and none may disagree. An
// empty chain finds nobody.
type Chain []Resolver

// Resolve asks every resolver, so that the outcome does not depend on their
// order. In this order it returns
//
//   - the error of a resolver that could not read its part ([tenant.ErrMalformed]
//     or any error outside of the vocabulary), also when another one found a
//     tenant;
//   - [tenant.ErrConflict] if two parts name different tenants, existing or not;
//   - [tenant.ErrMissing] if no part names one;
//   - [tenant.ErrNotFound] if the one that is named does not exist;
//   - [tenant.ErrInactive] if it exists and is not served.
//
// With an error the answer holds nothing but Claimed.
func (c Chain) Resolve(r *http.Request, l tenant.Lookup) (Answer, error) {
	var (
		got                         Answer
		unread                      error
		answered, unknown, conflict bool
	)
	for _, resolver := range c {
		a, err := resolver.Resolve(r, l)
		switch {
		case err == nil && a.Tenant == nil:
			err = tenant.ErrNotFound
		case errors.Is(err, tenant.ErrMissing):
			continue
		}
		if err != nil && !errors.Is(err, tenant.ErrNotFound) {
			if unread == nil {
				unread = err
			}
			continue
		}
		if !answered {
			got, answered, unknown = a, true, err != nil
			continue
		}
		conflict = conflict || unknown != (err != nil) || !same(got, a)
		got.Source += "+" + a.Source
		if a.Prefix != "" {
			got.Prefix, got.Path, got.RawPath = a.Prefix, a.Path, a.RawPath
		}
	}

	var err error
	switch {
	case unread != nil:
		err = unread
	case conflict:
		err = tenant.ErrConflict
	case !answered:
		return Answer{}, tenant.ErrMissing
	case unknown:
		err = tenant.ErrNotFound
	default:
		err = tenant.Check(got.Tenant)
	}
	if err != nil {
		return Answer{Claimed: c.claims(r, l)}, err
	}
	return got, nil
}

// same compares by name and key and not by pointer, so that a [tenant.Lookup]
// may make its values as it is asked.
func same(a, b Answer) bool {
	if a.Slug != b.Slug {
		return false
	}
	return a.Tenant == nil || b.Tenant == nil || a.Tenant.ID == b.Tenant.ID
}

// claims asks once more, on the way to a refusal only, so that the way to
// success carries no list.
func (c Chain) claims(r *http.Request, l tenant.Lookup) []Claim {
	var claims []Claim
	for _, resolver := range c {
		a, err := resolver.Resolve(r, l)
		if err != nil && !errors.Is(err, tenant.ErrNotFound) || a.Slug.IsZero() {
			continue
		}
		claims = append(claims, Claim{Source: a.Source, Slug: a.Slug, Tenant: a.Tenant})
	}
	return claims
}
