-- +goose Up
-- A microchip marks one animal of a tenant; other tenants' chips are none of
-- its business, so the index begins with the tenant.
ALTER TABLE pets ADD COLUMN microchip_id TEXT NOT NULL DEFAULT '';

CREATE UNIQUE INDEX pets_by_microchip ON pets (tenant_id, microchip_id)
	WHERE microchip_id <> '' AND deleted_at = 0;

-- +goose Down
DROP INDEX pets_by_microchip;
ALTER TABLE pets DROP COLUMN microchip_id;
