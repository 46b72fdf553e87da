package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
)

// timeFormat is RFC 3339 with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// AppendJSON appends the record as one JSON object without line feed: members
// in a fixed order, empty ones left out, without the ID. It is in printable ASCII
// only; everything else is escaped, so that no value can end the line, move a
// terminal's cursor or turn the direction of text.
func (r *Record) AppendJSON(dst []byte) []byte {
	members := struct {
		Time string `json:"time"`
		Event
		Last string `json:"last,omitempty"`
	}{r.Time.UTC().Format(timeFormat), r.Event, ""}
	members.Count = max(r.Count, 1)
	if !r.Last.IsZero() {
		members.Last = r.Last.UTC().Format(timeFormat)
	}
	return appendASCII(dst, members)
}

// appendMembers appends the record's members without the braces.
func (r *Record) appendMembers(dst []byte) []byte {
	object := r.AppendJSON(nil)
	return append(dst, object[1:len(object)-1]...)
}

// appendASCII appends v, of strings and numbers, as JSON in printable ASCII. Bytes
// that are not UTF-8 become U+FFFD.
func appendASCII(dst []byte, v any) []byte {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)                         // a path keeps its "&"
	_ = enc.Encode(v)                                // strings and numbers always encode
	for _, c := range text.String()[:text.Len()-1] { // without the line feed
		if c < 0x7f { // the encoder has escaped what comes before the space
			dst = append(dst, byte(c))
			continue
		}
		for _, unit := range utf16.AppendRune(nil, c) {
			dst = fmt.Appendf(dst, `\u%04x`, unit)
		}
	}
	return dst
}
