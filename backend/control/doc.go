// Package control is the control plane: the catalog of tenants that the
// gateway reads, and everything an operator does to a tenant.
//
// It knows no HTTP, and it reaches the tenants' data only through [Storage].
package control
