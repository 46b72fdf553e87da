-- +goose Up
-- Domains that tenants say are theirs, with what proves it. Several tenants
-- may claim one host; the row in tenant_hosts goes to the one that proves it.
CREATE TABLE host_claims (
	host          TEXT   NOT NULL,
	slug          TEXT   NOT NULL REFERENCES tenants (slug),
	token         TEXT   NOT NULL UNIQUE,
	target        TEXT   NOT NULL UNIQUE,
	state         TEXT   NOT NULL CHECK (state IN ('pending', 'verified')),
	created_at    BIGINT NOT NULL,
	verified_at   BIGINT NOT NULL DEFAULT 0,
	checked_at    BIGINT NOT NULL DEFAULT 0,
	-- Since when the proof has been missing from a verified host; 0: it is there.
	failing_since BIGINT NOT NULL DEFAULT 0,
	routed        BIGINT NOT NULL DEFAULT 0,
	problem       TEXT   NOT NULL DEFAULT '',
	-- When DNS is asked next.
	next_at       BIGINT NOT NULL,
	PRIMARY KEY (host, slug)
);

CREATE INDEX host_claims_by_next ON host_claims (next_at);
CREATE INDEX host_claims_by_slug ON host_claims (slug);

-- +goose Down
DROP TABLE host_claims;
