package registry

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestATenantsOwnIssuerIsReadWholeOrTheRecordIsLeftOut(t *testing.T) {
	records, err := parseJSON([]byte(`{"tenants":[
		{"slug":"acme-pets","issuer":"https://idp.acme.example","jwks":"https://idp.acme.example/keys"},
		{"slug":"pooled","issuer":"","jwks":null},
		{"slug":"half","issuer":"https://idp.acme.example"},
		{"slug":"other-half","jwks":"https://idp.acme.example/keys"},
		{"slug":"spaced","issuer":"https://idp. example","jwks":"https://idp.acme.example/keys"},
		{"slug":"long","issuer":"` + strings.Repeat("i", 513) + `","jwks":"https://idp.acme.example/keys"}
	]}`))
	if err != nil {
		t.Fatal(err)
	}
	s, _ := newParser(nil).build(emptySnapshot(), records, time.Unix(1, 0))
	if got := slugsOf(s); got != "acme-pets pooled" && got != "pooled acme-pets" {
		t.Errorf("served: %s", got)
	}
	if acme := s.BySlug(slug("acme-pets")); acme == nil || acme.Issuer != "https://idp.acme.example" || acme.JWKS != "https://idp.acme.example/keys" {
		t.Errorf("got %+v", acme)
	}
	for _, want := range []string{
		`slug "half": expected both issuer and jwks, or none of them`, `slug "other-half": expected both`,
		`slug "spaced": reading issuer`, `slug "long": reading issuer`,
	} {
		if !strings.Contains(problemsOf(s), want) {
			t.Errorf("problems\n%s\nwithout %s", problemsOf(s), want)
		}
	}
}

func TestAChangedIssuerIsAChangedTenantAndSurvivesSaving(t *testing.T) {
	record := Record{Slug: "acme-pets", Issuer: "https://idp.acme.example", JWKS: "https://idp.acme.example/keys", Upstreams: []string{"10.0.0.1:80"}}
	p := newParser(nil)
	first, _ := p.build(emptySnapshot(), []Record{record}, noon)
	record.JWKS = "https://idp.acme.example/other"
	second, diff := p.build(first, []Record{record}, noon)
	if len(diff.changed) != 1 || second.BySlug(slug("acme-pets")).JWKS != record.JWKS {
		t.Errorf("changed %v, now %+v", diff.changed, second.BySlug(slug("acme-pets")))
	}
	records, _, err := decodeSnapshot(encodeSnapshot(second, "x", noon), "x")
	if err != nil || len(records) != 1 || records[0].Issuer != record.Issuer || records[0].JWKS != record.JWKS || !slices.Equal(records[0].Upstreams, record.Upstreams) {
		t.Errorf("restored %+v, %v", records, err)
	}
}
