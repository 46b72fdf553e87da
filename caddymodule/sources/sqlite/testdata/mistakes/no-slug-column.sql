CREATE TABLE tenants (id TEXT);
