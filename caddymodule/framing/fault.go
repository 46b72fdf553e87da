package framing

// Fault is why bytes are refused, in a word that may be a metric's label; the empty
// one is none.
type Fault string

// The faults, with the sections of RFC 9112 that permit or require the refusal.
const (
	// BareLF is a line of a head, or around a chunk, that ends without a CR (2.2).
	BareLF Fault = "bare_lf"
	// Folded is a header or trailer line that goes on in the next one (5.2).
	Folded Fault = "folded_line"
	// LengthAndChunks is a request with Content-Length and Transfer-Encoding (6.1).
	LengthAndChunks Fault = "length_and_chunks"
	// Lengths are two Content-Length lines, even if they agree (6.3).
	Lengths Fault = "two_lengths"
	// BadLength is a Content-Length that is no number of at most 18 digits (6.3).
	BadLength Fault = "bad_length"
	// OldChunks is a Transfer-Encoding of a request that is not of HTTP/1.1 (6.1).
	OldChunks Fault = "old_chunks"
	// LongCoding is a Transfer-Encoding line that is longer than any known one.
	LongCoding Fault = "long_coding"
	// ShortLine is a first line that is too short for HTTP/1 (3). The server would wait
	// for more of it, to tell HTTP/2 by.
	ShortLine Fault = "short_line"
	// OtherProtocol is HTTP/2 on a connection that is for HTTP/1 (RFC 9113, 3.3), or what
	// begins like it and does not go on like it (3.4).
	OtherProtocol Fault = "other_protocol"
	// Asterisk is a request for the server as a whole, OPTIONS * (RFC 9110, 9.3.7): Go's
	// server answers it before any module can count it.
	Asterisk Fault = "asterisk"
	// BadChunk is a chunk whose size or end is not what it must be (7.1).
	BadChunk Fault = "bad_chunk"
)
