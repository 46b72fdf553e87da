-- +goose Up
-- API keys, by the SHA-256 of their text in lower-case hexadecimal: who reads
-- this table cannot use a key. A revoked one stays for the record.
CREATE TABLE api_keys (
	id         TEXT   NOT NULL PRIMARY KEY,
	hash       TEXT   NOT NULL UNIQUE,
	slug       TEXT   NOT NULL REFERENCES tenants (slug),
	name       TEXT   NOT NULL,
	-- Words separated by spaces.
	roles      TEXT   NOT NULL,
	created_at BIGINT NOT NULL,
	-- 0 when there is no end, and when it is not revoked.
	expires_at BIGINT NOT NULL DEFAULT 0,
	revoked_at BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX api_keys_by_slug ON api_keys (slug, created_at);

-- Tokens that are refused before their time: one by its id, or all of a
-- subject that were issued before a moment.
CREATE TABLE revocations (
	id         TEXT   NOT NULL PRIMARY KEY,
	kind       TEXT   NOT NULL CHECK (kind IN ('token', 'subject')),
	value      TEXT   NOT NULL,
	-- Whose tokens; empty for every issuer's.
	issuer     TEXT   NOT NULL DEFAULT '',
	-- For a subject; 0 for a token.
	before     BIGINT NOT NULL DEFAULT 0,
	-- When the entry is no longer needed; 0 keeps it.
	until      BIGINT NOT NULL DEFAULT 0,
	created_at BIGINT NOT NULL,
	UNIQUE (kind, value, issuer)
);

-- A tenant's own issuer of tokens, and the URL of its keys; both or none.
ALTER TABLE tenants ADD COLUMN issuer TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN jwks TEXT NOT NULL DEFAULT '';

-- Nobody else's tokens may be a tenant's.
CREATE UNIQUE INDEX tenants_by_issuer ON tenants (issuer) WHERE issuer <> '';

-- +goose Down
DROP INDEX tenants_by_issuer;
ALTER TABLE tenants DROP COLUMN jwks;
ALTER TABLE tenants DROP COLUMN issuer;
DROP TABLE revocations;
DROP TABLE api_keys;
