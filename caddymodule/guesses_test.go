package caddymodule_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestWhoGuessesTooOftenIsToldToStop(t *testing.T) {
	options := strings.Replace(appOptions, "guesses off", "guesses 10/1h", 1)
	g := newGateway(t, options, limited)
	unknown := g.get("nobody.pets.test", "/")
	for n := range 9 {
		if answer := g.get(fmt.Sprintf("nobody%d.pets.test", n), "/"); answer != unknown {
			t.Fatal(answer)
		}
	}
	for _, host := range []string{"nobody.pets.test", "sleepy.pets.test", "acme-pets.pets.test"} {
		answer := g.get(host, "/")
		wait, err := strconv.Atoi(field(answer, "Retry-After"))
		if status(answer) != "429" || !strings.Contains(answer, "abnormal-usage-detected") || field(answer, "X-RateLimit-Limit") != "" || err != nil || wait < 3600 || wait > 7200 {
			t.Errorf("%s: %s", host, answer)
		}
	}
	g.backend.none(t)
	if err := g.load(options, limited+"\nheader X-New 1"); err != nil {
		t.Fatal(err)
	}
	if answer := g.get("acme-pets.pets.test", "/"); status(answer) != "429" {
		t.Errorf("a reload forgave the client: %s", answer)
	}
}

// An application that goes on asking for a customer who has left, or with a token that
// has run out, must not cut off everybody behind the same address.
func TestOneNameAskedForAgainAndAgainStopsNoOther(t *testing.T) {
	options := strings.NewReplacer("guesses off", "guesses 10/1h", "5/1h", "1000/1h").Replace(appOptions)
	expired := jwt.MapClaims{"iat": time.Now().Add(-2 * time.Hour).Unix(), "exp": time.Now().Add(-time.Hour).Unix()}
	for name, test := range map[string]struct {
		site, host string
		expired    bool
	}{
		"a suspended tenant":         {limited, "sleepy.pets.test", false},
		"one that is gone":           {limited, "gone.pets.test", false},
		"a genuine token, run out":   {authSite, "acme-pets.pets.test", true},
		"the same, where it is open": {strings.Replace(authSite, "audience pets", "audience pets\noptional", 1), "acme-pets.pets.test", true},
	} {
		t.Run(name, func(t *testing.T) {
			g, i := newAuthGateway(t, authSite)
			if err := g.load(options, test.site); err != nil {
				t.Fatal(err)
			}
			var headers []string
			if test.expired {
				headers = []string{i.token(t, expired)}
			}
			for range 10 {
				if answer := g.get(test.host, "/", headers...); status(answer) == "429" {
					t.Fatalf("stopped too soon: %s", answer)
				}
			}
			for range 10 {
				if answer := g.get(test.host, "/", headers...); status(answer) != "429" {
					t.Fatalf("it is not stopped: %s", answer)
				}
			}
			for host, tenant := range map[string]string{"acme-pets.pets.test": "acme-pets", "fluffy-friends.pets.test": "fluffy-friends"} {
				if answer := g.get(host, "/", i.token(t, jwt.MapClaims{"tenant": tenant})); status(answer) != "200" {
					t.Errorf("%s: %s", host, answer)
				}
			}
		})
	}
}

// Without a good credential all names look the same, or the answer would tell who is a
// customer.
func TestWithoutAGoodCredentialAllNamesLookTheSame(t *testing.T) {
	g, i := newAuthGateway(t, authSite)
	credentials := map[string][]string{
		"none":                nil,
		"another scheme":      {"Authorization: Basic eDp5"},
		"garbage":             {"Authorization: Bearer x"},
		"two":                 {"Authorization: Bearer x", "Authorization: Bearer x"},
		"another key's":       {newIssuer(t, "k1").token(t, nil)},
		"expired":             {i.token(t, jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()})},
		"for somebody else":   {i.token(t, jwt.MapClaims{"aud": "cats"})},
		"of another customer": {i.token(t, jwt.MapClaims{"tenant": "fluffy-friends"})},
		"of nobody known":     {i.token(t, jwt.MapClaims{"tenant": "nobody"})},
	}
	for name, headers := range credentials {
		t.Run(name, func(t *testing.T) {
			existing := g.get("acme-pets.pets.test", "/", headers...)
			for _, host := range []string{"unknown.pets.test", "sleepy.pets.test", "a.b.pets.test", "pets.test", "WWW.pets.test", "x_y.pets.test"} {
				if answer := g.get(host, "/", headers...); answer != existing {
					t.Errorf("%s: got\n%s\nwant\n%s", host, answer, existing)
				}
			}
		})
	}
	g.backend.none(t)
}

func TestBadAndForeignTokensCountAsGuesses(t *testing.T) {
	g, i := newAuthGateway(t, authSite)
	if err := g.load(strings.Replace(appOptions, "guesses off", "guesses 6/30m", 1), authSite); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		g.get("acme-pets.pets.test", "/", i.token(t, jwt.MapClaims{"aud": "cats"}))
	}
	g.get("acme-pets.pets.test", "/", i.token(t, jwt.MapClaims{"tenant": "fluffy-friends"}))
	if answer := g.get("acme-pets.pets.test", "/", i.token(t, nil)); status(answer) != "429" {
		t.Error(answer)
	}
}
