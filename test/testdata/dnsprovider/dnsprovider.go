// Package dnsprovider is a Caddy plugin that sets the records of a test's DNS
// server over HTTP. It is as small as a provider for ACME can be: records can
// be added and deleted.
package dnsprovider

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/libdns/libdns"
)

func init() { caddy.RegisterModule(Provider{}) }

// Provider talks to the DNS server at URL.
type Provider struct {
	// Where the server takes changes.
	URL string `json:"url"`
}

// CaddyModule implements caddy.Module.
func (Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "dns.providers.testdns", New: func() caddy.Module { return new(Provider) }}
}

// UnmarshalCaddyfile reads "testdns URL".
func (p *Provider) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.AllArgs(&p.URL) {
		return d.ArgErr()
	}
	return nil
}

// AppendRecords adds records to a zone.
func (p *Provider) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return records, p.change(ctx, http.MethodPost, zone, records)
}

// DeleteRecords deletes the records with exactly these values.
func (p *Provider) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return records, p.change(ctx, http.MethodDelete, zone, records)
}

func (p *Provider) change(ctx context.Context, method, zone string, records []libdns.Record) error {
	for _, record := range records {
		rr := record.RR()
		body, err := json.Marshal(map[string]string{"name": libdns.AbsoluteName(rr.Name, zone), "type": rr.Type, "data": rr.Data})
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, method, p.URL, bytes.NewReader(body))
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("changing the record %q: %w", rr.Name, err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNoContent {
			return fmt.Errorf("changing the record %q: status %d", rr.Name, res.StatusCode)
		}
	}
	return nil
}

var (
	_ libdns.RecordAppender = (*Provider)(nil)
	_ libdns.RecordDeleter  = (*Provider)(nil)
	_ caddyfile.Unmarshaler = (*Provider)(nil)
)
