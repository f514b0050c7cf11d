-- Branches with parents, computes that sleep, roles and databases that come and go, and what was used up.

ALTER TABLE branches
    ADD parent_id text,
    ADD parent_at_us bigint,
    ADD protected boolean NOT NULL DEFAULT false,
    ADD init_source text NOT NULL DEFAULT 'parent-data',
    ADD expires_at_us bigint,
    ADD expires_set_us bigint,
    ADD last_reset_us bigint,
    ADD restored_from text,
    ADD deleted_at_us bigint,
    ADD deleted_by text;
CREATE INDEX branches_expiring ON branches (expires_at_us) WHERE expires_at_us IS NOT NULL AND deleted_at_us IS NULL;

-- `suspended_at_us` is set by a call or a used-up quota; without it, sleep follows from the last use. `settled_us` is up to when
-- the use of a compute has been added up.
ALTER TABLE endpoints
    ADD kind text NOT NULL DEFAULT 'read_write',
    ADD suspended_at_us bigint,
    ADD settled_us bigint;

-- What PostgreSQL calls them, where that does not follow from their branch because they were moved to another.
ALTER TABLE roles
    ADD no_login boolean NOT NULL DEFAULT false,
    ADD real_name text;
ALTER TABLE databases
    ADD real_name text;

-- What is used up, by the hour. Sums of a billing period are sums of these.
CREATE TABLE usage_hours (
    project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    branch_id text NOT NULL,
    hour_us bigint NOT NULL,
    active_us bigint NOT NULL DEFAULT 0,
    -- Active time, times the compute's size in thousandths of a compute unit.
    compute_milli_us numeric NOT NULL DEFAULT 0,
    transferred_bytes bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (project_id, branch_id, hour_us)
);

-- Databases and roles that nobody can reach any more. They are dropped after the change that left them, or by the next purge.
CREATE TABLE doomed (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('database', 'role')),
    name text NOT NULL
);
