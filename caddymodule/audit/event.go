package audit

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Types of events. Any other short word may be used as a type; these are the
// ones that the gateway and this package write.
const (
	TypeCrossTenant   = "cross_tenant_access_attempt" // a valid credential of one tenant used on another
	TypeConflict      = "tenant_conflict"             // parts of one request name different tenants
	TypeTokenRejected = "token_rejected"              // a credential that failed verification
	TypeAdminAction   = "admin_action"                // an operator changed something
	TypeDropped       = "audit_dropped"               // Count events are missing from the trail at this place
	TypeRepaired      = "audit_repaired"              // the end of the file was torn by a crash and cut
)

// Event is what happened in one request. All values may come from an attacker:
// the recorder cuts them and sinks escape them.
type Event struct {
	// Time is when it happened; zero means now by the recorder's clock.
	Time time.Time
	// Type is one of the Type constants, or a word of the caller's.
	Type string
	// Reason is a short word or sentence: why it was refused.
	Reason string
	// Tenant is the tenant the request asked for.
	Tenant string
	// UserTenant is the tenant the caller's credential belongs to.
	UserTenant string
	// User is the caller, such as a token's subject; never a credential.
	User string
	// Claimed lists the tenants that the parts of the request named.
	Claimed []string
	// Method, Host and Path are the request's, as received.
	Method, Host, Path string
	// ClientIP is the client's address; events are aggregated by it.
	ClientIP string
	// RequestID leads to the access log.
	RequestID string
	// Count is how many events this one stands for; 0 means 1.
	Count int64
}

// Record is an event as sinks receive it: time set, values cut, Count at
// least 1.
type Record struct {
	// ID is the record's own, made once by the recorder and the same however
	// often and to whichever sink the record is given. Empty in a record that
	// no recorder made.
	ID string
	Event
	// Last is the time of the last event of an aggregated record, else zero.
	Last time.Time
}

// maxClaimed bounds the list in one record: a request has few places that can
// name a tenant, a token may list any number.
const maxClaimed = 8

// bounded returns e with every value cut to limit bytes. What it keeps of a
// longer value is a copy, so that a record does not hold a request's memory.
func bounded(e Event, limit int) Event {
	for _, p := range []*string{
		&e.Type, &e.Reason, &e.Tenant, &e.UserTenant, &e.User,
		&e.Method, &e.Host, &e.Path, &e.ClientIP, &e.RequestID,
	} {
		*p = cut(*p, limit)
	}
	if len(e.Claimed) > 0 {
		claimed := make([]string, 0, min(len(e.Claimed), maxClaimed+1))
		for i, c := range e.Claimed {
			if i == maxClaimed {
				claimed = append(claimed, "...("+strconv.Itoa(len(e.Claimed)-i)+" more)")
				break
			}
			claimed = append(claimed, cut(c, limit))
		}
		e.Claimed = claimed
	} else {
		e.Claimed = nil
	}
	e.Count = max(e.Count, 1)
	return e
}

// cut shortens s to limit bytes at a character's boundary and says how long it
// was.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return clip(s, limit) + "...(" + strconv.Itoa(len(s)) + " bytes)"
}

// clip returns the first characters of s, at most limit bytes.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	n := limit
	for n > 0 && limit-n < utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.Clone(s[:n])
}

// AppendJSON appends the record as one JSON object without line feed: members
// in a fixed order, empty ones left out, ASCII only. Everything outside
// printable ASCII is escaped, so that no value can end the line, move a
// terminal's cursor or turn the direction of text.
func (r *Record) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	dst = r.appendMembers(dst)
	return append(dst, '}')
}

func (r *Record) appendMembers(dst []byte) []byte {
	dst = append(dst, `"time":"`...)
	dst = appendTime(dst, r.Time)
	dst = append(dst, `","type":`...)
	dst = appendString(dst, r.Type)
	for _, m := range [...]struct{ name, value string }{
		{`,"reason":`, r.Reason},
		{`,"tenant":`, r.Tenant},
		{`,"user_tenant":`, r.UserTenant},
		{`,"user":`, r.User},
	} {
		dst = appendMember(dst, m.name, m.value)
	}
	if len(r.Claimed) > 0 {
		dst = append(dst, `,"claimed":[`...)
		for i, c := range r.Claimed {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, c)
		}
		dst = append(dst, ']')
	}
	for _, m := range [...]struct{ name, value string }{
		{`,"method":`, r.Method},
		{`,"host":`, r.Host},
		{`,"path":`, r.Path},
		{`,"client_ip":`, r.ClientIP},
		{`,"request_id":`, r.RequestID},
	} {
		dst = appendMember(dst, m.name, m.value)
	}
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, max(r.Count, 1), 10)
	if !r.Last.IsZero() {
		dst = append(dst, `,"last":"`...)
		dst = appendTime(dst, r.Last)
		dst = append(dst, '"')
	}
	return dst
}

func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(append(dst, name...), value)
}

// appendTime writes RFC 3339 in UTC with milliseconds, always 24 bytes.
func appendTime(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
}

// appendString writes s as a JSON string in ASCII (RFC 8259, section 7). Bytes
// that are not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	unit := func(dst []byte, u rune) []byte {
		return append(dst, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
	}
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', byte(c))
		case c >= 0x20 && c < 0x7f:
			dst = append(dst, byte(c))
		case c > 0xffff:
			c -= 0x10000
			dst = unit(unit(dst, 0xd800+c>>10), 0xdc00+c&0x3ff)
		default:
			dst = unit(dst, c)
		}
	}
	return append(dst, '"')
}
