-- Child branches, computes that can be suspended, mutable roles and databases, and usage.

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

-- `suspended_at_us` is set by API calls, by exhausted quotas and by checks of idle computes. If it
-- is NULL, idleness is derived from the last use. The usage before `usage_recorded_us` has been recorded.
ALTER TABLE endpoints
    ADD kind text NOT NULL DEFAULT 'read_write',
    ADD suspended_at_us bigint,
    ADD usage_recorded_us bigint;

-- Physical names, if they cannot be derived from the branch because the object was moved to another
-- branch.
ALTER TABLE roles
    ADD no_login boolean NOT NULL DEFAULT false,
    ADD physical_name text;
ALTER TABLE databases
    ADD physical_name text;

-- Usage per hour. The usage of a billing period is a sum of these rows.
CREATE TABLE usage_hours (
    project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    branch_id text NOT NULL,
    hour_us bigint NOT NULL,
    active_us bigint NOT NULL DEFAULT 0,
    -- Active time multiplied by the compute size in thousandths of a compute unit.
    compute_milli_us numeric NOT NULL DEFAULT 0,
    transferred_bytes bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (project_id, branch_id, hour_us)
);

-- Databases and roles that are no longer reachable. They are dropped after the change that
-- discarded them, or by the next purge.
CREATE TABLE garbage (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('database', 'role')),
    name text NOT NULL
);
