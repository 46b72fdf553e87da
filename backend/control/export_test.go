package control

// CrashAt has f called at the named points between steps, for tests that end
// the process there.
func (c *Catalog) CrashAt(f func(point string)) { c.crashAt = f }

// SettleAtOnce is for tests in which no other process has to learn of a change.
func (c *Catalog) SettleAtOnce() { c.settle = 0 }
