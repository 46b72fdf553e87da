package command

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
)

// patience is longer than a gateway takes to notice a change of its key file.
const patience = 5 * time.Second

// inForce says whether the gateway at that admin endpoint signs by the keys of the file,
// and why not if it does not. It waits a moment for it.
func inForce(path, address string) string {
	keys, err := identity.LoadKeys(path)
	if err != nil {
		return "not in force: " + err.Error()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var running []string
	for {
		running, err = askKeys(ctx, address)
		switch {
		case err != nil:
			return fmt.Sprintf("no gateway was asked whether it is in force (%v); one that signs by this file follows it within a second", err)
		case slices.Equal(running, keys.KeyIDs()):
			return "in force at " + address
		}
		select {
		case <-ctx.Done():
			return fmt.Sprintf("NOT in force at %s, which has %v: it signs by another file, or can't read this one (see its log)", address, running)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// askKeys asks a gateway for the ids of its keys, the signing one first.
func askKeys(ctx context.Context, address string) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/tenancy/keys", http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var answer struct {
		Keys []string `json:"keys"`
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking %s: status %d", address, res.StatusCode)
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("asking %s: %w", address, err)
	}
	return answer.Keys, nil
}
