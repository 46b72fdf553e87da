package registry

import "crypto/sha256"

// sum stands for the text or the row that a record was read from. Two different
// ones have the same sum as little as two files have the same SHA-256 cut in half,
// also if a tenant chooses what is in them.
type sum [16]byte

func sumOf(data []byte) sum {
	whole := sha256.Sum256(data)
	return sum(whole[:])
}

// seenRecord is what is kept of a record, so that the next look need not read it
// again.
type seenRecord struct {
	sum  sum
	slug string // as the source has it
}

// comparison tells the records of one look that the look before had as well. It
// is asked about each in the order of the source.
type comparison struct {
	old []seenRecord
	now []seenRecord

	at   int    // where in old the next one is expected
	used []bool // those of old that were found again
	left int    // how many were not
	// moved says that some are at another place, which may decide who keeps a name.
	moved bool
	// places finds those of old that are not where they are expected, nil as long as
	// all are.
	places map[sum]int
}

func compareWith(old []seenRecord) *comparison {
	return &comparison{old: old, now: make([]seenRecord, 0, len(old)+1), used: make([]bool, len(old)), left: len(old)}
}

// known reports whether the look before had the record. Of one that comes twice
// where it came once, the second is not known.
func (c *comparison) known(s sum) bool {
	at := c.at
	if at >= len(c.old) || c.old[at].sum != s {
		if c.places == nil {
			c.places = make(map[sum]int, c.left)
			for i := len(c.old) - 1; i >= 0; i-- {
				if !c.used[i] {
					c.places[c.old[i].sum] = i
				}
			}
		}
		var ok bool
		if at, ok = c.places[s]; !ok {
			return false
		}
	}
	if c.used[at] {
		return false
	}
	c.moved = c.moved || at != c.at
	c.used[at] = true
	c.left--
	c.at = at + 1
	c.now = append(c.now, c.old[at])
	return true
}

// add notes a record that is not known.
func (c *comparison) add(s sum, slug string) { c.now = append(c.now, seenRecord{s, slug}) }

// nothing reports whether the look met what the one before met.
func (c *comparison) nothing() bool { return c.left == 0 && !c.moved && len(c.now) == len(c.old) }

// removed returns the slugs that only records of the look before have, given the
// records that are new or different.
func (c *comparison) removed(changed []Record) []string {
	if c.left == 0 {
		return nil
	}
	still := make(map[string]struct{}, len(changed))
	for i := range changed {
		still[changed[i].Slug] = struct{}{}
	}
	var slugs []string
	for i, used := range c.used {
		if _, ok := still[c.old[i].slug]; !used && !ok {
			slugs = append(slugs, c.old[i].slug)
		}
	}
	return slugs
}
