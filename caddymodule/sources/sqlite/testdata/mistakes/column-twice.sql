-- query: SELECT slug, slug FROM tenants
CREATE TABLE tenants (slug TEXT);
