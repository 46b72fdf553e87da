package registry

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// Saved credentials go on, after what every saved thing begins with, with
//
//	number of keys, and for each: hash (32 bytes), id, name, slug,
//	number of roles, roles, expiry (Unix microseconds, 0 is never), revoked (0 or 1)
//	number of tokens, and for each: id, issuer
//	number of subjects, and for each: subject, issuer, before (Unix microseconds)
//
// There is no key in it that opens anything: only the hashes of keys.
var credentialFormat = format{"tenancy-credentials", 1}

func encodeCredentials(c *Credentials, source string, goodAt time.Time) []byte {
	e := credentialFormat.encoder(128*len(c.keys)+64*c.Revocations(), source, goodAt)
	moment := func(t time.Time) {
		if t.IsZero() {
			e.number(0)
			return
		}
		e.number(uint64(max(t.UnixMicro(), 1)))
	}
	e.number(uint64(len(c.keys)))
	for hash, k := range c.keys {
		e.b = append(e.b, hash[:]...)
		for _, value := range [...]string{k.ID, k.Name, k.Tenant.String()} {
			e.text(value)
		}
		e.list(k.Roles)
		moment(k.Expires)
		revoked := uint64(0)
		if k.Revoked {
			revoked = 1
		}
		e.number(revoked)
	}
	e.number(uint64(len(c.tokens)))
	for token := range c.tokens {
		e.text(token.value)
		e.text(token.issuer)
	}
	e.number(uint64(len(c.subjects)))
	for subject, before := range c.subjects {
		e.text(subject.value)
		e.text(subject.issuer)
		moment(before)
	}
	return e.sealed()
}

// decodeCredentials refuses anything but what encodeCredentials made from that
// source. A key that check finds fault with is left out, as when it is read from
// the source.
func decodeCredentials(data []byte, source string, check func(*Key) error) (*Credentials, time.Time, error) {
	d, goodAt, err := credentialFormat.open(data, source)
	if err != nil {
		return nil, time.Time{}, err
	}
	c := newCredentials()
	for n := d.number(); n > 0 && d.err == nil; n-- {
		hash, k := d.key()
		if d.err == nil && (check == nil || check(k) == nil) {
			c.keys[hash] = k
		}
	}
	for n := d.number(); n > 0 && d.err == nil; n-- {
		c.tokens[revoked{d.text(), d.text()}] = struct{}{}
	}
	for n := d.number(); n > 0 && d.err == nil; n-- {
		c.subjects[revoked{d.text(), d.text()}] = d.moment()
	}
	if err := d.end("subject"); err != nil {
		return nil, time.Time{}, err
	}
	c.at = goodAt
	return c, goodAt, nil
}

// withdraws reports whether next refuses a credential that prev let pass.
func withdraws(prev, next *Credentials) bool {
	if prev == nil {
		return false
	}
	for hash, k := range prev.keys {
		if now := next.keys[hash]; !k.Revoked && (now == nil || now.Revoked) {
			return true
		}
	}
	for token := range next.tokens {
		if _, there := prev.tokens[token]; !there {
			return true
		}
	}
	for subject, before := range next.subjects {
		if was, there := prev.subjects[subject]; !there || was.Before(before) {
			return true
		}
	}
	return false
}

func (d *decoder) key() (hash KeyHash, k *Key) {
	if len(d.rest) < len(hash) {
		d.fail()
		return hash, nil
	}
	hash, d.rest = KeyHash(d.rest[:len(hash)]), d.rest[len(hash):]
	k = &Key{ID: d.text(), Name: d.text()}
	slug, err := tenant.ParseSlug(d.text())
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("a key's tenant: %w", err)
	}
	k.Tenant, k.Roles, k.Expires = slug, d.list(), d.moment()
	switch d.number() {
	case 0:
	case 1:
		k.Revoked = true
	default:
		if d.err == nil {
			d.err = errors.New("a key is neither revoked nor good")
		}
	}
	return hash, k
}

func (d *decoder) moment() time.Time {
	n := d.number()
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(n)).UTC()
}
