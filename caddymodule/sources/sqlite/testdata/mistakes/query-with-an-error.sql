-- query: SELEKT slug FROM tenants
CREATE TABLE tenants (slug TEXT);
