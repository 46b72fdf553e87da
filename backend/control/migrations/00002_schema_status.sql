-- +goose Up
-- The version of each set of tenant tables, so that a run of migrations over
-- all tenants skips what is up to date without opening it. The place is
-- "shared", or a slug for a tenant with tables of its own.
CREATE TABLE schema_status (
	place      TEXT   NOT NULL PRIMARY KEY,
	version    BIGINT NOT NULL,
	failure    TEXT   NOT NULL,
	updated_at BIGINT NOT NULL
);

-- Leases. A holder that died loses its lease when it expires.
CREATE TABLE catalog_locks (
	name       TEXT   NOT NULL PRIMARY KEY,
	holder     TEXT   NOT NULL,
	expires_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE catalog_locks;
DROP TABLE schema_status;
