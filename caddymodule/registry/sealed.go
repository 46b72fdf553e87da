package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"time"
)

// What is saved is a line of text, the SHA-256 of what follows, and two values of
// encoding/gob: a heading, and what is saved. A new format gets a new line.
const sealedLine = "caddy-tenancy snapshot 3\n"

// heading says what is saved: what it is, of which source, and until when it was
// known to be good.
type heading struct {
	What, Source string
	GoodAt       time.Time
}

func seal(about heading, content any) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(sealedLine)
	b.Write(make([]byte, sha256.Size))
	e := gob.NewEncoder(&b)
	if err := errors.Join(e.Encode(about), e.Encode(content)); err != nil {
		return nil, err
	}
	data := b.Bytes()
	sum := sha256.Sum256(data[len(sealedLine)+sha256.Size:])
	copy(data[len(sealedLine):], sum[:])
	return data, nil
}

// unseal refuses anything but what seal made of that thing and source. It returns
// what decodes the content.
func unseal(data []byte, want heading) (goodAt time.Time, decode func(into any) error, err error) {
	rest, ok := bytes.CutPrefix(data, []byte(sealedLine))
	if !ok || len(rest) < sha256.Size {
		return goodAt, nil, errors.New("expected a snapshot of this version, found something else")
	}
	sum, body := rest[:sha256.Size], rest[sha256.Size:]
	if is := sha256.Sum256(body); !bytes.Equal(sum, is[:]) {
		return goodAt, nil, errors.New("the checksum is wrong: the snapshot is damaged")
	}
	d := gob.NewDecoder(bytes.NewReader(body))
	var about heading
	if err := d.Decode(&about); err != nil {
		return goodAt, nil, fmt.Errorf("reading the heading: %w", err)
	}
	if about.What != want.What || about.Source != want.Source {
		return goodAt, nil, fmt.Errorf("expected %s of %q, found %s of %q", want.What, Clip(want.Source), Clip(about.What), Clip(about.Source))
	}
	return about.GoodAt, d.Decode, nil
}
