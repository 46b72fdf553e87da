// Package sqlstore keeps pets in SQL: two engines (SQLite, Postgres) times
// three isolation strategies (shared, schema, database).
//
// Every statement is written once, in statements.go, and carries the tenant
// predicate in every strategy; the strategy is the wall behind it. An engine
// is one file and a strategy is one file.
//
// It knows no HTTP.
package sqlstore
