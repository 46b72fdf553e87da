-- +goose Up
-- What was asked for when a tenant was created, until it is set up.
CREATE TABLE onboardings (
	slug        TEXT   NOT NULL PRIMARY KEY REFERENCES tenants (slug),
	admin_email TEXT   NOT NULL,
	sample_pet  BIGINT NOT NULL
);

-- The steps of setting a tenant up that are done.
CREATE TABLE onboarding_steps (
	slug    TEXT   NOT NULL REFERENCES tenants (slug),
	step    TEXT   NOT NULL,
	done_at BIGINT NOT NULL,
	PRIMARY KEY (slug, step)
);

CREATE TABLE idempotency_keys (
	idempotency_key TEXT   NOT NULL PRIMARY KEY,
	request_hash    TEXT   NOT NULL,
	slug            TEXT   NOT NULL,
	created_at      BIGINT NOT NULL
);

CREATE TABLE tenant_users (
	id         TEXT   NOT NULL PRIMARY KEY,
	slug       TEXT   NOT NULL REFERENCES tenants (slug),
	email      TEXT   NOT NULL,
	role       TEXT   NOT NULL,
	created_at BIGINT NOT NULL,
	UNIQUE (slug, email)
);

-- Only hashes: who reads this table cannot use a token.
CREATE TABLE tenant_tokens (
	hash       TEXT   NOT NULL PRIMARY KEY,
	slug       TEXT   NOT NULL REFERENCES tenants (slug),
	user_id    TEXT   NOT NULL REFERENCES tenant_users (id),
	kind       TEXT   NOT NULL CHECK (kind IN ('setup', 'api')),
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	used_at    BIGINT NOT NULL DEFAULT 0
);

-- Mail to be sent, written in the transaction that made it necessary. One
-- mail of a kind for one tenant.
CREATE TABLE outbox (
	id         TEXT   NOT NULL PRIMARY KEY,
	slug       TEXT   NOT NULL REFERENCES tenants (slug),
	kind       TEXT   NOT NULL,
	recipient  TEXT   NOT NULL,
	subject    TEXT   NOT NULL,
	body       TEXT   NOT NULL,
	created_at BIGINT NOT NULL,
	attempts   BIGINT NOT NULL DEFAULT 0,
	next_at    BIGINT NOT NULL,
	sent_at    BIGINT NOT NULL DEFAULT 0,
	failure    TEXT   NOT NULL DEFAULT '',
	UNIQUE (slug, kind)
);

-- Who did what to which tenant, written in the transaction that did it.
CREATE TABLE admin_audit (
	id         TEXT   NOT NULL PRIMARY KEY,
	at         BIGINT NOT NULL,
	actor      TEXT   NOT NULL,
	request_id TEXT   NOT NULL,
	action     TEXT   NOT NULL,
	slug       TEXT   NOT NULL,
	before     TEXT   NOT NULL,
	after      TEXT   NOT NULL
);

CREATE INDEX admin_audit_by_slug ON admin_audit (slug, at);

CREATE TABLE tenant_config (
	slug       TEXT   NOT NULL REFERENCES tenants (slug),
	name       TEXT   NOT NULL,
	value      TEXT   NOT NULL,
	updated_at BIGINT NOT NULL,
	PRIMARY KEY (slug, name)
);

-- Hosts that a tenant gave up: nobody else may claim one for a while, since
-- clients and caches still take it for the tenant.
CREATE TABLE host_holds (
	host  TEXT   NOT NULL PRIMARY KEY,
	slug  TEXT   NOT NULL,
	until BIGINT NOT NULL
);

-- A tenant's data on its way from one place to another.
CREATE TABLE moves (
	slug       TEXT   NOT NULL PRIMARY KEY REFERENCES tenants (slug),
	source     TEXT   NOT NULL,
	target     TEXT   NOT NULL,
	state      TEXT   NOT NULL CHECK (state IN ('copying', 'switched')),
	started_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE moves;
DROP TABLE host_holds;
DROP TABLE tenant_config;
DROP TABLE admin_audit;
DROP TABLE outbox;
DROP TABLE tenant_tokens;
DROP TABLE tenant_users;
DROP TABLE idempotency_keys;
DROP TABLE onboarding_steps;
DROP TABLE onboardings;
