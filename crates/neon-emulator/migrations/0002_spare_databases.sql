-- Databases that were made in advance. The first connection of a project renames one instead of making one.
CREATE TABLE spare_databases (
    name text PRIMARY KEY
);
