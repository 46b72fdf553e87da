package attacks

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// puzzle makes requests out of parts.
type puzzle struct {
	slugs  []string
	port   int
	tokens map[string]string
}

// asked is a request and the tenant it is for; none if it must be refused.
type asked struct{ text, slug string }

// ask makes one request: a way to name a tenant, what must not matter, and now
// and then what must make it refused.
func (p *puzzle) ask(rng *rand.Rand) asked {
	slug, other := p.slugs[rng.IntN(len(p.slugs))], p.slugs[rng.IntN(len(p.slugs))]
	for other == slug {
		other = p.slugs[rng.IntN(len(p.slugs))]
	}
	a := asked{slug: slug}
	method := []string{"GET", "POST", "PUT", "DELETE", "OPTIONS", "M-" + other}[rng.IntN(6)]
	target, lines := p.path(rng, other), []string(nil)
	byPath := false
	switch rng.IntN(6) {
	case 0, 1:
		lines = append(lines, "Host: "+p.spell(rng, slug+".petstore.localhost"))
	case 2:
		lines = append(lines, "Host: "+p.spell(rng, "www."+slug+".example"))
	case 3: // the authority of the target counts, and no other
		target = "http://" + p.spell(rng, slug+".petstore.localhost") + target
		lines = append(lines, "Host: "+other+".petstore.localhost")
	case 4:
		byPath = true
		target = "/" + slug + target
		lines = append(lines, "Host: "+p.spell(rng, "petstore.localhost"))
	case 5:
		byPath = true
		target = "/"
		lines = append(lines, "Host: "+p.spell(rng, "petstore.localhost"), "X-Tenant-ID: "+slug)
	}
	for range rng.IntN(4) {
		lines = append(lines, p.noise(rng, other))
	}
	if !byPath && rng.IntN(4) == 0 {
		lines = append(lines, "Authorization: Bearer "+p.tokens[slug])
	}
	if rng.IntN(4) == 0 {
		a.slug = ""
		lines = p.spoil(rng, lines, slug, other, byPath)
	}
	rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	body := ""
	if method == "POST" || method == "PUT" {
		// A request in a body is a body.
		body = "GET / HTTP/1.1\r\nHost: " + other + ".petstore.localhost\r\n\r\n"
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	a.text = method + " " + target + " HTTP/1.1\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n" + body
	return a
}

// spell writes a host in one of the ways that mean the same.
func (p *puzzle) spell(rng *rand.Rand, host string) string {
	b := []byte(host)
	for i := range b {
		if 'a' <= b[i] && b[i] <= 'z' && rng.IntN(4) == 0 {
			b[i] -= 'a' - 'A'
		}
	}
	switch rng.IntN(4) {
	case 0:
		return string(b) + fmt.Sprintf(":%d", p.port)
	case 1:
		return host
	}
	return string(b)
}

// path names the other tenant where it means nothing.
func (p *puzzle) path(rng *rand.Rand, other string) string {
	return []string{
		"/", "/api/pets", "/x/" + other, "/?tenant=" + other, "/api/pets?X-Tenant-ID=" + other, "/x/%2f" + other, "/x;tenant=" + other, "/x?host=" + other + ".petstore.localhost",
	}[rng.IntN(8)]
}

// noise names the other tenant in a field that must not matter.
func (p *puzzle) noise(rng *rand.Rand, other string) string {
	host := other + ".petstore.localhost"
	list := []string{
		"X-Forwarded-Host: " + host, "X-Host: " + host, "X-Original-Host: " + host, "Forwarded: host=" + host, "X-Forwarded-Server: " + host,
		"X-Original-URL: /" + other + "/", "X-Rewrite-URL: /" + other + "/", "X-Forwarded-Prefix: /" + other, "Cookie: tenant=" + other, "Referer: http://" + host + "/",
		"Origin: http://" + host, "X-Tenant-Plan: " + other, "X_Tenant_Plan: " + other, "Tenant-Identity: " + other, "tenant_identity: " + p.tokens[other], "Connection: X-Tenant-ID, Tenant-Identity, " + other,
		"Via: 1.1 " + host, "X-Forwarded-For: " + other, "User-Agent: " + other, "X-Tenant: " + other, "Tenant: " + other, "X-Tenant-Slug: " + other, "X_Tenant_ID: " + other, "X.Tenant.ID: " + other, "X-Tenant_ID: " + other, "Max-Forwards: 0", "X-HTTP-Method-Override: GET", "Accept: " + other, "TE: trailers",
	}
	return list[rng.IntN(len(list))]
}

// spoil makes a request one of two tenants, or of none.
func (p *puzzle) spoil(rng *rand.Rand, lines []string, slug, other string, byPath bool) []string {
	list := []string{
		"X-Tenant-ID: " + other, "x-tenant-id: " + other,
		"X-Tenant-ID: " + slug + "\r\nX-Tenant-ID: " + other, "X-Tenant-ID: " + slug + ", " + other, "X-Tenant-ID:", "X-Tenant-ID: " + strings.ToUpper(slug), "X-Tenant-ID: nobody-" + slug,
	}
	if !byPath {
		list = append(list, "Authorization: Bearer "+p.tokens[other])
		lines = without(lines, "Authorization: ")
	}
	spoiled := list[rng.IntN(len(list))]
	if strings.HasPrefix(spoiled, "X-Tenant-ID: "+slug) && byPath {
		lines = without(lines, "X-Tenant-ID: ")
	}
	return append(lines, spoiled)
}

func without(lines []string, prefix string) (rest []string) {
	for _, line := range lines {
		if !strings.HasPrefix(line, prefix) {
			rest = append(rest, line)
		}
	}
	return rest
}
