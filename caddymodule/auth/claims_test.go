package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestClaimsAreReadStrictly(t *testing.T) {
	v := verifierOf(t, Options{Issuer: "me", Audience: "petstore"})
	base := func(exp, tenants, more string) string {
		return fmt.Sprintf(`{"iss":"me","aud":"petstore","exp":%s,"tenant":%s%s}`, exp, tenants, more)
	}
	exp := fmt.Sprint(nowSec + 60)
	const acme = `"acme-pets"`
	for payload, want := range map[string]string{
		base(exp, acme, ""): "",
		base(exp, `["acme-pets","globex"]`, `,"other":{"deep":[1,{"x":null}]}`): "",
		base(exp, acme, `,"roles":"admin"`):                                     "",
		base(exp, acme, `,"roles":[]`):                                          "",

		base(fmt.Sprint(nowSec-31), acme, ""):           reasonExpired,
		base(fmt.Sprint(nowSec-30), acme, ""):           reasonExpired,
		base(fmt.Sprint(nowSec-29), acme, ""):           "", // the leeway
		base("0", acme, ""):                             reasonClaims,
		base("-1", acme, ""):                            reasonClaims,
		base(exp+".5", acme, ""):                        "",
		base("1.8000006e9", acme, ""):                   "",
		base("1e400", acme, ""):                         reasonClaims,
		base(`"`+exp+`"`, acme, ""):                     reasonClaims,
		base("null", acme, ""):                          reasonClaims,
		base("true", acme, ""):                          reasonClaims,
		base("99999999999999999999", acme, ""):          reasonClaims,
		base("253402300800", acme, ""):                  reasonClaims,
		`{"iss":"me","aud":"petstore","tenant":"acme"}`: reasonClaims,

		base(exp, acme, fmt.Sprintf(`,"nbf":%d`, nowSec+31)): reasonEarly,
		base(exp, acme, fmt.Sprintf(`,"nbf":%d`, nowSec+29)): "",
		base(exp, acme, fmt.Sprintf(`,"iat":%d`, nowSec+31)): reasonEarly,
		base(exp, acme, `,"nbf":null`):                       reasonClaims,

		strings.Replace(base(exp, acme, ""), `"iss":"me"`, `"iss":"Me"`, 1):                   reasonIssuer,
		strings.Replace(base(exp, acme, ""), `"iss":"me"`, `"iss":["me"]`, 1):                 reasonIssuer,
		strings.Replace(base(exp, acme, ""), `"iss":"me",`, ``, 1):                            reasonIssuer,
		strings.Replace(base(exp, acme, ""), `"aud":"petstore"`, `"aud":"x"`, 1):              reasonAudience,
		strings.Replace(base(exp, acme, ""), `"aud":"petstore"`, `"aud":[]`, 1):               reasonAudience,
		strings.Replace(base(exp, acme, ""), `"aud":"petstore"`, `"aud":["petstore",1]`, 1):   reasonClaims,
		strings.Replace(base(exp, acme, ""), `"aud":"petstore"`, `"aud":[["petstore"]]`, 1):   reasonClaims,
		strings.Replace(base(exp, acme, ""), `"aud":"petstore"`, `"aud":{"petstore":1}`, 1):   reasonClaims,
		strings.Replace(base(exp, acme, ""), `"aud":"petstore",`, ``, 1):                      reasonAudience,
		strings.Replace(base(exp, acme, ""), `"aud":"petstore"`, `"aud":"petstore,other"`, 1): reasonAudience,

		base(exp, "1", ""):                                         reasonClaims,
		base(exp, "null", ""):                                      reasonClaims,
		base(exp, `{"slug":"acme-pets"}`, ""):                      reasonClaims,
		base(exp, `["acme-pets",null]`, ""):                        reasonClaims,
		base(exp, `[["acme-pets"]]`, ""):                           reasonClaims,
		base(exp, `[]`, ""):                                        reasonTenant,
		base(exp, `""`, ""):                                        reasonTenant,
		base(exp, `"Acme-Pets"`, ""):                               reasonTenant,
		base(exp, `" acme-pets"`, ""):                              reasonTenant,
		base(exp, `"acme-pets,globex"`, ""):                        reasonTenant,
		base(exp, `"acme-pets globex"`, ""):                        reasonTenant,
		base(exp, `"\u212Aelly"`, ""):                              reasonTenant,
		base(exp, `"аcme-pets"`, ""):                               reasonTenant,
		base(exp, `"acme-pets\u0000"`, ""):                         reasonClaims,
		base(exp, `"acme\ud800"`, ""):                              reasonClaims,
		base(exp, `["acme-pets","acme-pets"]`, ""):                 reasonTenant,
		base(exp, `["acme-pets","ACME-PETS"]`, ""):                 reasonTenant,
		base(exp, `"admin"`, ""):                                   reasonTenant,
		base(exp, acme, `,"tenant":"globex"`):                      reasonClaims,
		base(exp, acme, `,"ten\u0061nt":"globex"`):                 reasonClaims,
		base(exp, acme, `,"TENANT":"globex"`):                      reasonClaims,
		base(exp, acme, `,"Exp":1`):                                reasonClaims,
		fmt.Sprintf(`{"iss":"me","aud":"petstore","exp":%s}`, exp): reasonTenant,
		fmt.Sprintf(`{"iss":"me","aud":"petstore","exp":%s,"Tenant":"acme-pets"}`, exp): reasonTenant,

		base(exp, acme, `,"x":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)): reasonClaims,
		base(exp, acme, "") + base(exp, acme, ""):                                reasonClaims,
		base(exp, acme, "") + " x":                                               reasonClaims,
		"\ufeff" + base(exp, acme, ""):                                           reasonClaims,
		"[]":                                                                     reasonClaims, "null": reasonClaims, "": reasonClaims, "Payload": reasonClaims,
	} {
		t.Run(fmt.Sprintf("%.120s", payload), func(t *testing.T) {
			p, err := v.Verify(t.Context(), signed(t, payload), now)
			if Reason(err) != want {
				t.Errorf("%s: %v, want reason %q", payload, err, want)
			}
			if err != nil && fmt.Sprint(p) != fmt.Sprint(Principal{}) {
				t.Error("a principal beside the error")
			}
			if err != nil && !errors.Is(err, ErrBadToken) {
				t.Errorf("the error is no ErrBadToken: %v", err)
			}
		})
	}
}

// Whoever is signed for as a user of the tenant is one, whatever else an issuer
// writes into its tokens (found with real ones: Keycloak, Auth0, php-jwt).
func TestAnOptionalClaimThatCannotBeUsedIsLeftOutAndTheCallerIsNot(t *testing.T) {
	many := `["b"`
	for i := range 60 {
		many += fmt.Sprintf(`,"a-role-of-a-directory-group-%d"`, i)
	}
	many += "]"
	for name, c := range map[string]struct {
		more, claim, subject string
		roles                []string
		ignored              string
	}{
		"nothing odd":           {more: `,"sub":"ann","roles":["a","b"]`, subject: "ann", roles: []string{"a", "b"}},
		"roles null":            {more: `,"roles":null`, ignored: "roles"},
		"roles an object":       {more: `,"roles":{"admin":true}`, ignored: "roles"},
		"roles a truth":         {more: `,"roles":true`, ignored: "roles"},
		"roles in a list":       {more: `,"roles":[["admin"],"b"]`, roles: []string{"b"}, ignored: "roles"},
		"a role with a blank":   {more: `,"roles":["a b","c"]`, roles: []string{"c"}, ignored: "roles"},
		"a role with a comma":   {more: `,"roles":["a,b"]`, ignored: "roles"},
		"a role twice":          {more: `,"roles":["a","b","a"]`, roles: []string{"a", "b"}},
		"an empty role":         {more: `,"roles":""`, ignored: "roles"},
		"a number among roles":  {more: `,"roles":["a",1,null]`, roles: []string{"a"}, ignored: "roles"},
		"more than fit":         {more: `,"roles":` + many, ignored: "roles"},
		"a blank, not a scope":  {more: `,"roles":"not admin"`, ignored: "roles"},
		"two scopes":            {more: `,"scope":"read write"`, claim: "scope", roles: []string{"read", "write"}},
		"scopes in a list":      {more: `,"scope":["read","write"]`, claim: "scope", roles: []string{"read", "write"}},
		"a scope that is none":  {more: `,"scope":"read pets\u00e9  read"`, claim: "scope", roles: []string{"read"}, ignored: "scope"},
		"sub a number":          {more: `,"sub":17`, ignored: "sub"},
		"sub null":              {more: `,"sub":null`, ignored: "sub"},
		"sub empty":             {more: `,"sub":""`, ignored: "sub"},
		"sub with a line break": {more: `,"sub":"a\nb"`, ignored: "sub"},
		"sub that turns around": {more: `,"sub":"\u202eann"`, ignored: "sub"},
		"sub too long":          {more: `,"sub":"` + strings.Repeat("x", 256) + `"`, ignored: "sub"},
		"jti in a list":         {more: `,"jti":["x"]`, ignored: "jti"},
		"iss a number":          {more: `,"iss":1`, ignored: "iss"},
		"iat a text":            {more: `,"iat":"yesterday"`, ignored: "iat"},
		"iat null":              {more: `,"iat":null`, ignored: "iat"},
		"iat before 1970":       {more: `,"iat":-1`, ignored: "iat"},
		"iat with a fraction":   {more: fmt.Sprintf(`,"iat":%d.75`, nowSec-60)},
		"iat and sub":           {more: `,"sub":[],"iat":{}`, ignored: "iat sub"},
	} {
		t.Run(name, func(t *testing.T) {
			v := verifierOf(t, Options{RolesClaim: c.claim})
			p, err := v.Verify(t.Context(), signed(t, fmt.Sprintf(`{"exp":%d,"tenant":"acme-pets"%s}`, nowSec+600, c.more)), now)
			if err != nil {
				t.Fatal(err)
			}
			if p.Subject != c.subject || !slices.Equal(p.Roles, c.roles) {
				t.Errorf("subject %q, roles %q; want %q, %q", p.Subject, p.Roles, c.subject, c.roles)
			}
			if got := strings.Join(p.Ignored, " "); got != c.ignored {
				t.Errorf("left out %q; want %q", got, c.ignored)
			}
		})
	}
}

func TestATokenLivesNoLongerThanIsAllowed(t *testing.T) {
	const day = 24 * 3600
	for name, c := range map[string]struct {
		iat, exp int64 // seconds from now; an iat of 0 is none
		max      time.Duration
		want     string
	}{
		"a day":                          {-60, day - 60, 0, ""},
		"a second more":                  {-60, day - 59, 0, reasonLifetime},
		"ten years":                      {-60, 10 * 365 * day, 0, reasonLifetime},
		"ten years, nearly over":         {-10 * 365 * day, 60, 0, reasonLifetime},
		"a day, undated":                 {0, day, 0, ""},
		"a day and the leeway":           {0, day + 30, 0, ""},
		"more, undated":                  {0, day + 31, 0, reasonLifetime},
		"undated and nearly over":        {0, 60, 0, ""},
		"an hour of the hour":            {-1800, 1800, time.Hour, ""},
		"more than the hour":             {-1801, 1800, time.Hour, reasonLifetime},
		"no bound":                       {-60, 100 * 365 * day, -1, ""},
		"issued after its end":           {20, 10, 0, reasonClaims},
		"issued after its end, no bound": {20, 10, -1, reasonClaims},
		"issued at its end":              {10, 10, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			payload := fmt.Sprintf(`{"exp":%d,"tenant":"acme-pets"`, nowSec+c.exp)
			if c.iat != 0 {
				payload += fmt.Sprintf(`,"iat":%d`, nowSec+c.iat)
			}
			v := verifierOf(t, Options{MaxLifetime: c.max})
			for _, again := range []string{"first", "remembered"} {
				if _, err := v.Verify(t.Context(), signed(t, payload+"}"), now); Reason(err) != c.want {
					t.Errorf("%s: %v; want reason %q", again, err, c.want)
				}
			}
		})
	}
}
