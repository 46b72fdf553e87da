-- query: SELECT slug, hosts FROM tenants
CREATE TABLE tenants (slug TEXT, hosts TEXT);
INSERT INTO tenants VALUES ('acme', '["a.example"'), ('globex', '["a.example", 5]'), ('initech', '["c.example"]');
