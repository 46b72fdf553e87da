package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/strictjson"
)

// Limits on a JSON body.
const (
	maxBody  = 1 << 20 // bytes
	maxDepth = 8       // levels of nesting; nothing that is asked for needs more than 4
)

// Field sets one field of a request from its JSON; null is "null".
type Field func(json.RawMessage) error

// ReadObject reads a request's body as one JSON object and hands each member
// to its field, in the order of the object. What two readers of one body could
// read as two different things is an error that names the field, as are
// unknown fields.
func ReadObject(w http.ResponseWriter, r *http.Request, fields map[string]Field) error {
	body, err := ReadBody(w, r)
	if err != nil {
		return err
	}
	return DecodeObject(body, fields)
}

// ReadBody reads a request's JSON as it was sent.
func ReadBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	if err != nil || media != "application/json" && (media != "application/merge-patch+json" || r.Method != http.MethodPatch) ||
		charset != "" && charset != "utf-8" {
		return nil, NewProblem(http.StatusUnsupportedMediaType, "expected a body of type application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		return nil, NewProblem(http.StatusBadRequest, "the body could not be read")
	}
	return body, err
}

// DecodeObject is ReadObject for a body that was read.
func DecodeObject(body []byte, fields map[string]Field) error {
	members, err := strictjson.Members(body, maxDepth)
	var twice *strictjson.TwiceError
	switch {
	case errors.As(err, &twice):
		return BadField(Clip(twice.Name), "the field is there twice")
	case err != nil:
		return BadField("body", err.Error())
	}
	for _, m := range members {
		set, known := fields[m.Name]
		if !known {
			return BadField(Clip(m.Name), "unknown field; expected "+strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		}
		if err := set(m.Value); err != nil {
			var p *Problem
			if errors.As(err, &p) {
				return p
			}
			return BadField(m.Name, err.Error())
		}
	}
	return nil
}

// Clip keeps hostile input from filling an answer or a log line.
func Clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
