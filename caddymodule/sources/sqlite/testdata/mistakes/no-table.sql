CREATE TABLE customers (slug TEXT);
