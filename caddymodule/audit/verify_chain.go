package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// verifier follows a chain line by line. After a problem it goes on from what
// the line states, so that what follows a deed rightly is no finding.
type verifier struct {
	report VerifyReport
	at     Problem // file and line being read
	prev   link    // the line before
}

func (v *verifier) problem(format string, args ...any) {
	if len(v.report.Problems) >= maxProblems {
		v.report.More++
		return
	}
	p := v.at
	p.What = fmt.Sprintf(format, args...)
	v.report.Problems = append(v.report.Problems, p)
}

func (v *verifier) line(line []byte) {
	l, prev, err := parseLine(line)
	if errors.Is(err, errNotRecord) {
		v.problem("%v", err)
		return
	}
	if err != nil {
		v.problem("record %d: %v", l.seq, err)
	} else {
		v.report.Records++
	}
	v.place(l, prev)
}

// place compares a record with the one before it and moves on to it. A record
// that was moved is two findings: it is missing in one place and found in another.
func (v *verifier) place(l link, prev [sha256.Size]byte) {
	r := &v.report
	switch {
	case r.LastSeq == 0: // older ones were rotated away
		r.FirstSeq = l.seq
		if l.seq == 1 && prev != [sha256.Size]byte{} {
			v.problem("record 1: its prev is not zero")
		}
	case l.seq == v.prev.seq+1:
		if prev != v.prev.hash {
			v.problem("record %d: its prev is not the hash of record %d before it", l.seq, v.prev.seq)
		}
	case l.seq <= r.LastSeq:
		v.problem("record %d: moved or repeated, found behind record %d", l.seq, v.prev.seq)
	case l.seq == r.LastSeq+2:
		v.problem("removed: record %d is missing before this line", l.seq-1)
	case l.seq > r.LastSeq+2:
		v.problem("removed: records %d to %d are missing before this line", r.LastSeq+1, l.seq-1)
	}
	v.prev = l
	r.FirstSeq = min(r.FirstSeq, l.seq)
	if l.seq > r.LastSeq {
		r.LastSeq = l.seq
		r.Head = hex.EncodeToString(l.hash[:])
	}
}
