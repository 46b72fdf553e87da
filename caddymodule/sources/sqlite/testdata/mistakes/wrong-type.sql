CREATE TABLE tenants (id , slug , name , plan , status , limits , created_at );
CREATE TABLE tenant_hosts (host , slug , verified INTEGER);
INSERT INTO tenants (id, slug, status) VALUES (x'00', 'acme', 'active'), (2, 'globex', 'active'), ('3', 5, 'active'), ('4', x'61', 'active'), ('5', 'initech', 1.5);
