// Package sqldb opens the two engines, SQLite and Postgres, and hides the few
// differences between them that are not about tenants: how a transaction
// begins, what an error means, where a migration's version is kept.
//
// SQL is written once for both. Placeholders are $1, $2, ..., which both
// engines read; times are whole microseconds since 1970 in BIGINT columns;
// truth values are the integers 0 and 1.
package sqldb
