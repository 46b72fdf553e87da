-- +goose Up
-- From here on the database itself counts: whoever writes to a table that tenants
-- are read from, a shell too, raises the revision and leaves it in the tenant's
-- row. Other processes read one number, and the rows above it. A tenant that is
-- deleted leaves no row: it shows in the number of rows.
--
-- The second number counts the changes of API keys and revocations. That the
-- column is there tells a reader that it can rely on both.
ALTER TABLE catalog_revision ADD COLUMN credentials BIGINT NOT NULL DEFAULT 0;

-- +goose StatementBegin
CREATE TRIGGER tenants_inserted AFTER INSERT ON tenants BEGIN
	UPDATE catalog_revision SET revision = revision + 1;
	UPDATE tenants SET revision = (SELECT revision FROM catalog_revision) WHERE id = NEW.id;
END;
-- +goose StatementEnd

-- All columns but the revision, which the triggers write. A migration that adds a
-- column makes this trigger anew; a test counts them.
-- +goose StatementBegin
CREATE TRIGGER tenants_updated AFTER UPDATE OF id, slug, skeleton, name, plan, status, limits, isolation,
	created_at, updated_at, purge_at, issuer, jwks, upstreams ON tenants BEGIN
	UPDATE catalog_revision SET revision = revision + 1;
	UPDATE tenants SET revision = (SELECT revision FROM catalog_revision) WHERE id = NEW.id;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER tenants_deleted AFTER DELETE ON tenants BEGIN
	UPDATE catalog_revision SET revision = revision + 1;
END;
-- +goose StatementEnd

-- Before, since REPLACE takes a host from another tenant without a word.
-- +goose StatementBegin
CREATE TRIGGER tenant_hosts_inserted BEFORE INSERT ON tenant_hosts BEGIN
	UPDATE catalog_revision SET revision = revision + 1;
	UPDATE tenants SET revision = (SELECT revision FROM catalog_revision)
		WHERE slug IN (SELECT NEW.slug UNION SELECT slug FROM tenant_hosts WHERE host = NEW.host);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER tenant_hosts_updated BEFORE UPDATE ON tenant_hosts BEGIN
	UPDATE catalog_revision SET revision = revision + 1;
	UPDATE tenants SET revision = (SELECT revision FROM catalog_revision)
		WHERE slug IN (SELECT OLD.slug UNION SELECT NEW.slug UNION SELECT slug FROM tenant_hosts WHERE host = NEW.host);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER tenant_hosts_deleted AFTER DELETE ON tenant_hosts BEGIN
	UPDATE catalog_revision SET revision = revision + 1;
	UPDATE tenants SET revision = (SELECT revision FROM catalog_revision) WHERE slug = OLD.slug;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER tenant_config_inserted AFTER INSERT ON tenant_config BEGIN
	UPDATE catalog_revision SET revision = revision + 1;
	UPDATE tenants SET revision = (SELECT revision FROM catalog_revision) WHERE slug = NEW.slug;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER tenant_config_updated AFTER UPDATE ON tenant_config BEGIN
	UPDATE catalog_revision SET revision = revision + 1;
	UPDATE tenants SET revision = (SELECT revision FROM catalog_revision) WHERE slug IN (OLD.slug, NEW.slug);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER tenant_config_deleted AFTER DELETE ON tenant_config BEGIN
	UPDATE catalog_revision SET revision = revision + 1;
	UPDATE tenants SET revision = (SELECT revision FROM catalog_revision) WHERE slug = OLD.slug;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER api_keys_inserted AFTER INSERT ON api_keys BEGIN UPDATE catalog_revision SET credentials = credentials + 1; END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER api_keys_updated AFTER UPDATE ON api_keys BEGIN UPDATE catalog_revision SET credentials = credentials + 1; END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys BEGIN UPDATE catalog_revision SET credentials = credentials + 1; END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER revocations_inserted AFTER INSERT ON revocations BEGIN UPDATE catalog_revision SET credentials = credentials + 1; END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER revocations_updated AFTER UPDATE ON revocations BEGIN UPDATE catalog_revision SET credentials = credentials + 1; END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER revocations_deleted AFTER DELETE ON revocations BEGIN UPDATE catalog_revision SET credentials = credentials + 1; END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER revocations_deleted;
DROP TRIGGER revocations_updated;
DROP TRIGGER revocations_inserted;
DROP TRIGGER api_keys_deleted;
DROP TRIGGER api_keys_updated;
DROP TRIGGER api_keys_inserted;
DROP TRIGGER tenant_config_deleted;
DROP TRIGGER tenant_config_updated;
DROP TRIGGER tenant_config_inserted;
DROP TRIGGER tenant_hosts_deleted;
DROP TRIGGER tenant_hosts_updated;
DROP TRIGGER tenant_hosts_inserted;
DROP TRIGGER tenants_deleted;
DROP TRIGGER tenants_updated;
DROP TRIGGER tenants_inserted;
ALTER TABLE catalog_revision DROP COLUMN credentials;
