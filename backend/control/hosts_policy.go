package control

import (
	"cmp"
	"time"
)

// HostPolicy says how patient a [HostChecker] is. Zero fields mean what their
// comments say.
type HostPolicy struct {
	// Wait is how long a pending claim waits for its proof; 7 days.
	Wait time.Duration
	// Recheck is the time between two looks at a verified host; 6 hours.
	Recheck time.Duration
	// Grace is how long a verified host is served on after its proof went
	// missing; 3 days. A resolver that does not answer takes nothing away.
	Grace time.Duration
}

func (p HostPolicy) withDefaults() HostPolicy {
	return HostPolicy{
		Wait: cmp.Or(p.Wait, 7*24*time.Hour), Recheck: cmp.Or(p.Recheck, 6*time.Hour), Grace: cmp.Or(p.Grace, 3*24*time.Hour),
	}
}

// proof is what DNS says about a claim.
type proof int

const (
	proofUnknown proof = iota // it could not be asked
	proofThere
	proofWrong // there are records, with other values
	proofMissing
)

// hostAction is what follows from a check; those that end a claim are words of
// the audit trail.
type hostAction string

const (
	hostKeep   hostAction = ""
	hostVerify hostAction = "host.verify"
	hostExpire hostAction = "host.expire" // never proven
	hostLose   hostAction = "host.lose"   // proven once, and not any more
)

// Between two looks at a pending claim: an eighth of its age, within these
// bounds, so that it is quick while somebody is waiting.
const (
	soonest = 5 * time.Second
	latest  = time.Hour
)

// decide returns the claim after a check and what must be done with it.
func (p HostPolicy) decide(h HostClaim, found proof, now time.Time) (HostClaim, hostAction) {
	p = p.withDefaults()
	h.Problem = found.problem(h.Token)
	if h.State == HostPending {
		switch {
		case found == proofThere:
			h.State, h.VerifiedAt, h.next = HostVerified, now, now.Add(p.Recheck)
			return h, hostVerify
		case now.Sub(h.CreatedAt) >= p.Wait:
			return h, hostExpire
		}
		h.next = now.Add(min(max(now.Sub(h.CreatedAt)/8, soonest), latest))
		return h, hostKeep
	}
	switch {
	case found == proofThere:
		h.FailingSince, h.next = time.Time{}, now.Add(p.Recheck)
		return h, hostKeep
	case found == proofUnknown:
		h.next = now.Add(min(p.Recheck, latest))
		return h, hostKeep
	case h.FailingSince.IsZero():
		h.FailingSince = now
	case now.Sub(h.FailingSince) >= p.Grace:
		return h, hostLose
	}
	h.next = now.Add(min(p.Recheck, latest))
	return h, hostKeep
}

func (f proof) problem(token string) string {
	switch f {
	case proofThere:
		return ""
	case proofWrong:
		return "the TXT record is there, but none of its values is " + token
	case proofMissing:
		return "the TXT record is missing"
	}
	return "DNS gave no answer; it will be asked again"
}
