package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// oddTexts are forms that the quick way must leave to the judge, or read as it does.
var oddTexts = []string{
	`{"tenants": []}`, ` { "tenants" : [ ] } `, `{"tenants": [{}]}`, `{"tenants": [ { } , {"slug":"a"} ]}`,
	`{"tenants": null}`, `{"tenants": {"slug": "a"}}`, `{"tenants": "a"}`, `{"tenants": [1, "a", null, [], {"slug": "a"}]}`,
	`{"tenants": [{"slug": "a"},]}`, `{"tenants": [,{"slug": "a"}]}`, `{"tenants": [{"slug": "a"} {"slug": "b"}]}`,
	`{"tenants": [{"slug": "a",}]}`, `{"tenants": [{"slug" "a"}]}`, `{"tenants": [{"slug": }]}`, `{"tenants": [{slug: "a"}]}`,
	`{"tenants": [{"slug": "a"}]`, `{"tenants": [{"slug": "a"}`, `{"tenants": [{"slug": "a`, `{"tenants": [{"slug": "a\"}]}`, `{"tenants": [{"slug": "a"}]}}`,
	`{"tenants": [{"slug": "a"]}]}`, `{"tenants": [{"slug": ["a"}]}]}`, `{"tenants": [{"slug": "a"}], "tenants": []}`, `{"tenants": [{"slug": "a"}], "other": 1}`,
	`{"\u0074enants": [{"slug": "a"}]}`, `{"tenants": [{"\u0073lug": "a"}]}`, `{"tenants": [{"slug": "a", "slug": "b"}]}`, `{"tenants": [{"SLUG": "a"}]}`,
	`{"tenants": [{"slug": "a", "name": "\u00e4\"\\\/\n\ud83d\ude00"}]}`, `{"tenants": [{"slug": "a", "name": "\ud83d"}]}`, `{"tenants": [{"slug": "a", "name": "\x"}]}`,
	"{\"tenants\": [{\"slug\": \"a\", \"name\": \"tab\there\"}]}", "{\"tenants\": [{\"slug\": \"a\"\x00}]}", "\ufeff{\"tenants\": []}", "{\"tenants\": [{\"slug\": \"a\", \"name\": \"\xff\"}]}",
	`{"tenants": [{"slug": "a", "id": 7, "created_at": -1}]}`, `{"tenants": [{"slug": "a", "id": 07}]}`, `{"tenants": [{"slug": "a", "id": 1e2, "created_at": 1.5}]}`, `{"tenants": [{"slug": "a", "id": -}]}`,
	`{"tenants": [{"slug": "a", "id": 123456789012345678901234567890}]}`, `{"tenants": [{"slug": "a", "id": "", "status": ""}]}`, `{"tenants": [{"slug": null, "id": true, "plan": false, "name": nul}]}`,
	`{"tenants": [{"slug": "a", "hosts": []}, {"slug": "b", "hosts": [ "b.example" , "c.example" ]}, {"slug": "c", "hosts": "d.example, e.example"}]}`,
	`{"tenants": [{"slug": "a", "hosts": ["a.example",]}]}`, `{"tenants": [{"slug": "a", "hosts": ["a.example" "b"]}]}`, `{"tenants": [{"slug": "a", "hosts": [1]}]}`, `{"tenants": [{"slug": "a", "hosts": [["a"]]}]}`,
	`{"tenants": [{"slug": "a", "name": {"x": [1, "}"]}}]}`, `{"tenants": [{"slug": "a", "unknown": 1}, {"slug": "b"}]}`, `{"tenants": [{"slug": "a", "name": ["x"]}]}`,
	`{"tenants": [{"slug": "a", "name": ` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}]}`, `{"tenants": [` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `]}`,
	"{\n\"tenants\": [\n\n{\"slug\":\n\"a\"},\n{\"slug\": \"b\", \"bad\": 1}\n]\n}\n", `{"version": 3, "cursor": "x}]\"", "tenants": [{"slug": "a"}], "total": 1}`, `{"delta": true, "tenants": [{"slug": "a"}], "removed": ["b"], "total": 9}`,
	`{"cursor": "x" "tenants": []}`, `{"cursor": , "tenants": []}`, `{"cursor": "x", "tenants": [], "cursor": "y"}`, `{"tenants": []} {}`, `{"total": 1 , "tenants" : [{"slug":"a"}]} `, `[]`, ``, ` `, `{`, `{}`, `{"tenants"}`,
}

// checkQuick compares the quick way with the judge, and reports whether it was
// taken.
func checkQuick(t *testing.T, data []byte) (quick bool) {
	t.Helper()
	say := func(d document) string {
		return fmt.Sprintf("%+v, delta %v, removed %q, cursor %q, total %d, version %d", d.tenants, d.delta, d.removed, d.cursor, d.total, d.version)
	}
	for _, keys := range [][]string{fileKeys, feedKeys} {
		text := jsonText{keys: keys}
		want, wantErr := parseDocument(data, keys)
		got, err := text.all(data)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("%q: error = %v, want %v", data, err, wantErr)
		}
		if say(got) != say(want) {
			t.Fatalf("%q: got\n%s\nwant\n%s", data, say(got), say(want))
		}
		quick = quick || text.seen != nil
		if text.seen == nil {
			continue
		}
		// Nothing is new in the same text.
		if again, ok := text.changes(data); !ok || len(again.tenants)+len(again.removed) > 0 || again.total != int64(len(want.tenants)) {
			// Unless a record comes twice, which is then not known.
			if !ok || len(again.tenants) >= len(want.tenants) {
				t.Fatalf("%q: read again, %+v", data, again)
			}
		}
	}
	return quick
}

// checkQuickChanges compares what the changes from one text to the next lead to
// with what reading all of the next leads to. It reports whether they led anywhere.
func checkQuickChanges(t *testing.T, before, after []byte) (applied bool) {
	t.Helper()
	text := jsonText{keys: fileKeys}
	first, err := text.all(before)
	if err != nil {
		return false
	}
	p := newParser(nil)
	prev, _ := p.build(emptySnapshot(), first.tenants, noon)
	doc, ok := text.changes(after)
	if !ok {
		return false
	}
	all, err := parseDocument(after, fileKeys)
	if err != nil {
		t.Fatalf("from %q to %q: changes in a text with the error %v", before, after, err)
	}
	next, _, ok := p.apply(prev, doc.changes(), noon)
	want, _ := newParser(nil).build(emptySnapshot(), all.tenants, noon)
	if ok && dump(next) != dump(want) {
		t.Fatalf("from %q to %q: got\n%s\nwant\n%s", before, after, dump(next), dump(want))
	}
	if !ok && prev.ProblemCount() == 0 && want.ProblemCount() == 0 && len(doc.removed) == 0 && len(all.tenants) == len(first.tenants) {
		t.Fatalf("from %q to %q: %+v was refused", before, after, doc)
	}
	return ok
}

func FuzzQuickJSON(f *testing.F) {
	addMistakes(f, ".json")
	for _, text := range oddTexts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkQuick(t, data) })
}

func FuzzQuickJSONChanges(f *testing.F) {
	for i, text := range oddTexts {
		f.Add([]byte(text), []byte(oddTexts[(i+1)%len(oddTexts)]))
		f.Add([]byte(`{"tenants": [{"slug": "a"}, {"slug": "b"}]}`), []byte(text))
	}
	f.Fuzz(func(t *testing.T, before, after []byte) { checkQuickChanges(t, before, after) })
}

// The plain form must not be left to the judge: it would still be read, but slowly.
func TestThePlainFormIsReadQuickly(t *testing.T) {
	for _, indent := range []string{"", "\t"} {
		records := population(50)
		records[3].Name = `"quoted" <&> äß`
		data := encode(t, "a.json", records)
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, data, "", indent); err != nil {
			t.Fatal(err)
		}
		if !checkQuick(t, pretty.Bytes()) {
			t.Errorf("indented by %q, it was not", indent)
		}
	}
	text := jsonText{keys: fileKeys}
	if _, err := text.all([]byte(`{"tenants": [{"slug": "a", "name": {"odd": [1.5]}}]}`)); err != nil || text.seen == nil {
		t.Errorf("one odd record spoils all: %v", err)
	}
}

// textWriter makes texts by editing the one before, as people and programs do.
type textWriter struct {
	rng     *rand.Rand
	records []string
}

func (w *textWriter) record() string {
	r := map[string]any{"slug": fmt.Sprint("t", w.rng.IntN(40))}
	if w.rng.IntN(2) == 0 {
		r["id"] = fmt.Sprint("id", w.rng.IntN(60))
	}
	if w.rng.IntN(2) == 0 {
		r["name"] = []string{"plain", `"<ä>`, "", "two\nlines"}[w.rng.IntN(4)]
	}
	if w.rng.IntN(3) == 0 {
		r["hosts"] = []string{fmt.Sprintf("h%d.example", w.rng.IntN(50)), fmt.Sprintf("h%d.example", w.rng.IntN(50))}[:w.rng.IntN(3)]
	}
	if w.rng.IntN(40) == 0 {
		r["status"] = "odd"
	}
	data, _ := json.Marshal(r)
	return string(data)
}

func (w *textWriter) edit() {
	at := func() int { return w.rng.IntN(len(w.records)) }
	switch kind := w.rng.IntN(8); {
	case len(w.records) == 0 || kind == 0:
		w.records = slices.Insert(w.records, w.rng.IntN(len(w.records)+1), w.record())
	case kind == 1:
		k := at()
		w.records = slices.Delete(w.records, k, k+1)
	case kind == 2:
		i, j := at(), at()
		w.records[i], w.records[j] = w.records[j], w.records[i]
	case kind == 3:
		i := at()
		w.records[i] = strings.Replace(w.records[i], ":", ": ", 1) // says the same
	case kind == 4 && w.rng.IntN(5) == 0:
		w.records = append(w.records, w.records[at()]) // twice
	default:
		w.records[at()] = w.record()
	}
}

func (w *textWriter) text() []byte {
	comma := []string{",", ", ", ",\n  "}[w.rng.IntN(3)]
	data := []byte("{\"tenants\": [\n" + strings.Join(w.records, comma) + "\n]}\n")
	if w.rng.IntN(10) == 0 { // half written, or spoiled
		if k := w.rng.IntN(len(data)); w.rng.IntN(2) == 0 {
			data = data[:k]
		} else {
			data[k] = `"{}[],:\ 0a`[w.rng.IntN(11)]
		}
	}
	return data
}

// Whatever is done to a text, following it leads where reading all of it leads.
func TestFollowingATextLeadsWhereReadingItLeads(t *testing.T) {
	applied, quick := 0, 0
	for seed := range uint64(30) {
		w := &textWriter{rng: rand.New(rand.NewPCG(seed, 7))}
		for range 15 {
			w.edit()
		}
		before := w.text()
		for range 60 {
			for range w.rng.IntN(4) {
				w.edit()
			}
			after := w.text()
			if checkQuick(t, after) {
				quick++
			}
			if checkQuickChanges(t, before, after) {
				applied++
			}
			before = after
		}
	}
	if applied < 300 || quick < 1000 {
		t.Errorf("of 1800 texts %d were read quickly and %d followed", quick, applied)
	}
}
