package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestObjectsOfOneMeaningAreRead(t *testing.T) {
	for _, s := range []string{
		`{}`, " { } \n", `{"a":1,"b":[1,2,{"a":null}],"c":{"a":{"a":"a"}}}`, `{"a":"A","b":"a"}`,
		`{"\u0061":"\ud83d\ude00 \\u0000 \\ud800"}`, `{"é":1,"e":2}`, `{"a":[["a","a"],["a"]],"b":"a"}`, `{"a":-1.5e300}`,
		`{"a":"\ufffd"}`, `{"a":"\uFFFD` + "\ufffd" + `"}`, `{"a":"\\\ufffd"}`,
	} {
		t.Run(s, func(t *testing.T) {
			if _, err := Object([]byte(s), 5); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestObjectsOfTwoMeaningsAreRefused(t *testing.T) {
	for _, s := range []string{
		`{"tenant":"acme","tenant":"globex"}`, `{"tenant":"acme","ten\u0061nt":"globex"}`, `{"tenant":"acme","TENANT":"globex"}`,
		`{"kelly":1,"` + "\u212a" + `elly":2}`, `{"ss":1,"` + "\u017f" + `s":2}`, `{"a":{"b":1,"B":2}}`, `{"a":[{"b":1,"b":2}]}`,
		`{"":1,"":2}`, `{"a":{},"a":{}}`, `{"a":[],"A":1}`, "{\"a\":\"\xff\"}", "\ufeff{}",
		`{"a":"\ud800"}`, `{"a":"\udc00\ud800"}`, `{"a":"\ud800\\udc00"}`, `{"a":"\ud800x"}`, `{"\udc00":1}`,
		`{"a":"\ufffd\ud800"}`, `{"a":"\\ufffd\ud800"}`, `{"a":"` + "\ufffd" + `\ud800"}`, `{"a":["\uD83D"]}`,
		`{"a":"\u0000"}`, `{"\u0000":1}`,
		`{"a":{"a":{"a":{"a":{"a":{}}}}}}`, `{"a":` + strings.Repeat("[", 5) + strings.Repeat("]", 5) + `}`,
	} {
		t.Run(s, func(t *testing.T) {
			if _, err := Object([]byte(s), 5); !errors.Is(err, ErrAmbiguous) {
				t.Errorf("%v, want a refusal as ambiguous", err)
			}
		})
	}
}

func TestWhatIsNoObjectIsRefused(t *testing.T) {
	for _, s := range []string{
		"", " ", "null", "[]", "1", `"a"`, "{", "}", `{"a"}`, `{"a":1}{}`, `{"a":1} x`, `{"a":1,}`, `{a:1}`, `{"a":01}`,
		"{\"a\":\"\n\"}", `{"a":NaN}`, `[{"a":1}]`, strings.Repeat("[", 100000),
	} {
		t.Run(fmt.Sprintf("%.20q", s), func(t *testing.T) {
			if members, err := Members([]byte(s), 5); err == nil || members != nil {
				t.Errorf("read as %v", members)
			}
		})
	}
}

func TestMembersComeAsTheyAreWritten(t *testing.T) {
	members, err := Members([]byte(` {"b" : [1, {"x":2}] ,"\u0061":"\u00e4", "c":null,"d": {"b":1} } `), 5)
	var got []string
	for _, m := range members {
		got = append(got, m.Name+"="+string(m.Value))
	}
	if want := `b=[1, {"x":2}]|a="\u00e4"|c=null|d={"b":1}`; err != nil || strings.Join(got, "|") != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
}

func TestTheNameThatIsThereTwiceIsTold(t *testing.T) {
	_, err := Members([]byte(`{"a":{"name":1,"NAME":2}}`), 5)
	var twice *TwiceError
	if !errors.As(err, &twice) || twice.Name != "NAME" || err.Error() != `ambiguous JSON: the name "NAME" is there twice` {
		t.Errorf("%v", err)
	}
}

func TestStructsTakeExactNamesOnly(t *testing.T) {
	type inner struct {
		Count int `json:"count"`
	}
	type target struct {
		Slug string                     `json:"slug"`
		Keys []inner                    `json:"keys"`
		Any  map[string]json.RawMessage `json:"any"`
	}
	var got target
	if err := Unmarshal([]byte(`{"slug":"acme","keys":[{"count":3}],"any":{"x_1":[null]}}`), 5, &got); err != nil {
		t.Fatal(err)
	}
	if got.Slug != "acme" || len(got.Keys) != 1 || got.Keys[0].Count != 3 || string(got.Any["x_1"]) != "[null]" {
		t.Errorf("%+v", got)
	}
	for _, s := range []string{
		`{"Slug":"acme"}`, `{"` + "\u017f" + `lug":"acme"}`, `{"keys":[{"COUNT":3}]}`, `{"` + "\u212a" + `eys":[]}`, `{"any":{"X":1}}`,
		`{"other":1}`, `{"keys":[{"other":1}]}`, `{"slug":1}`, `{"slug":"a"}{}`, `{"slug":"a","slug":"b"}`, `[]`, `null`, ``,
	} {
		t.Run(s, func(t *testing.T) {
			if err := Unmarshal([]byte(s), 5, new(target)); err == nil {
				t.Error("it was read")
			}
		})
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
