-- +goose Up
-- One row for each tenant that has its data here. Rows of a tenant without a
-- space cannot be written, and a frozen space takes no writes.
CREATE TABLE tenant_spaces (
	tenant_id  TEXT   NOT NULL PRIMARY KEY,
	state      TEXT   NOT NULL CHECK (state IN ('open', 'frozen')),
	created_at BIGINT NOT NULL
);

CREATE TABLE pets (
	tenant_id  TEXT   NOT NULL REFERENCES tenant_spaces (tenant_id),
	id         TEXT   NOT NULL,
	name       TEXT   NOT NULL,
	species    TEXT   NOT NULL,
	breed      TEXT   NOT NULL,
	tags       TEXT   NOT NULL,
	birth_date TEXT   NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	deleted_at BIGINT NOT NULL,
	PRIMARY KEY (tenant_id, id)
);

CREATE INDEX pets_by_species ON pets (tenant_id, species, id);

-- +goose Down
DROP TABLE pets;
DROP TABLE tenant_spaces;
