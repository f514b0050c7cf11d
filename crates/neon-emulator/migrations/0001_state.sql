-- The emulator's state. Times are microseconds since the Unix epoch (UTC), because the emulator's
-- clock may differ from PostgreSQL's.

CREATE TABLE meta (
    key text PRIMARY KEY,
    value text NOT NULL
);

-- Lists are ordered by `number`: a new project comes last, so it cannot be missed by pages that
-- were already read.
CREATE TABLE projects (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    name text NOT NULL,
    org_id text,
    region_id text NOT NULL,
    pg_version integer NOT NULL,
    provisioner text NOT NULL,
    store_passwords boolean NOT NULL,
    history_retention_seconds bigint NOT NULL,
    settings jsonb NOT NULL,
    default_endpoint_settings jsonb NOT NULL,
    created_at_us bigint NOT NULL,
    updated_at_us bigint NOT NULL,
    -- When the last operation ends. Until then the project is locked.
    busy_until_us bigint NOT NULL DEFAULT 0,
    last_active_us bigint,
    connections_opened bigint NOT NULL DEFAULT 0,
    deleted_at_us bigint
);
CREATE INDEX projects_alive ON projects (number) WHERE deleted_at_us IS NULL;
CREATE INDEX projects_deleted ON projects (deleted_at_us) WHERE deleted_at_us IS NOT NULL;

CREATE TABLE branches (
    id text PRIMARY KEY,
    project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name text NOT NULL,
    is_default boolean NOT NULL,
    ready_at_us bigint NOT NULL,
    created_at_us bigint NOT NULL,
    updated_at_us bigint NOT NULL
);
CREATE INDEX branches_of_project ON branches (project_id);

CREATE TABLE endpoints (
    id text PRIMARY KEY,
    project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    branch_id text NOT NULL REFERENCES branches (id) ON DELETE CASCADE,
    name text,
    min_cu double precision NOT NULL,
    max_cu double precision NOT NULL,
    suspend_timeout_seconds bigint NOT NULL,
    disabled boolean NOT NULL DEFAULT false,
    passwordless_access boolean NOT NULL DEFAULT true,
    settings jsonb NOT NULL,
    -- When the start of the compute ends. Until then connections wait.
    ready_at_us bigint NOT NULL,
    last_active_us bigint,
    created_at_us bigint NOT NULL,
    updated_at_us bigint NOT NULL
);
CREATE INDEX endpoints_of_project ON endpoints (project_id);
CREATE INDEX endpoints_of_branch ON endpoints (branch_id);

-- A reset stores the new password immediately, together with the time when it becomes valid.
-- `applied_password` is the password in PostgreSQL.
CREATE TABLE roles (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    branch_id text NOT NULL REFERENCES branches (id) ON DELETE CASCADE,
    name text NOT NULL,
    password text NOT NULL,
    old_password text,
    password_valid_from_us bigint NOT NULL DEFAULT 0,
    applied_password text,
    created_at_us bigint NOT NULL,
    updated_at_us bigint NOT NULL,
    UNIQUE (branch_id, name)
);
CREATE INDEX roles_of_project ON roles (project_id);

CREATE TABLE databases (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    branch_id text NOT NULL REFERENCES branches (id) ON DELETE CASCADE,
    name text NOT NULL,
    owner_name text NOT NULL,
    -- When the physical database was created: at the first connection.
    provisioned_at_us bigint,
    created_at_us bigint NOT NULL,
    updated_at_us bigint NOT NULL,
    UNIQUE (branch_id, name)
);
CREATE INDEX databases_of_project ON databases (project_id);

-- The status of an operation is derived from these times, so it stays correct across restarts.
CREATE TABLE operations (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    branch_id text,
    endpoint_id text,
    action text NOT NULL,
    created_at_us bigint NOT NULL,
    starts_at_us bigint NOT NULL,
    -- From this time the operation is `failed`, until it succeeds on a retry or, if `fatal`, ends
    -- as `error`.
    fails_at_us bigint,
    ends_at_us bigint NOT NULL,
    fatal boolean NOT NULL DEFAULT false,
    error text
);
CREATE INDEX operations_of_project ON operations (project_id, number DESC);

-- Tests search for these passwords wherever no password may appear. The rows outlive the projects.
CREATE TABLE issued_passwords (
    password text PRIMARY KEY,
    issued_at_us bigint NOT NULL
);
