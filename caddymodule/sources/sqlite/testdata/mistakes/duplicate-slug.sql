CREATE TABLE tenants (id TEXT, slug TEXT, name TEXT, plan TEXT, status TEXT, limits TEXT, created_at TEXT);
CREATE TABLE tenant_hosts (host TEXT, slug TEXT, verified INTEGER);
INSERT INTO tenants (id, slug, created_at) VALUES ('1', 'acme', '2026-01-02 00:00:00'), ('2', 'acme', '2025-01-02T00:00:00Z');
