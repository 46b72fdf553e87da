-- query: SELECT name FROM tenants
CREATE TABLE tenants (slug TEXT, name TEXT);
