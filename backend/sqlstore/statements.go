package sqlstore

// statements are all the SQL of the pet store, each written once for every
// engine and strategy. The tenant is always $1, and every statement names it:
// a guard test reads them here.
type statements struct {
	list, listSpecies  string
	get, getForChange  string
	insert             string
	update, softDelete string
}

const petColumns = `tenant_id, id, name, species, breed, tags, birth_date, created_at, updated_at, deleted_at, microchip_id`

// $4 is 1 to include deleted pets. The species has its own statement so that
// each uses its own index from the first row of the page on.
var petStatements = statements{
	list: `SELECT ` + petColumns + ` FROM pets
		WHERE tenant_id = $1 AND id > $2 AND (deleted_at = 0 OR $4 = 1)
		ORDER BY id LIMIT $3`,
	listSpecies: `SELECT ` + petColumns + ` FROM pets
		WHERE tenant_id = $1 AND id > $2 AND (deleted_at = 0 OR $4 = 1) AND species = $5
		ORDER BY id LIMIT $3`,
	get: `SELECT ` + petColumns + ` FROM pets
		WHERE tenant_id = $1 AND id = $2 AND deleted_at = 0`,
	insert: `INSERT INTO pets (` + petColumns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
	update: `UPDATE pets
		SET name = $3, species = $4, breed = $5, tags = $6, birth_date = $7, updated_at = $8, microchip_id = $9
		WHERE tenant_id = $1 AND id = $2 AND deleted_at = 0`,
	softDelete: `UPDATE pets SET deleted_at = $3, updated_at = $3
		WHERE tenant_id = $1 AND id = $2 AND deleted_at = 0`,
}

// Statements about a tenant's space rather than its pets.
const (
	spaceState  = `SELECT state FROM tenant_spaces WHERE tenant_id = $1`
	spaceOpen   = `INSERT INTO tenant_spaces (tenant_id, state, created_at) VALUES ($1, $2, $3) ON CONFLICT (tenant_id) DO NOTHING`
	spaceSet    = `UPDATE tenant_spaces SET state = $2 WHERE tenant_id = $1`
	petsAll     = `SELECT ` + petColumns + ` FROM pets WHERE tenant_id = $1 ORDER BY id`
	spaceDelete = `DELETE FROM tenant_spaces WHERE tenant_id = $1`
	petsDelete  = `DELETE FROM pets WHERE tenant_id = $1`

	schemaVersion = `SELECT COALESCE(MAX(version_id), 0) FROM ` + versionTable
)

// Postgres must lock what it reads before it writes; SQLite has one writer at
// a time and knows no such clause.
const (
	forUpdate = ` FOR UPDATE`
	forShare  = ` FOR SHARE`
)
