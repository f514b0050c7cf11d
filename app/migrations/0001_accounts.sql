-- Users, their sessions, and the workspaces they share. Document content is never stored in this
-- database.

CREATE TABLE users (
    id             uuid        PRIMARY KEY,
    display_name   text        NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 200),
    -- As reported by the identity provider. For display only, verified or not.
    email          text        CHECK (char_length(email) <= 320),
    email_verified boolean     NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT now(),
    -- Set when the account's deletion is requested; its sessions are invalid from then on.
    deleting_since timestamptz
);

-- A user's identity at an OIDC issuer: the issuer and its subject identifier, and nothing else.
CREATE TABLE identities (
    issuer     text        NOT NULL,
    subject    text        NOT NULL,
    user_id    uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_user ON identities (user_id);

-- The cookie holds a random token and this table its hash, so read access to the table does not
-- allow anyone to sign in.
CREATE TABLE sessions (
    token_sha256 bytea       PRIMARY KEY CHECK (octet_length(token_sha256) = 32),
    -- Identifies the session on the account page, where it can be ended.
    id           uuid        NOT NULL UNIQUE,
    user_id      uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    user_agent   text        NOT NULL DEFAULT '' CHECK (char_length(user_agent) <= 400)
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Sign-ins between the redirect to the issuer and its response.
CREATE TABLE sign_ins (
    state_sha256  bytea       PRIMARY KEY CHECK (octet_length(state_sha256) = 32),
    -- Binds the response to the browser that started the sign-in: the hash of a separate cookie.
    browser_sha256 bytea      NOT NULL CHECK (octet_length(browser_sha256) = 32),
    nonce         text        NOT NULL,
    pkce_verifier text        NOT NULL,
    return_to     text        NOT NULL,
    expires_at    timestamptz NOT NULL
);
CREATE INDEX sign_ins_expiry ON sign_ins (expires_at);

CREATE TYPE workspace_state AS ENUM (
    'creating',   -- the row exists; the Tenant may not exist yet
    'active',     -- the Tenant was applied; if it is missing from now on, it was deleted and is not recreated
    'deleting'
);

CREATE TABLE workspaces (
    -- Twelve lower-case letters and digits; also part of the Tenant's name and the S3 prefix.
    id              text            PRIMARY KEY CHECK (id ~ '^[a-z0-9]{12}$'),
    name            text            NOT NULL CHECK (char_length(name) BETWEEN 1 AND 80),
    -- The user whose personal workspace this is. A user has at most one.
    personal_of     uuid            UNIQUE REFERENCES users ON DELETE SET NULL,
    -- Key of the submitted form, so that submitting it twice creates one workspace.
    request_id      uuid            NOT NULL,
    class_name      text            NOT NULL,
    -- Requested region of the database; NULL means the class's default.
    region          text,
    state           workspace_state NOT NULL DEFAULT 'creating',
    -- UID of the applied Tenant. A Tenant of the same name with another UID does not belong to the
    -- workspace.
    tenant_uid      text,
    -- The embedding model whose vectors are searched; NULL until the first document is stored.
    embedding_model text,
    created_by      uuid            REFERENCES users ON DELETE SET NULL,
    created_at      timestamptz     NOT NULL DEFAULT now(),
    -- When the database first became available.
    available_at    timestamptz,
    -- Also used to list the workspaces that a user created.
    UNIQUE (created_by, request_id)
);
-- Only a few workspaces are in this state at any time.
CREATE INDEX workspaces_unfinished ON workspaces (created_at, id) WHERE state = 'creating';

CREATE TYPE member_role AS ENUM ('owner', 'member');

CREATE TABLE members (
    workspace_id text        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    user_id      uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    role         member_role NOT NULL,
    joined_at    timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, user_id)
);
CREATE INDEX members_user ON members (user_id, last_seen_at DESC);

CREATE TABLE invitations (
    id           uuid        PRIMARY KEY,
    workspace_id text        NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    -- Hash of the token in the link.
    token_sha256 bytea       NOT NULL UNIQUE CHECK (octet_length(token_sha256) = 32),
    role         member_role NOT NULL DEFAULT 'member',
    created_by   uuid        REFERENCES users ON DELETE SET NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    -- An invitation can be accepted once.
    accepted_by  uuid        REFERENCES users ON DELETE SET NULL,
    accepted_at  timestamptz
);
CREATE INDEX invitations_workspace ON invitations (workspace_id);

CREATE TYPE deletion_kind AS ENUM ('workspace', 'account');

-- Deletions in progress, and receipts of finished ones. A receipt outlives what was deleted, so it
-- references no other table.
CREATE TABLE deletions (
    id            uuid         PRIMARY KEY,
    kind          deletion_kind NOT NULL,
    -- Id of the workspace or user, as text.
    subject       text         NOT NULL,
    -- The account's deletion that this workspace's deletion is part of.
    parent_id     uuid,
    -- Hash of the token in the receipt's URL.
    token_sha256  bytea        NOT NULL UNIQUE CHECK (octet_length(token_sha256) = 32),
    -- The next step, and counts of what was deleted; numbers, times and ids only.
    progress      jsonb        NOT NULL DEFAULT '{}',
    requested_at  timestamptz  NOT NULL DEFAULT now(),
    finished_at   timestamptz
);
CREATE INDEX deletions_parent ON deletions (parent_id) WHERE parent_id IS NOT NULL;
-- At most one deletion of the same subject is in progress.
CREATE UNIQUE INDEX deletions_open ON deletions (kind, subject) WHERE finished_at IS NULL;
