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
	set       *KeySet // the set the key was last found in
}

// shards keep requests on several processors from waiting for one another.
const shards = 16

// cache remembers verified tokens. It holds at most size of them, in two
// generations: what is used moves to the young one, and when that is full the
// old one is dropped. So a flood of new tokens costs memory no more than size,
// and a token in use survives it as well as can be.
type cache struct {
	shards [shards]shard
	most   int // in one generation of one shard
}

type shard struct {
	mu         sync.Mutex
	young, old map[tokenHash]*verified
}

func newCache(size int) *cache {
	return &cache{most: max(size/shards/2, 1)}
}

func (c *cache) shard(h tokenHash) *shard { return &c.shards[h[0]%shards] }

func (c *cache) get(h tokenHash) *verified {
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.young[h]; v != nil {
		return v
	}
	v := s.old[h]
	if v != nil {
		delete(s.old, h)
		s.put(h, v, c.most)
	}
	return v
}

func (c *cache) put(h tokenHash, v *verified) {
	s := c.shard(h)
	s.mu.Lock()
	s.put(h, v, c.most)
	s.mu.Unlock()
}

func (s *shard) put(h tokenHash, v *verified, most int) {
	if _, there := s.young[h]; !there && len(s.young) >= most {
		s.old, s.young = s.young, nil
	}
	if s.young == nil {
		s.young = make(map[tokenHash]*verified)
	}
	s.young[h] = v
}

func (c *cache) drop(h tokenHash) {
	s := c.shard(h)
	s.mu.Lock()
	delete(s.young, h)
	delete(s.old, h)
	s.mu.Unlock()
}

func (c *cache) len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.young) + len(s.old)
		s.mu.Unlock()
	}
	return n
}
