-- +goose Up
-- A tenant's own backends, HOST:PORT each, separated by commas; empty for the
-- ones that tenants share. Gateways read the column by its name.
ALTER TABLE tenants ADD COLUMN upstreams TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE tenants DROP COLUMN upstreams;
