// Package petstore is the domain: what a pet is, what can be done with a
// tenant's pets, and which errors doing so has. It knows no SQL and no HTTP.
//
// [Store.Pets] is the only door to the data. It takes the tenant, and nothing
// behind it does: there is no method that takes a tenant and a pet's id
// together, so no caller can pair one tenant with another's pet.
package petstore
