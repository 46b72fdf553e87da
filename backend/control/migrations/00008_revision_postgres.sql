-- +goose Up
-- From here on the database itself counts: whoever writes to a table that tenants
-- are read from, a shell too, raises the revision and leaves it in the tenant's
-- row. Other processes read one number, and the rows above it. A tenant that is
-- deleted leaves no row: it shows in the number of rows.
--
-- The row of the counter stays locked until its writer commits, so that revisions
-- become visible in the order of their numbers. A statement raises it once, before
-- it locks anything else.
--
-- The second number counts the changes of API keys and revocations. That the
-- column is there tells a reader that it can rely on both.
ALTER TABLE catalog_revision ADD COLUMN credentials BIGINT NOT NULL DEFAULT 0;

-- The functions run as their owner, so that whoever may write to a table need not
-- be allowed to write to the counter as well.

-- +goose StatementBegin
CREATE FUNCTION catalog_raise_revision() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
	UPDATE catalog_revision SET revision = revision + 1;
	NOTIFY tenants_changed;
	RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION catalog_stamp_tenant() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
	NEW.revision := (SELECT revision FROM catalog_revision);
	RETURN NEW;
END $$;
-- +goose StatementEnd

-- The tenants' own triggers give the rows their number.
-- +goose StatementBegin
CREATE FUNCTION catalog_stamp_owners() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		UPDATE tenants SET revision = revision;
	ELSE
		UPDATE tenants SET revision = revision WHERE slug IN (SELECT slug FROM written);
	END IF;
	RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION catalog_raise_credentials() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
	UPDATE catalog_revision SET credentials = credentials + 1;
	NOTIFY tenants_changed;
	RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER catalog_raise BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tenants
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_raise_revision();
CREATE TRIGGER catalog_stamp BEFORE INSERT OR UPDATE ON tenants
	FOR EACH ROW EXECUTE FUNCTION catalog_stamp_tenant();

CREATE TRIGGER catalog_raise BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tenant_hosts
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_raise_revision();
CREATE TRIGGER catalog_inserted AFTER INSERT ON tenant_hosts REFERENCING NEW TABLE AS written
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_stamp_owners();
CREATE TRIGGER catalog_updated_from AFTER UPDATE ON tenant_hosts REFERENCING OLD TABLE AS written
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_stamp_owners();
CREATE TRIGGER catalog_updated_to AFTER UPDATE ON tenant_hosts REFERENCING NEW TABLE AS written
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_stamp_owners();
CREATE TRIGGER catalog_deleted AFTER DELETE ON tenant_hosts REFERENCING OLD TABLE AS written
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_stamp_owners();
CREATE TRIGGER catalog_truncated AFTER TRUNCATE ON tenant_hosts
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_stamp_owners();

CREATE TRIGGER catalog_raise BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON tenant_config
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_raise_revision();
CREATE TRIGGER catalog_inserted AFTER INSERT ON tenant_config REFERENCING NEW TABLE AS written
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_stamp_owners();
CREATE TRIGGER catalog_updated_from AFTER UPDATE ON tenant_config REFERENCING OLD TABLE AS written
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_stamp_owners();
CREATE TRIGGER catalog_updated_to AFTER UPDATE ON tenant_config REFERENCING NEW TABLE AS written
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_stamp_owners();
CREATE TRIGGER catalog_deleted AFTER DELETE ON tenant_config REFERENCING OLD TABLE AS written
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_stamp_owners();
CREATE TRIGGER catalog_truncated AFTER TRUNCATE ON tenant_config
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_stamp_owners();

CREATE TRIGGER catalog_raise BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON api_keys
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_raise_credentials();
CREATE TRIGGER catalog_raise BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON revocations
	FOR EACH STATEMENT EXECUTE FUNCTION catalog_raise_credentials();

-- +goose Down
DROP FUNCTION catalog_raise_credentials() CASCADE;
DROP FUNCTION catalog_stamp_owners() CASCADE;
DROP FUNCTION catalog_stamp_tenant() CASCADE;
DROP FUNCTION catalog_raise_revision() CASCADE;
ALTER TABLE catalog_revision DROP COLUMN credentials;
