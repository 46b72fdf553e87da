package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
)

// link is a record's place in the chain.
type link struct {
	seq  int64
	hash [sha256.Size]byte
}

const (
	seqStart  = `{"seq":`
	prevStart = `,"prev":"`
	hashStart = `,"hash":"`
	hexLen    = 2 * sha256.Size
	// tailLen is what follows the hashed bytes: ,"hash":"<64 hex>"}
	tailLen = len(hashStart) + hexLen + len(`"}`)
	// prevLen is what ends the hashed bytes: ,"prev":"<64 hex>"
	prevLen = len(prevStart) + hexLen + len(`"`)
)

// maxLine bounds a line. Records of the recorder stay far below it; a sink that
// is fed by others refuses a longer one.
const maxLine = 1 << 20

// maxSeq is the largest number that every JSON reader keeps exact (RFC 8259,
// section 6); at a million records a second it lasts 285 years.
const maxSeq = 1<<53 - 1

// appendLine appends the record as the chain's next line, with its line feed,
// and returns its link.
func (l link) appendLine(dst []byte, r *Record) ([]byte, link) {
	next := link{seq: l.seq + 1}
	start := len(dst)
	dst = append(dst, seqStart...)
	dst = strconv.AppendInt(dst, next.seq, 10)
	dst = append(dst, ',')
	dst = r.appendMembers(dst)
	dst = append(dst, prevStart...)
	dst = hex.AppendEncode(dst, l.hash[:])
	dst = append(dst, '"')
	next.hash = sha256.Sum256(dst[start:])
	dst = append(dst, hashStart...)
	dst = hex.AppendEncode(dst, next.hash[:])
	return append(dst, "\"}\n"...), next
}

var (
	errNotRecord = errors.New("not an audit record")
	errChanged   = errors.New("the record was changed: its hash does not match its bytes")
)

// parseLine reads a line without its line feed. The error is errNotRecord, or
// errChanged with the link and prev as they are stated.
func parseLine(line []byte) (l link, prev [sha256.Size]byte, err error) {
	fail := func() (link, [sha256.Size]byte, error) { return link{}, prev, errNotRecord }
	if len(line) < len(seqStart)+2+prevLen+tailLen || !bytes.HasPrefix(line, []byte(seqStart)) {
		return fail()
	}
	digits, _, ok := bytes.Cut(line[len(seqStart):], []byte(","))
	if !ok || len(digits) == 0 || digits[0] < '1' || digits[0] > '9' {
		return fail()
	}
	if l.seq, err = strconv.ParseInt(string(digits), 10, 64); err != nil || l.seq > maxSeq {
		return fail()
	}
	body, tail := line[:len(line)-tailLen], line[len(line)-tailLen:]
	if !quotedHash(tail, hashStart, `"}`, &l.hash) || !quotedHash(body[len(body)-prevLen:], prevStart, `"`, &prev) {
		return fail()
	}
	if sha256.Sum256(body) != l.hash {
		return l, prev, errChanged
	}
	// A line with a right hash was written by whoever computed it; readers of
	// the trail still count on JSON.
	if !json.Valid(line) {
		return fail()
	}
	return l, prev, nil
}

// quotedHash reads b as start, 64 lower-case hexadecimal digits, end.
func quotedHash(b []byte, start, end string, hash *[sha256.Size]byte) bool {
	if !bytes.HasPrefix(b, []byte(start)) || !bytes.HasSuffix(b, []byte(end)) {
		return false
	}
	digits := b[len(start) : len(b)-len(end)]
	for _, c := range digits {
		if 'A' <= c && c <= 'F' {
			return false
		}
	}
	n, err := hex.Decode(hash[:], digits)
	return err == nil && n == sha256.Size
}
