-- query: SELECT slug FROM tenants
CREATE TABLE customers (slug TEXT);
