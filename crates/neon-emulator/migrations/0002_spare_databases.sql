-- Databases created in advance. The first connection to a project renames one of them instead of
-- creating a database.
CREATE TABLE spare_databases (
    name text PRIMARY KEY
);
