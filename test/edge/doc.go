// Package edge tests the outermost part of the product from outside: TLS,
// certificates and the three versions of HTTP.
package edge
