package auth

import (
	"crypto/sha256"
	"sync"
)

type tokenHash = [sha256.Size]byte

// verified is a token whose signature and claims were found good.
type verified struct {
	principal Principal
	key       *Key
}

// cache remembers verified tokens. It holds at most the number it is made for,
// in two generations: what is used is put into the young one, and when that is
// full the old one is dropped. So a flood of new tokens costs no more memory
// than that, and a token in use survives it as well as can be.
type cache struct {
	mu         sync.Mutex
	young, old map[tokenHash]*verified
	most       int // in one generation; 0 or less remembers nothing
}

func (c *cache) get(h tokenHash) *verified {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.young[h]
	if v == nil {
		if v = c.old[h]; v != nil {
			c.putLocked(h, v)
		}
	}
	return v
}

func (c *cache) put(h tokenHash, v *verified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(h, v)
}

func (c *cache) putLocked(h tokenHash, v *verified) {
	if c.most <= 0 {
		return
	}
	if _, there := c.young[h]; c.young == nil || (!there && len(c.young) >= c.most) {
		c.old, c.young = c.young, make(map[tokenHash]*verified)
	}
	c.young[h] = v
}

func (c *cache) drop(h tokenHash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.young, h)
	delete(c.old, h)
}
