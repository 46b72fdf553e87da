package auth

import (
	"errors"
	"fmt"
	"strings"
	"testing"
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
		base(exp+".5", acme, ""):                        reasonClaims,
		base("1e10", acme, ""):                          reasonClaims,
		base(`"`+exp+`"`, acme, ""):                     reasonClaims,
		base("null", acme, ""):                          reasonClaims,
		base("true", acme, ""):                          reasonClaims,
		base("99999999999999999999", acme, ""):          reasonClaims,
		base("253402300800", acme, ""):                  reasonClaims,
		`{"iss":"me","aud":"petstore","tenant":"acme"}`: reasonClaims,

		base(exp, acme, fmt.Sprintf(`,"nbf":%d`, nowSec+31)): reasonEarly,
		base(exp, acme, fmt.Sprintf(`,"nbf":%d`, nowSec+29)): "",
		base(exp, acme, fmt.Sprintf(`,"iat":%d`, nowSec+31)): reasonEarly,
		base(exp, acme, `,"iat":"yesterday"`):                reasonClaims,
		base(exp, acme, `,"nbf":null`):                       reasonClaims,

		strings.Replace(base(exp, acme, ""), `"iss":"me"`, `"iss":"Me"`, 1):                   reasonIssuer,
		strings.Replace(base(exp, acme, ""), `"iss":"me"`, `"iss":["me"]`, 1):                 reasonClaims,
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

		base(exp, acme, `,"sub":1`):                                              reasonClaims,
		base(exp, acme, `,"sub":null`):                                           reasonClaims,
		base(exp, acme, `,"sub":""`):                                             reasonClaims,
		base(exp, acme, `,"sub":"a\nb"`):                                         reasonClaims,
		base(exp, acme, `,"sub":"\u202eann"`):                                    reasonClaims,
		base(exp, acme, `,"sub":"`+strings.Repeat("x", 256)+`"`):                 reasonClaims,
		base(exp, acme, `,"jti":["x"]`):                                          reasonClaims,
		base(exp, acme, `,"roles":["admin","admin"]`):                            reasonClaims,
		base(exp, acme, `,"roles":["a,b"]`):                                      reasonClaims,
		base(exp, acme, `,"roles":["a b"]`):                                      reasonClaims,
		base(exp, acme, `,"roles":"a\nb"`):                                       reasonClaims,
		base(exp, acme, `,"roles":{"admin":true}`):                               reasonClaims,
		base(exp, acme, `,"roles":true`):                                         reasonClaims,
		base(exp, acme, `,"x":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)): reasonClaims,
		base(exp, acme, "") + base(exp, acme, ""):                                reasonClaims,
		base(exp, acme, "") + " x":                                               reasonClaims,
		"\ufeff" + base(exp, acme, ""):                                           reasonClaims,
		"[]":                                                                     reasonClaims, "null": reasonClaims, "": reasonClaims, "Payload": reasonClaims,
	} {
		p, err := v.Verify(t.Context(), signed(t, payload), now)
		if Reason(err) != want {
			t.Errorf("%s: %v, want reason %q", payload, err, want)
		}
		if err != nil && fmt.Sprint(p) != fmt.Sprint(Principal{}) {
			t.Errorf("%s: a principal beside the error", payload)
		}
		if err != nil && !errors.Is(err, ErrBadToken) {
			t.Errorf("%s: the error is no ErrBadToken: %v", payload, err)
		}
	}
}
