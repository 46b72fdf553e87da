-- +goose Up
-- Attempts to cross from one tenant to another, as gateways recorded them. The
-- oldest go when there are too many, so nothing refers to this table, and it
-- refers to none: the tenants that a request names need not exist. What
-- operators do is in admin_audit, which loses nothing.
CREATE TABLE access_audit (
	-- Made once by the gateway: the same record that comes again is known by it.
	id          TEXT   NOT NULL PRIMARY KEY,
	at          BIGINT NOT NULL,
	-- Of the last event that the record counts; 0 when it counts one.
	last_at     BIGINT NOT NULL,
	received_at BIGINT NOT NULL,
	type        TEXT   NOT NULL,
	reason      TEXT   NOT NULL,
	tenant      TEXT   NOT NULL,
	user_tenant TEXT   NOT NULL,
	user_name   TEXT   NOT NULL,
	-- A JSON list of SOURCE=SLUG.
	claimed     TEXT   NOT NULL,
	method      TEXT   NOT NULL,
	host        TEXT   NOT NULL,
	path        TEXT   NOT NULL,
	client_ip   TEXT   NOT NULL,
	request_id  TEXT   NOT NULL,
	events      BIGINT NOT NULL,
	-- Every slug that the record names, each between spaces.
	tenants     TEXT   NOT NULL
);

CREATE INDEX access_audit_by_time ON access_audit (at, id);

-- +goose Down
DROP TABLE access_audit;
