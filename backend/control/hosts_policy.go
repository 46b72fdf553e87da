package control

import "time"

// How patient a [HostChecker] is.
const (
	hostWait    = 7 * 24 * time.Hour // a pending claim waits for its proof
	hostRecheck = 6 * time.Hour      // between two checks of a verified host
	// A verified host is served on for so long after its proof went missing. A
	// resolver that does not answer takes nothing away.
	hostGrace = 3 * 24 * time.Hour
)

// proof is what DNS says about a claim.
type proof int

const (
	proofUnknown proof = iota // it could not be asked
	proofThere
	proofWrong // there are records, with other values
	proofMissing
)

// hostAction is what follows from a check; those that end a claim are words of
// the audit log.
type hostAction string

const (
	hostKeep   hostAction = ""
	hostVerify hostAction = "host.verify"
	hostExpire hostAction = "host.expire" // never proven
	hostLose   hostAction = "host.lose"   // proven once, and not any more
)

// Between two checks of a pending claim: an eighth of its age, within these
// bounds, so that it is quick while somebody is waiting.
const (
	soonest = 5 * time.Second
	latest  = time.Hour
)

// decide returns the claim after a check and what must be done with it.
func decide(h HostClaim, found proof, now time.Time) (HostClaim, hostAction) {
	h.Problem = found.problem(h.Token)
	if h.State == HostPending {
		switch {
		case found == proofThere:
			h.State, h.VerifiedAt, h.next = HostVerified, now, now.Add(hostRecheck)
			return h, hostVerify
		case now.Sub(h.CreatedAt) >= hostWait:
			return h, hostExpire
		}
		h.next = now.Add(min(max(now.Sub(h.CreatedAt)/8, soonest), latest))
		return h, hostKeep
	}
	switch {
	case found == proofThere:
		h.FailingSince, h.next = time.Time{}, now.Add(hostRecheck)
		return h, hostKeep
	case found == proofUnknown:
		h.next = now.Add(min(hostRecheck, latest))
		return h, hostKeep
	case h.FailingSince.IsZero():
		h.FailingSince = now
	case now.Sub(h.FailingSince) >= hostGrace:
		return h, hostLose
	}
	h.next = now.Add(min(hostRecheck, latest))
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
