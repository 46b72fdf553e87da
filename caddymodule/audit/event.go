package audit

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// Types of events. Any other short word may be used as a type; these are the
// ones that the gateway and this package write.
const (
	TypeCrossTenant = "cross_tenant_access_attempt" // a valid credential of one tenant used on another
	TypeConflict    = "tenant_conflict"             // parts of one request name different tenants
	TypeSuspended   = "suspended_tenant_access"     // a valid credential of a suspended tenant
	TypeDropped     = "audit_dropped"               // Count events are missing from the log at this place
	TypeRepaired    = "audit_repaired"              // the end of the file was torn by a crash and cut
)

// Event is what happened in one request. All values may come from an attacker:
// the recorder cuts them and sinks escape them. For its JSON form see
// [Record.AppendJSON].
type Event struct {
	// Time is when it happened; zero means now by the recorder's clock.
	Time time.Time `json:"-"`
	// Type is one of the Type constants, or a word of the program; never a client's.
	Type string `json:"type"`
	// Reason is a short word or sentence: why it was refused.
	Reason string `json:"reason,omitempty"`
	// Tenant is the tenant the request asked for.
	Tenant string `json:"tenant,omitempty"`
	// UserTenant is the tenant the caller's credential belongs to.
	UserTenant string `json:"user_tenant,omitempty"`
	// User is the caller, such as a token's subject; never a credential.
	User string `json:"user,omitempty"`
	// Claimed lists the tenants that the parts of the request named.
	Claimed []string `json:"claimed,omitempty"`
	// Method, Host and Path are the request's, as received.
	Method string `json:"method,omitempty"`
	Host   string `json:"host,omitempty"`
	Path   string `json:"path,omitempty"`
	// ClientIP is the client's address; events are aggregated by it.
	ClientIP string `json:"client_ip,omitempty"`
	// RequestID leads to the access log.
	RequestID string `json:"request_id,omitempty"`
	// Count is how many events this one stands for; 0 means 1.
	Count int64 `json:"count"`
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
	var claimed []string
	for _, c := range e.Claimed[:min(len(e.Claimed), maxClaimed)] {
		claimed = append(claimed, cut(c, limit))
	}
	if more := len(e.Claimed) - maxClaimed; more > 0 {
		claimed = append(claimed, "...("+strconv.Itoa(more)+" more)")
	}
	e.Claimed = claimed
	e.Count = max(e.Count, 1)
	return e
}

// cut shortens s to limit bytes at a character's boundary and says how long it
// was.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	n := limit
	for n > 0 && limit-n < utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "...(" + strconv.Itoa(len(s)) + " bytes)"
}
