package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

var jsonNull = []byte("null")

// text sets a string; null is refused.
func text(to *string) field {
	return func(raw json.RawMessage) error {
		var s *string
		if err := json.Unmarshal(raw, &s); err != nil || s == nil {
			return errors.New("expected a string")
		}
		*to = *s
		return nil
	}
}

// optionalText sets a string; null empties it.
func optionalText(to *string) field {
	return func(raw json.RawMessage) error {
		if bytes.Equal(raw, jsonNull) {
			*to = ""
			return nil
		}
		return text(to)(raw)
	}
}

// boolean sets true or false.
func boolean(to *bool) field {
	return func(raw json.RawMessage) error {
		switch string(raw) {
		case "true", "false":
			*to = string(raw) == "true"
			return nil
		}
		return errors.New("expected true or false")
	}
}

// integer sets a number without fraction or exponent.
func integer(to *int64) field {
	return func(raw json.RawMessage) error {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return errors.New("expected a whole number")
		}
		*to = n
		return nil
	}
}

// texts sets a list of strings; null empties it. name is the list's, for the
// names of its members.
func texts(name string, to *[]string) field {
	return func(raw json.RawMessage) error {
		if bytes.Equal(raw, jsonNull) {
			*to = nil
			return nil
		}
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return errors.New("expected a list of strings")
		}
		out := make([]string, len(list))
		for i, item := range list {
			if err := text(&out[i])(item); err != nil {
				return badField(fmt.Sprintf("%s[%d]", name, i), err.Error())
			}
		}
		*to = out
		return nil
	}
}

// given notes that a field was there.
func given(seen *bool, f field) field {
	return func(raw json.RawMessage) error {
		*seen = true
		return f(raw)
	}
}
