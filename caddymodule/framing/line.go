package framing

import "bytes"

// mostDigits is how many digits a length may have; no body is longer.
const mostDigits = 18

// finish is called at the end of a line, and decides what follows it.
func (c *Checker) finish() {
	switch c.state {
	case requestLine:
		c.beginHead()
	case headerLine:
		if c.length == 0 {
			c.finishHead()
		} else {
			c.header()
		}
	case chunkSize:
		c.beginChunk()
	case chunkEnd:
		if c.state = chunkSize; c.length != 0 {
			c.fault = BadChunk
		}
	case trailerLine:
		if c.length == 0 {
			c.state = requestLine
		}
	}
}

func (c *Checker) beginHead() {
	first := !c.later
	c.later = true
	if c.length == 0 {
		return // old clients send an empty line too many; the server decides on that
	}
	if bytes.Equal(c.begins(), []byte(prefaceLine)) {
		if c.state, c.left = preface, uint64(len(prefaceRest)); c.HTTP1 || !first {
			c.fault = OtherProtocol
		}
		return
	}
	if bytes.HasPrefix(c.begins(), []byte("OPTIONS * ")) {
		c.fault = Asterisk
		return
	}
	if c.length < len("M / HTTP/1.1") {
		c.fault = ShortLine
		return
	}
	c.state = headerLine
	c.chunked, c.sized, c.left = false, false, 0
	c.old = !bytes.Equal(c.end[:len(version)], []byte(version))
}

// header reads a header line. It passes over what it does not know, and what the
// server refuses anyway.
func (c *Checker) header() {
	name, value, ok := bytes.Cut(c.begins(), []byte(":"))
	if !ok {
		return
	}
	switch {
	case is(name, "content-length"):
		c.contentLength(bytes.Trim(value, " \t"))
	case is(name, "transfer-encoding"):
		c.transferEncoding(bytes.Trim(value, " \t"))
	}
}

func (c *Checker) contentLength(value []byte) {
	n, digits := number(value, 10)
	switch {
	case c.sized:
		c.fault = Lengths
	case c.chunked:
		c.fault = LengthAndChunks
	case digits == 0 || digits > mostDigits || digits < len(value) || c.length > keep:
		c.fault = BadLength
	}
	c.sized, c.left = true, n
}

func (c *Checker) transferEncoding(value []byte) {
	switch {
	case c.sized:
		c.fault = LengthAndChunks
	case c.old:
		c.fault = OldChunks
	case c.length > keep:
		c.fault = LongCoding
	case c.chunked || !is(value, "chunked"):
		c.state = opaque // the server does not know it, says so and closes
	}
	c.chunked = true
}

func (c *Checker) finishHead() {
	switch {
	case c.chunked:
		c.state = chunkSize
	case c.left > 0:
		c.state = body
	default:
		c.state = requestLine
	}
}

func (c *Checker) beginChunk() {
	n, digits := number(c.begins(), 16)
	switch {
	case digits == 0 || digits > mostDigits-2:
		c.fault = BadChunk
	case n == 0:
		c.state = trailerLine
	default:
		c.state, c.left = chunk, n
	}
}

// number reads the digits that text begins with, and counts them.
func number(text []byte, base uint64) (n uint64, digits int) {
	for _, b := range text {
		var d uint64
		switch {
		case '0' <= b && b <= '9':
			d = uint64(b - '0')
		case base == 16 && 'a' <= b|0x20 && b|0x20 <= 'f':
			d = uint64(b|0x20-'a') + 10
		default:
			return n, digits
		}
		n = n*base + d
		digits++
	}
	return n, digits
}

// is compares without regard to the case of ASCII letters.
func is(text []byte, lower string) bool {
	if len(text) != len(lower) {
		return false
	}
	for i := range text {
		b := text[i]
		if 'A' <= b && b <= 'Z' {
			b |= 0x20
		}
		if b != lower[i] {
			return false
		}
	}
	return true
}
