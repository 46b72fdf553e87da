package caddymodule

import (
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

func TestWhoGuessesTooOftenIsToldToStop(t *testing.T) {
	options := strings.Replace(appOptions, "guesses off", "guesses 10/1h", 1)
	g := newGateway(t, options, limited)
	unknown := g.get("nobody.pets.test", "/")
	for range 9 {
		if answer := g.get("nobody.pets.test", "/"); answer != unknown {
			t.Fatal(answer)
		}
	}
	for _, host := range []string{"nobody.pets.test", "sleepy.pets.test", "acme-pets.pets.test"} {
		answer := g.get(host, "/")
		if status(answer) != "429" || !strings.Contains(answer, "abnormal-usage-detected") || field(answer, "Retry-After") != "3600" || field(answer, "X-RateLimit-Limit") != "" {
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

func TestBadAndForeignTokensCountAsGuesses(t *testing.T) {
	g, i := newAuthGateway(t, authSite)
	if err := g.load(strings.Replace(appOptions, "guesses off", "guesses 6/30m", 1), authSite); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		g.get("acme-pets.pets.test", "/", i.token(t, jwt.MapClaims{"aud": "cats"}))
		g.get("acme-pets.pets.test", "/", i.token(t, jwt.MapClaims{"tenant": "fluffy-friends"}))
	}
	if answer := g.get("acme-pets.pets.test", "/", i.token(t, nil)); status(answer) != "429" {
		t.Error(answer)
	}
}
