package framing

import "bytes"

// keep is how many bytes of a line are kept: enough for the names that matter,
// and a number.
const keep = 64

// state is where in a request the next byte is.
type state uint8

const (
	requestLine state = iota
	headerLine
	body
	chunkSize
	chunk
	chunkEnd
	trailerLine
	// preface is behind the first line of HTTP/2, with which a connection begins.
	preface
	// opaque is a connection of HTTP/2, or one that the server will close for what it
	// was sent.
	opaque
)

// Checker follows the requests on one connection. The zero value is at its
// beginning. It is not safe for concurrent use.
type Checker struct {
	// HTTP1 says that the connection is not for HTTP/2, which is otherwise left alone.
	HTTP1 bool

	state state
	fault Fault
	// later says that a line has been seen, after which there is no HTTP/2.
	later bool

	// The line at hand: its length so far, its beginning, and its end (with its CR,
	// without its LF).
	length int
	line   [keep]byte
	end    [len(version) + 1]byte

	// What the head at hand says: it is not of HTTP/1.1, and has a Transfer-Encoding, a
	// Content-Length.
	old, chunked, sized bool

	left uint64 // of the body, of the chunk, or of the preface
}

const version = " HTTP/1.1"

// The two parts of what a client begins HTTP/2 with (RFC 9113, section 3.4).
const (
	prefaceLine = "PRI * HTTP/2.0"
	prefaceRest = "\r\nSM\r\n\r\n"
)

// Check takes the next bytes that the client sent, and returns how many of them
// are in order: all, or those before the fault. After a fault there are none.
func (c *Checker) Check(p []byte) (good int) {
	for at := 0; at < len(p) && c.fault == ""; {
		switch c.state {
		case opaque:
			return len(p)
		case preface:
			at += c.prefaceBytes(p[at:])
		case body, chunk:
			n := min(c.left, uint64(len(p)-at))
			c.left -= n
			at += int(n)
			if c.left > 0 {
				break
			}
			if c.state == chunk {
				c.state = chunkEnd
			} else {
				c.state = requestLine
			}
		default:
			at += c.lineBytes(p[at:])
		}
		good = at
	}
	return good
}

// Fault is why not all bytes were in order.
func (c *Checker) Fault() Fault { return c.fault }

// prefaceBytes takes bytes of the preface. The server takes a connection for HTTP/2 if
// the whole of it is there, and only then what follows is none of HTTP/1.
func (c *Checker) prefaceBytes(p []byte) int {
	rest := prefaceRest[len(prefaceRest)-int(c.left):]
	n := 0
	for n < min(len(p), len(rest)) && p[n] == rest[n] {
		n++
	}
	switch c.left -= uint64(n); {
	case c.left == 0:
		c.state = opaque
	case n < len(p):
		c.fault = OtherProtocol
	}
	return n
}

// lineBytes takes bytes of a line, up to its end at most, and returns how many of
// them are in order.
func (c *Checker) lineBytes(p []byte) int {
	if c.length == 0 && c.folded(p[0]) {
		c.fault = Folded
		return 0
	}
	n := bytes.IndexByte(p, '\n')
	if n < 0 {
		c.note(p)
		return len(p)
	}
	c.note(p[:n])
	if c.length == 0 || c.last() != '\r' {
		c.fault = BareLF
		return n
	}
	c.length--
	c.finish()
	c.length = 0
	return n + 1
}

func (c *Checker) folded(first byte) bool {
	return (first == ' ' || first == '\t') && (c.state == headerLine || c.state == trailerLine)
}

// note remembers how the line begins and ends.
func (c *Checker) note(p []byte) {
	if c.length < keep {
		copy(c.line[c.length:], p)
	}
	c.length += len(p)
	if over := len(p) - len(c.end); over >= 0 {
		copy(c.end[:], p[over:])
		return
	}
	copy(c.end[:], c.end[len(p):])
	copy(c.end[len(c.end)-len(p):], p)
}

func (c *Checker) last() byte { return c.end[len(c.end)-1] }

// begins is the beginning of the line.
func (c *Checker) begins() []byte { return c.line[:min(c.length, keep)] }
