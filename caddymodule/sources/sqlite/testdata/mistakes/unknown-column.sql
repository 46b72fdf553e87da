-- query: SELECT slug, password FROM tenants
CREATE TABLE tenants (slug TEXT, password TEXT);
