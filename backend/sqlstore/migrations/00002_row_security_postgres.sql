-- +goose Up
-- FORCE makes the rules bind the tables' owner too. The setting is local to a
-- transaction; outside of one it is empty, which is no tenant.
ALTER TABLE tenant_spaces ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_spaces FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON tenant_spaces
	USING (tenant_id = current_setting('app.tenant', true))
	WITH CHECK (tenant_id = current_setting('app.tenant', true));

ALTER TABLE pets ENABLE ROW LEVEL SECURITY;
ALTER TABLE pets FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON pets
	USING (tenant_id = current_setting('app.tenant', true))
	WITH CHECK (tenant_id = current_setting('app.tenant', true));

-- +goose Down
DROP POLICY tenant_only ON pets;
ALTER TABLE pets NO FORCE ROW LEVEL SECURITY;
ALTER TABLE pets DISABLE ROW LEVEL SECURITY;
DROP POLICY tenant_only ON tenant_spaces;
ALTER TABLE tenant_spaces NO FORCE ROW LEVEL SECURITY;
ALTER TABLE tenant_spaces DISABLE ROW LEVEL SECURITY;
