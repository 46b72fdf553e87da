-- query: DELETE FROM tenants RETURNING slug
CREATE TABLE tenants (slug TEXT);
INSERT INTO tenants VALUES ('acme');
