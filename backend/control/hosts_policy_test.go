package control

import (
	"testing"
	"time"
)

func TestWhatFollowsFromALookAtDNS(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	pending := HostClaim{State: HostPending, CreatedAt: start}
	verified := HostClaim{State: HostVerified, CreatedAt: start, VerifiedAt: start}
	failing := verified
	failing.FailingSince = start
	for name, test := range map[string]struct {
		claim   HostClaim
		found   proof
		after   time.Duration
		want    hostAction
		state   string
		failing bool
		next    time.Duration
	}{
		"a new claim is looked at soon again":           {pending, proofMissing, 0, hostKeep, HostPending, false, 5 * time.Second},
		"an older one less often":                       {pending, proofMissing, 8 * time.Minute, hostKeep, HostPending, false, time.Minute},
		"but once an hour":                              {pending, proofWrong, 48 * time.Hour, hostKeep, HostPending, false, time.Hour},
		"a claim that is proven":                        {pending, proofThere, time.Hour, hostVerify, HostVerified, false, 6 * time.Hour},
		"also on the last day":                          {pending, proofThere, 8 * 24 * time.Hour, hostVerify, HostVerified, false, 6 * time.Hour},
		"a claim that nobody proves":                    {pending, proofMissing, 7 * 24 * time.Hour, hostExpire, HostPending, false, 0},
		"or that cannot be asked about":                 {pending, proofUnknown, 7 * 24 * time.Hour, hostExpire, HostPending, false, 0},
		"a proof that stays":                            {verified, proofThere, time.Hour, hostKeep, HostVerified, false, 6 * time.Hour},
		"a proof that has gone is waited for":           {verified, proofMissing, time.Hour, hostKeep, HostVerified, true, time.Hour},
		"a proof that has changed too":                  {verified, proofWrong, time.Hour, hostKeep, HostVerified, true, time.Hour},
		"for three days":                                {failing, proofMissing, 71 * time.Hour, hostKeep, HostVerified, true, time.Hour},
		"and no longer":                                 {failing, proofMissing, 72 * time.Hour, hostLose, HostVerified, true, 0},
		"a proof that comes back":                       {failing, proofThere, 71 * time.Hour, hostKeep, HostVerified, false, 6 * time.Hour},
		"a resolver that is down takes nothing away":    {verified, proofUnknown, time.Hour, hostKeep, HostVerified, false, time.Hour},
		"not even when the proof had been missing":      {failing, proofUnknown, 1000 * time.Hour, hostKeep, HostVerified, true, time.Hour},
		"a proof that comes back after the time is due": {failing, proofThere, 100 * time.Hour, hostKeep, HostVerified, false, 6 * time.Hour},
	} {
		now := start.Add(test.after)
		got, act := decide(test.claim, test.found, now)
		if act != test.want || got.State != test.state || got.FailingSince.IsZero() == test.failing {
			t.Errorf("%s: %q, state %s, failing since %v", name, act, got.State, got.FailingSince)
		}
		if test.next != 0 && got.next.Sub(now) != test.next {
			t.Errorf("%s: looked at after %v; want %v", name, got.next.Sub(now), test.next)
		}
	}
}
