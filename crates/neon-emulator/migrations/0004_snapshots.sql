-- Snapshots. The contents of a snapshot are those of a hidden branch.

ALTER TABLE branches
    ADD is_snapshot boolean NOT NULL DEFAULT false,
    -- The branch that this one, restored from a snapshot, will replace.
    ADD restored_as text;

CREATE TABLE snapshots (
    id text PRIMARY KEY,
    project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    -- The hidden branch.
    branch_id text NOT NULL REFERENCES branches (id) ON DELETE CASCADE,
    name text NOT NULL,
    source_branch_id text NOT NULL,
    full_size bigint NOT NULL,
    created_at_us bigint NOT NULL,
    expires_at_us bigint
);
CREATE INDEX snapshots_of_project ON snapshots (project_id);
CREATE INDEX snapshots_expiring ON snapshots (expires_at_us) WHERE expires_at_us IS NOT NULL;
