package framing

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const get = "GET / HTTP/1.1\r\nHost: a\r\n"

var faults = map[string]struct {
	text string
	want Fault
	rest string // what is not in order
}{
	"bare LF after the request line": {"GET / HTTP/1.1\nHost: a\r\n\r\n", BareLF, "\nHost: a\r\n\r\n"},
	"bare LF after a header":         {get + "X: y\n\r\n", BareLF, "\n\r\n"},
	"bare LF at the end":             {get + "\n", BareLF, "\n"},
	"bare LF before a request":       {"\nGET /", BareLF, "\nGET /"},
	"HTTP/0.9":                       {"GET /\r\n", ShortLine, ""},
	"fold with a space":              {get + "X: y\r\n z\r\n\r\n", Folded, " z\r\n\r\n"},
	"fold with a tab":                {get + "\tz\r\n\r\n", Folded, "\tz\r\n\r\n"},
	"length, then chunks":            {get + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", LengthAndChunks, "\r\n"},
	"chunks, then length":            {get + "transfer-ENCODING:chunked\r\ncontent-LENGTH:3\r\n\r\n", LengthAndChunks, "\r\n"},
	"length beside another coding":   {get + "Content-Length: 3\r\nTransfer-Encoding: gzip\r\n\r\n", LengthAndChunks, "\r\n"},
	"two lengths":                    {get + "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", Lengths, "\r\n"},
	"a list of lengths":              {get + "Content-Length: 3, 3\r\n\r\n", BadLength, "\r\n"},
	"no length":                      {get + "Content-Length:\r\n\r\n", BadLength, "\r\n"},
	"a signed length":                {get + "Content-Length: +3\r\n\r\n", BadLength, "\r\n"},
	"an endless length":              {get + "Content-Length: " + strings.Repeat("1", 19) + "\r\n\r\n", BadLength, "\r\n"},
	"a length far to the right":      {get + "Content-Length: " + strings.Repeat(" ", keep) + "3\r\n\r\n", BadLength, "\r\n"},
	"a coding far to the left":       {get + "Transfer-Encoding: chunked" + strings.Repeat(" ", keep) + "\r\n\r\n", LongCoding, "\r\n"},
	"chunks in HTTP/1.0":             {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", OldChunks, "\r\n"},
	"chunk without a size":           {get + "Transfer-Encoding: chunked\r\n\r\n;x\r\n", BadChunk, ""},
	"chunk beyond measure":           {get + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", BadChunk, ""},
	"chunk of another size":          {get + "Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n", BadChunk, "0\r\n\r\n"},
	"bare LF after a size":           {get + "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n", BareLF, "\nx\r\n"},
	"bare LF after an extension":     {get + "Transfer-Encoding: chunked\r\n\r\n0;\n\r\n", BareLF, "\n\r\n"},
	"folded trailer":                 {get + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n", Folded, " c\r\n\r\n"},
	"HTTP/2 with a header":           {"PRI * HTTP/2.0\r\nHost: a\r\n\r\n", OtherProtocol, "Host: a\r\n\r\n"},
	"HTTP/2 that ends otherwise":     {"PRI * HTTP/2.0\r\n\r\nSM\r\n\n", OtherProtocol, "\n"},
	"HTTP/2 after an empty line":     {"\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", OtherProtocol, "\r\nSM\r\n\r\n"},
	"HTTP/2 after a request":         {get + "\r\nPRI * HTTP/2.0\r\n\r\n", OtherProtocol, "\r\n"},
	"OPTIONS *":                      {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Asterisk, "Host: a\r\n\r\n"},
	"in the second request":          {get + "\r\n" + get + "\n", BareLF, "\n"},
	"behind a body":                  {get + "Content-Length: 2\r\n\r\n\n\n" + get + "\n", BareLF, "\n"},
}

func TestWhatCanBeReadInTwoWaysIsAFault(t *testing.T) {
	for name, test := range faults {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1, 2, 7, len(test.text)} {
				var c Checker
				good := feed(&c, []byte(test.text), step)
				if c.Fault() != test.want || test.text[good:] != test.rest {
					t.Errorf("by %d bytes: fault %q before %q, want %q before %q", step, c.Fault(), test.text[good:], test.want, test.rest)
				}
				if c.Check([]byte("GET")) != 0 {
					t.Error("there are bytes in order behind the fault")
				}
			}
		})
	}
}

// feed hands the text over in pieces, and returns how much of it was in order.
func feed(c *Checker, text []byte, step int) (good int) {
	for piece := range slices.Chunk(text, max(step, 1)) {
		n := c.Check(piece)
		if good += n; n < len(piece) {
			break
		}
	}
	return good
}

var proper = []string{
	get + "\r\n",
	get + "\r\n" + get + "\r\n",
	"\r\n" + get + "\r\n",
	"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n\n x\n\n" + get + "\r\n",
	"POST / HTTP/1.0\r\nContent-Length:\t3 \r\n\r\nabc",
	"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked \r\n\r\n0A;x=y\r\n01234\n6789\r\n0\r\nT: u\r\n\r\n" + get + "\r\n",
	"GET /" + strings.Repeat("x", 5000) + " HTTP/1.1\r\nX: " + strings.Repeat("y", 5000) + "\r\nContent-Length: 1\r\n\r\nz",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\n\n",
	get + "Transfer-Encoding: gzip\r\n\r\n\n\n",
	get + "X-Content-Length: 1\r\nTransfer-Encodings: 2\r\n\r\n" + get + "\r\n",
}

func TestProperRequestsAreInOrder(t *testing.T) {
	for _, text := range proper {
		t.Run(fmt.Sprintf("%.60q", text), func(t *testing.T) {
			for _, step := range []int{1, 2, 7, len(text)} {
				var c Checker
				if good := feed(&c, []byte(text), step); c.Fault() != "" || good != len(text) {
					t.Errorf("by %d bytes: fault %q before %.40q in %.200q", step, c.Fault(), text[good:], text)
				}
			}
		})
	}
}

func TestHTTP2IsAFaultWhereItIsNotExpected(t *testing.T) {
	c := Checker{HTTP1: true}
	text := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	if good := c.Check(text); c.Fault() != OtherProtocol || good != len("PRI * HTTP/2.0\r\n") {
		t.Errorf("fault %q before %q", c.Fault(), text[good:])
	}
}

// FuzzChecker compares with Go's own reading: where a request ends that it takes,
// one ends here as well, unless there was a fault before.
func FuzzChecker(f *testing.F) {
	for _, text := range proper {
		f.Add([]byte(text), uint8(3))
	}
	for _, test := range faults {
		f.Add([]byte(test.text), uint8(1))
	}
	f.Fuzz(func(t *testing.T, text []byte, step uint8) {
		var c, pieces Checker
		ends := map[int]bool{}
		good := 0
		for good < len(text) && c.Check(text[good:good+1]) == 1 {
			good++
			if c.state == requestLine && c.length == 0 {
				ends[good] = true
			}
		}
		if n := feed(&pieces, text, int(step)); n != good || pieces.fault != c.fault {
			t.Fatalf("by %d bytes: fault %q at %d; by one: %q at %d", step, pieces.fault, n, c.fault, good)
		}
		if c.state == opaque {
			return
		}
		left := bytes.NewReader(text)
		buffered := bufio.NewReader(left)
		for {
			r, err := http.ReadRequest(buffered)
			if err != nil {
				return
			}
			if r.Method == "PRI" {
				return // the server takes it for HTTP/2
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			end := len(text) - left.Len() - buffered.Buffered()
			if end > good {
				return
			}
			if !ends[end] {
				t.Fatalf("Go reads a request that ends at %d; here they end at %v; fault %q at %d", end, ends, c.fault, good)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	head := []byte("GET /api/pets?limit=20 HTTP/1.1\r\nHost: acme-pets.petstore.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n" +
		"Accept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\nAuthorization: Bearer " + strings.Repeat("x", 500) + "\r\nConnection: keep-alive\r\n\r\n")
	b.SetBytes(int64(len(head)))
	b.ReportAllocs()
	var c Checker
	for b.Loop() {
		if c.Check(head) != len(head) {
			b.Fatal(c.Fault())
		}
	}
}
