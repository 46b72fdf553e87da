package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// link is a record's place in the chain.
type link struct {
	seq  int64
	hash [sha256.Size]byte
}

// tailLen is what follows the hashed bytes: ,"hash":"<64 hex>"}
const tailLen = len(`,"hash":""}`) + 2*sha256.Size

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
	dst = fmt.Appendf(dst, `{"seq":%d,`, next.seq)
	dst = r.appendMembers(dst)
	dst = fmt.Appendf(dst, `,"prev":"%x"`, l.hash)
	next.hash = sha256.Sum256(dst[start:])
	return fmt.Appendf(dst, `,"hash":"%x"}`+"\n", next.hash), next
}

var (
	errNotRecord = errors.New("not an audit record")
	errChanged   = errors.New("the record was changed: its hash does not match its bytes")
)

// parseLine reads a line without its line feed. The error is errNotRecord, or
// errChanged with the link and prev as they are stated.
func parseLine(line []byte) (l link, prev [sha256.Size]byte, err error) {
	var stated struct {
		Seq        int64
		Prev, Hash string
	}
	if err := json.Unmarshal(line, &stated); err != nil || stated.Seq < 1 || stated.Seq > maxSeq ||
		!unhex(stated.Hash, &l.hash) || !unhex(stated.Prev, &prev) {
		return link{}, prev, errNotRecord
	}
	// Readers of the rule cut by position, so the members stand where it says.
	if !bytes.HasPrefix(line, fmt.Appendf(nil, `{"seq":%d,`, stated.Seq)) ||
		!bytes.HasSuffix(line, fmt.Appendf(nil, `,"prev":"%x","hash":"%x"}`, prev, l.hash)) {
		return link{}, prev, errNotRecord
	}
	if l.seq = stated.Seq; sha256.Sum256(line[:len(line)-tailLen]) != l.hash {
		return l, prev, errChanged
	}
	return l, prev, nil
}

// unhex reads 64 hexadecimal digits.
func unhex(s string, hash *[sha256.Size]byte) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	_, err := hex.Decode(hash[:], []byte(s))
	return err == nil
}
