CREATE TABLE tenants (id TEXT, slug TEXT, name TEXT, plan TEXT, status TEXT, limits TEXT, created_at TEXT);
CREATE TABLE tenant_hosts (host TEXT, slug TEXT, verified INTEGER);
INSERT INTO tenants (id, slug, status) VALUES ('1', 'acme', 'active'), ('2', 'Globex', 'active'), ('3', NULL, 'active'), ('4', '', 'active');
