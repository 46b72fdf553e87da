package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const null = "null"

// Text sets a string; null is refused.
func Text(to *string) Field {
	return func(raw json.RawMessage) error {
		var s *string
		if err := json.Unmarshal(raw, &s); err != nil || s == nil {
			return errors.New("expected a string")
		}
		*to = *s
		return nil
	}
}

// OptionalText sets a string; null empties it.
func OptionalText(to *string) Field {
	return func(raw json.RawMessage) error {
		if string(raw) == null {
			*to = ""
			return nil
		}
		return Text(to)(raw)
	}
}

// Bool sets true or false.
func Bool(to *bool) Field {
	return func(raw json.RawMessage) error {
		if s := string(raw); s != "true" && s != "false" {
			return errors.New("expected true or false")
		}
		*to = string(raw) == "true"
		return nil
	}
}

// Time sets a time; null leaves it zero.
func Time(to *time.Time) Field {
	return func(raw json.RawMessage) error {
		var s string
		err := OptionalText(&s)(raw)
		if err == nil && s != "" {
			*to, err = time.Parse(time.RFC3339, s)
		}
		if err != nil {
			return errors.New("expected a time as in 2030-01-31T12:00:00Z, or null")
		}
		return nil
	}
}

// Texts sets a list of strings; null empties it. name is the list's, for the
// names of its members.
func Texts(name string, to *[]string) Field {
	return func(raw json.RawMessage) error {
		var list []json.RawMessage // nil for null
		if err := json.Unmarshal(raw, &list); err != nil {
			return errors.New("expected a list of strings")
		}
		*to = make([]string, len(list))
		for i, item := range list {
			if err := Text(&(*to)[i])(item); err != nil {
				return BadField(fmt.Sprintf("%s[%d]", name, i), err.Error())
			}
		}
		return nil
	}
}

// Given points to a value only if its field is there.
func Given[T any](to **T, field func(*T) Field) Field {
	return func(raw json.RawMessage) error {
		var value T
		*to = &value
		return field(&value)(raw)
	}
}
