package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
)

// adminToken reads the operator's credential, and makes one with mode 0600
// when there is none. The file appears whole or not at all, so that two starts
// at once end with one token.
func adminToken(path string) (string, error) {
	for range 2 {
		b, err := os.ReadFile(path)
		if err == nil {
			token := strings.TrimSpace(string(b))
			if len(token) < 20 {
				return "", fmt.Errorf("reading the operator's credential %q: expected at least 20 characters", path)
			}
			return token, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("reading the operator's credential: %w", err)
		}
		err = writeNew(path, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, control.NewSecret("adm_"))
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("making the operator's credential: %w", err)
		}
	}
	return "", fmt.Errorf("reading the operator's credential %q: the file keeps disappearing", path)
}

// writeNew makes a file of mode 0600 that appears when it is whole. One that is
// there already is left alone: fs.ErrExist.
func writeNew(path string, write func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	err = write(tmp)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}
