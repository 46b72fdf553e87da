package strictjson

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestObjectsOfOneMeaningAreRead(t *testing.T) {
	for _, s := range []string{
		`{}`, " { } \n", `{"a":1,"b":[1,2,{"a":null}],"c":{"a":{"a":"a"}}}`, `{"a":"A","b":"a"}`,
		`{"\u0061":"\ud83d\ude00 \\u0000 \\ud800"}`, `{"é":1,"e":2}`, `{"a":[["a","a"],["a"]],"b":"a"}`, `{"a":-1.5e300}`,
	} {
		if _, err := Object([]byte(s), 5); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestObjectsOfTwoMeaningsAreRefused(t *testing.T) {
	for _, s := range []string{
		`{"tenant":"acme","tenant":"globex"}`, `{"tenant":"acme","ten\u0061nt":"globex"}`, `{"tenant":"acme","TENANT":"globex"}`,
		`{"kelly":1,"` + "\u212a" + `elly":2}`, `{"ss":1,"` + "\u017f" + `s":2}`, `{"a":{"b":1,"B":2}}`, `{"a":[{"b":1,"b":2}]}`,
		`{"":1,"":2}`, `{"a":{},"a":{}}`, `{"a":[],"A":1}`,
		"{\"a\":\"\xff\"}", "\ufeff{}", `{"a":"\ud800"}`, `{"a":"\udc00\ud800"}`, `{"a":"\ud800\\udc00"}`, `{"a":"\ud800x"}`, `{"a":"\u0000"}`, `{"\u0000":1}`,
		`{"a":{"a":{"a":{"a":{"a":{}}}}}}`, `{"a":` + strings.Repeat("[", 5) + strings.Repeat("]", 5) + `}`,
	} {
		if _, err := Object([]byte(s), 5); !errors.Is(err, ErrAmbiguous) {
			t.Errorf("%q: %v, want a refusal as ambiguous", s, err)
		}
	}
	for _, s := range []string{"", " ", "null", "[]", "1", `"a"`, "{", "}", `{"a"}`, `{"a":1}{}`, `{"a":1} x`, `{"a":1,}`, `{a:1}`, `{"a":01}`, "{\"a\":\"\n\"}", `{"a":NaN}`, strings.Repeat("[", 100000)} {
		if _, err := Object([]byte(s), 5); err == nil {
			t.Errorf("%.20q: read as an object", s)
		}
	}
}

// FuzzObject holds what is accepted against encoding/json with two targets: a
// struct, which folds case, and a map, which does not. They must agree.
func FuzzObject(f *testing.F) {
	for _, s := range []string{`{"tenant":"a"}`, `{"tenant":"a","TENANT":"b"}`, `{"ten\u0061nt":"a"}`, `{"a":{"tenant":"\ud83d\ude00"}}`, `{"Tenant":["x"]}`, "{\"t\xffenant\":1}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		members, err := Object(b, 8)
		if err != nil {
			return
		}
		var asMap map[string]json.RawMessage
		if err := json.Unmarshal(b, &asMap); err != nil || len(asMap) != len(members) {
			t.Fatalf("%q: %d members, encoding/json reads %d, %v", b, len(members), len(asMap), err)
		}
		var asStruct struct {
			Tenant json.RawMessage `json:"tenant"`
		}
		if err := json.Unmarshal(b, &asStruct); err != nil {
			t.Fatal(err)
		}
		if exact, ok := members["tenant"]; ok && string(exact) != string(asStruct.Tenant) {
			t.Fatalf("%q: tenant is %s here and %s in a struct", b, exact, asStruct.Tenant)
		}
	})
}
