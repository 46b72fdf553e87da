-- +goose Up
-- The tenants. A row stays when its tenant is purged, so that neither id nor
-- slug is ever given to another.
CREATE TABLE tenants (
	id         TEXT   NOT NULL PRIMARY KEY,
	slug       TEXT   NOT NULL UNIQUE,
	-- What the slug looks like at a glance; two tenants may not look alike.
	skeleton   TEXT   NOT NULL UNIQUE,
	name       TEXT   NOT NULL,
	plan       TEXT   NOT NULL,
	status     TEXT   NOT NULL,
	limits     TEXT   NOT NULL DEFAULT '',
	isolation  TEXT   NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	-- When a deactivated tenant is purged; 0 for any other.
	purge_at   BIGINT NOT NULL DEFAULT 0,
	-- The catalog's revision that wrote the row.
	revision   BIGINT NOT NULL
);

CREATE INDEX tenants_by_revision ON tenants (revision);

CREATE TABLE tenant_hosts (
	host       TEXT   NOT NULL PRIMARY KEY,
	slug       TEXT   NOT NULL REFERENCES tenants (slug),
	verified   BIGINT NOT NULL DEFAULT 0,
	created_at BIGINT NOT NULL
);

CREATE INDEX tenant_hosts_by_slug ON tenant_hosts (slug);

-- One row. Every change of the catalog raises it in the same transaction, so
-- that other processes see with one read whether there is anything new.
CREATE TABLE catalog_revision (
	one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
	revision BIGINT  NOT NULL
);

INSERT INTO catalog_revision (one, revision) VALUES (1, 1);

-- Facts about the installation: whether the demo was made, the key that seals
-- cursors.
CREATE TABLE catalog_facts (
	name  TEXT NOT NULL PRIMARY KEY,
	value TEXT NOT NULL
);

-- +goose Down
DROP TABLE catalog_facts;
DROP TABLE catalog_revision;
DROP TABLE tenant_hosts;
DROP TABLE tenants;
