CREATE TABLE tenants (slug TEXT);
CREATE TABLE tenant_hosts (host TEXT, tenant_id TEXT);
