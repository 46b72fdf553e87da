CREATE TABLE tenants (id TEXT, slug TEXT, name TEXT, plan TEXT, status TEXT, limits TEXT, created_at TEXT);
CREATE TABLE tenant_hosts (host TEXT, slug TEXT, verified INTEGER);
INSERT INTO tenants (id, slug, status) VALUES ('1', 'acme', 'active'), ('2', 'globex', 'active');
INSERT INTO tenant_hosts VALUES ('shop.example', 'acme', 1), ('SHOP.example', 'globex', 1), ('free.example', 'globex', 0);
