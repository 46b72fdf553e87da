package control

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/petstore"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/strictjson"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/tenant"
)

// An archive is a gzipped tar of two files: pets.jsonl, one pet on each line
// in the order of the ids, and manifest.json with the tenant's record and the
// count and checksum of the lines. It depends on no engine and no strategy.

const (
	archiveFormat = 1
	petsFile      = "pets.jsonl"
	manifestFile  = "manifest.json"
	maxManifest   = 1 << 20
	maxLine       = 1 << 20
	maxNesting    = 8
)

// manifest describes an archive.
type manifest struct {
	Format     int                        `json:"format"`
	ExportedAt time.Time                  `json:"exported_at"`
	Slug       string                     `json:"slug"`
	Name       string                     `json:"name"`
	Plan       string                     `json:"plan"`
	Limits     string                     `json:"limits"`
	Upstreams  []string                   `json:"upstreams,omitempty"`
	Issuer     Issuer                     `json:"issuer,omitzero"`
	Config     map[string]json.RawMessage `json:"config"`
	Pets       sum                        `json:"pets"`
}

// ErrArchive means that an archive is damaged or not one.
var ErrArchive = errors.New("not a whole archive")

// Export writes an archive of a tenant as it is at one moment; the tenant goes
// on being served.
func (c *Catalog) Export(ctx context.Context, slug tenant.Slug, w io.Writer) error {
	if err := c.export(ctx, slug, w); err != nil {
		return fmt.Errorf("exporting tenant %q: %w", slug, err)
	}
	return nil
}

func (c *Catalog) export(ctx context.Context, slug tenant.Slug, w io.Writer) error {
	t, err := c.Get(ctx, slug)
	if err != nil {
		return err
	}
	if t.Status == tenant.Purged || t.Status == tenant.Provisioning {
		return ErrState
	}
	// A tar needs the length first, and a tenant may not fit into memory.
	file, err := os.CreateTemp("", "petstore-export-*")
	if err != nil {
		return err
	}
	defer func() { _, _ = file.Close(), os.Remove(file.Name()) }()
	lines, total := bufio.NewWriter(file), newSummer()
	err = c.storage.Rows(ctx, slug, t.Isolation, func(p petstore.Pet) error {
		line := toRow(p).line()
		total.add(line)
		_, err := lines.Write(line)
		return err
	})
	if err := errors.Join(err, lines.Flush()); err != nil {
		return err
	}
	m := manifest{Format: archiveFormat, ExportedAt: c.now().UTC(), Slug: slug.String(), Name: t.Name, Plan: string(t.Plan),
		Limits: t.Limits, Upstreams: t.Upstreams, Issuer: IssuerOf(t), Config: map[string]json.RawMessage{}, Pets: total.sum()}
	for _, s := range settings {
		if m.Config[s.name], err = json.Marshal(s.value(t.Config)); err != nil {
			return err
		}
	}
	head, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	length, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	zipped := gzip.NewWriter(w)
	archive := tar.NewWriter(zipped)
	add := func(name string, size int64, from io.Reader) error {
		err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: m.ExportedAt.Truncate(time.Second), Format: tar.FormatPAX})
		if err != nil {
			return err
		}
		_, err = io.Copy(archive, from)
		return err
	}
	if err := add(manifestFile, int64(len(head)), bytes.NewReader(head)); err != nil {
		return err
	}
	if err := add(petsFile, length, file); err != nil {
		return err
	}
	return errors.Join(archive.Close(), zipped.Close())
}

// openArchive reads an archive's manifest and leaves the reader at the pets.
// end is called when they are read: it reads on to the last checksum.
func openArchive(r io.Reader) (m manifest, pets io.Reader, end func() error, err error) {
	damaged := func(cause error) (manifest, io.Reader, func() error, error) {
		return m, nil, nil, fmt.Errorf("%w: %w", ErrArchive, cause)
	}
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return damaged(err)
	}
	archive := tar.NewReader(zipped)
	head, err := archive.Next()
	if err != nil {
		return damaged(err)
	}
	if head.Name != manifestFile || head.Size > maxManifest {
		return damaged(fmt.Errorf("expected %q first", manifestFile))
	}
	text, err := io.ReadAll(archive)
	if err == nil {
		err = strictjson.Unmarshal(text, maxNesting, &m)
	}
	if err != nil {
		return damaged(err)
	}
	if m.Format != archiveFormat {
		return damaged(fmt.Errorf("format %d, expected %d", m.Format, archiveFormat))
	}
	if head, err = archive.Next(); err != nil || head.Name != petsFile {
		return damaged(fmt.Errorf("expected %q second", petsFile))
	}
	return m, archive, func() error {
		if _, err := archive.Next(); !errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: expected two files: %w", ErrArchive, cmp.Or(err, errors.New("found more")))
		}
		if _, err := io.Copy(io.Discard, zipped); err != nil {
			return fmt.Errorf("%w: %w", ErrArchive, err)
		}
		return nil
	}, nil
}

// readPets calls f with every pet of an archive and compares count and
// checksum at the end: what f did before an error must be undone.
func readPets(r io.Reader, want sum, now time.Time, f func(petstore.Pet) error) error {
	total := newSummer()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		total.add(append(bytes.Clone(lines.Bytes()), '\n'))
		var one row
		if err := strictjson.Unmarshal(lines.Bytes(), maxNesting, &one); err != nil {
			return fmt.Errorf("%w: line %d: %w", ErrArchive, total.count, err)
		}
		if err := one.checkTimes(now); err != nil {
			return fmt.Errorf("%w: line %d: %w", ErrArchive, total.count, err)
		}
		if err := f(one.pet()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrArchive, err)
	}
	if got := total.sum(); got != want {
		return fmt.Errorf("%w: %d pets with checksum %s, expected %d with %s", ErrArchive, got.Count, got.SHA256, want.Count, want.SHA256)
	}
	return nil
}
