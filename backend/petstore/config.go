package petstore

// Config is how a tenant wants its pet store.
type Config struct {
	// IncludeDeletedPets shows soft-deleted pets in listings.
	IncludeDeletedPets bool
	// PageSize is the size of a page for which no other is asked, 1 to [MaxPage].
	PageSize int
	// AllowedSpecies are the ones that new pets may have; empty allows all.
	AllowedSpecies []string
}

// DefaultConfig is what a tenant begins with.
func DefaultConfig() Config { return Config{PageSize: DefaultPage} }

// Roles that a user of a tenant may have. Reading pets needs none: a tenant's
// site is a shop window.
const (
	RoleEditor = "editor" // may change pets
	RoleAdmin  = "admin"  // may change pets and the tenant's configuration
)
