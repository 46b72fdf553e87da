package registry

import (
	"hash/maphash"
	"math/bits"
)

// contested reports whether two of the records may claim one slug, one id or one
// host. Hardly ever do they: that is found out with the names' hashes, for a tenth
// of what a map of the names takes, and two names of one hash among millions only
// make the caller look closer for once.
func contested(entries []entry) bool {
	seen := newHashes(2*len(entries) + countHosts(entries))
	slugs, ids, hosts := maphash.MakeSeed(), maphash.MakeSeed(), maphash.MakeSeed()
	for i := range entries {
		t := entries[i].t
		if seen.add(maphash.String(slugs, t.Slug.String())) || seen.add(maphash.String(ids, t.ID)) {
			return true
		}
		for _, host := range t.Hosts {
			if seen.add(maphash.String(hosts, host)) {
				return true
			}
		}
	}
	return false
}

// hashes is a set of up to a certain number of hashes.
type hashes []uint64

func newHashes(n int) hashes { return make(hashes, n*3/2+1) }

// add reports whether the hash was there.
func (h hashes) add(hash uint64) bool {
	hash |= 1 // 0 is an empty place
	place, _ := bits.Mul64(hash, uint64(len(h)))
	for h[place] != 0 {
		if h[place] == hash {
			return true
		}
		if place++; place == uint64(len(h)) {
			place = 0
		}
	}
	h[place] = hash
	return false
}
