package auth

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestExactlyOneBearerTokenIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		h     http.Header
		query string
		want  string
		err   error
	}{
		"one":              {h: headers("Authorization", "Bearer a.b-c_d.e"), want: "a.b-c_d.e"},
		"name in any case": {h: headers("aUTHORIZATION", "Bearer x"), want: "x"},
		"with a query":     {h: headers("Authorization", "Bearer x"), query: "q=access_token&access=1", want: "x"},
		"none":             {h: headers("Accept", "*/*"), err: ErrNoToken},
		"nil":              {err: ErrNoToken},
		"in a cookie":      {h: headers("Cookie", "access_token=x; Authorization=Bearer x"), err: ErrNoToken},

		"two headers":          {h: headers("Authorization", "Bearer x", "Authorization", "Bearer x"), err: ErrBadToken},
		"two different":        {h: headers("Authorization", "Bearer x", "Authorization", "Basic eDp5"), err: ErrBadToken},
		"two other schemes":    {h: headers("Authorization", "Basic eDp5", "Authorization", "Basic eDp5"), err: ErrBadToken},
		"two tokens":           {h: headers("Authorization", "Bearer x, Bearer y"), err: ErrBadToken},
		"list":                 {h: headers("Authorization", "Bearer x,y"), err: ErrBadToken},
		"empty":                {h: headers("Authorization", ""), err: ErrBadToken},
		"scheme only":          {h: headers("Authorization", "Bearer"), err: ErrBadToken},
		"no token":             {h: headers("Authorization", "Bearer "), err: ErrBadToken},
		"two spaces":           {h: headers("Authorization", "Bearer  x"), err: ErrBadToken},
		"tab":                  {h: headers("Authorization", "Bearer\tx"), err: ErrBadToken},
		"trailing space":       {h: headers("Authorization", "Bearer x "), err: ErrBadToken},
		"odd case":             {h: headers("Authorization", "bEARER x"), err: ErrBadToken},
		"lower case":           {h: headers("Authorization", "bearer x"), err: ErrBadToken},
		"Basic":                {h: headers("Authorization", "Basic eDp5"), err: ErrNoToken},
		"Digest":               {h: headers("Authorization", `Digest username="ann", realm="x", nonce="a=="`), err: ErrNoToken},
		"Negotiate":            {h: headers("Authorization", "Negotiate YII="), err: ErrNoToken},
		"signed by AWS":        {h: headers("Authorization", "AWS4-HMAC-SHA256 Credential=x/y"), err: ErrNoToken},
		"scheme like ours":     {h: headers("Authorization", "Bearers x"), err: ErrNoToken},
		"Basic, and the query": {h: headers("Authorization", "Basic eDp5"), query: "access_token=x", err: ErrBadToken},
		"no scheme":            {h: headers("Authorization", " x"), err: ErrBadToken},
		"token only":           {h: headers("Authorization", "a.b.c"), err: ErrBadToken},
		"padding":              {h: headers("Authorization", "Bearer eA=="), err: ErrBadToken},
		"line feed":            {h: headers("Authorization", "Bearer a\n.b"), err: ErrBadToken},
		"null byte":            {h: headers("Authorization", "Bearer a\x00"), err: ErrBadToken},
		"not ASCII":            {h: headers("Authorization", "Bearer \u212a"), err: ErrBadToken},
		"quoted":               {h: headers("Authorization", `Bearer "x"`), err: ErrBadToken},
		"query":                {query: "access_token=x", err: ErrBadToken},
		"query and header":     {h: headers("Authorization", "Bearer x"), query: "a=1&access_token=x", err: ErrBadToken},
		"query, other case":    {query: "ACCESS_token=x", err: ErrBadToken},
		"query, encoded":       {query: "acc%65ss%5Ftoken=x", err: ErrBadToken},
		"query, no value":      {query: "access_token", err: ErrBadToken},
		"query, semicolon":     {query: "a=1;access_token=x", err: ErrBadToken},
		"query, plus is blank": {query: "access+token=x", err: ErrNoToken},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := BearerToken(c.h, c.query)
			if got != c.want || !errors.Is(err, c.err) || (c.err == nil && err != nil) {
				t.Errorf("%q, %v; want %q, %v", got, err, c.want, c.err)
			}
		})
	}
}

func TestATokenAndAnAPIKeyAreNotTakenTogether(t *testing.T) {
	key, _ := NewAPIKey()
	for name, c := range map[string]struct {
		h    http.Header
		want string
		err  error
	}{
		"token":             {h: headers("Authorization", "Bearer a.b.c"), want: "a.b.c"},
		"key as token":      {h: headers("Authorization", "Bearer "+key), want: key},
		"key":               {h: headers("X-API-Key", key), want: key},
		"neither":           {err: ErrNoToken},
		"both":              {h: headers("X-API-Key", key, "Authorization", "Bearer a.b.c"), err: ErrBadToken},
		"both, the same":    {h: headers("X-API-Key", key, "Authorization", "Bearer "+key), err: ErrBadToken},
		"key, bad token":    {h: headers("X-API-Key", key, "Authorization", "bearer x"), err: ErrBadToken},
		"key, other scheme": {h: headers("X-API-Key", key, "Authorization", "Basic eDp5"), want: key},
		"two keys":          {h: headers("X-API-Key", key, "X-API-Key", key), err: ErrBadToken},
		"no key":            {h: headers("X-API-Key", ""), err: ErrBadToken},
		"not a key":         {h: headers("X-API-Key", "a.b.c"), err: ErrBadToken},
		"bad key and token": {h: headers("X-API-Key", "x", "Authorization", "Bearer a.b.c"), err: ErrBadToken},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Credential(c.h, "")
			if got != c.want || !errors.Is(err, c.err) || (c.err == nil && err != nil) {
				t.Errorf("%q, %v; want %q, %v", got, err, c.want, c.err)
			}
		})
	}
}

func FuzzBearerToken(f *testing.F) {
	f.Add("Bearer a.b.c", "")
	f.Add("Bearer a, Bearer b", "access_token=x")
	f.Add("bearer x", "acc%65ss_token")
	f.Fuzz(func(t *testing.T, value, query string) {
		token, err := BearerToken(http.Header{"Authorization": {value}}, query)
		if (token == "") == (err == nil) {
			t.Fatalf("%q and %v together", token, err)
		}
		if err == nil && (value != "Bearer "+token || strings.ContainsAny(token, " ,;=\r\n\t\"")) {
			t.Errorf("%q read from %q", token, value)
		}
		if errors.Is(err, ErrNoToken) && (value == "" || len(value) >= 6 && strings.EqualFold(value[:6], "bearer") && !isLetter(value, 6)) {
			t.Errorf("a header %q counts as no token", value)
		}
	})
}

// isLetter reports whether a scheme goes on at that byte.
func isLetter(s string, at int) bool {
	return at < len(s) && (s[at] == '-' || '0' <= s[at] && s[at] <= '9' || 'a' <= s[at]|0x20 && s[at]|0x20 <= 'z')
}

func BenchmarkBearerToken(b *testing.B) {
	h := headers("Authorization", "Bearer "+strings.Repeat("a", 400))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := BearerToken(h, "species=cat&limit=20"); err != nil {
			b.Fatal(err)
		}
	}
}
