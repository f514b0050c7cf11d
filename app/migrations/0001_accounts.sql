-- People, their sessions, and the workspaces they share. Nothing that a document says stands in this database.

CREATE TABLE users (
    id             uuid        PRIMARY KEY,
    display_name   text        NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 200),
    -- As the issuer said it. Shown to people; trusted for nothing, verified or not.
    email          text        CHECK (char_length(email) <= 320),
    email_verified boolean     NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT now(),
    -- Set when the account is being removed: no session is good any more.
    deleting_since timestamptz
);

-- Who somebody is: the issuer's word for them, and nothing else.
CREATE TABLE identities (
    issuer     text        NOT NULL,
    subject    text        NOT NULL,
    user_id    uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_user ON identities (user_id);

-- The cookie holds a random token, this table its hash: who reads the table cannot sign in with it.
CREATE TABLE sessions (
    token_sha256 bytea       PRIMARY KEY CHECK (octet_length(token_sha256) = 32),
    -- Names the session on the account page, where it can be ended.
    id           uuid        NOT NULL UNIQUE,
    user_id      uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    user_agent   text        NOT NULL DEFAULT '' CHECK (char_length(user_agent) <= 400)
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Sign-ins under way: between the redirect to the issuer and its answer.
CREATE TABLE sign_ins (
    state_sha256  bytea       PRIMARY KEY CHECK (octet_length(state_sha256) = 32),
    -- Ties the answer to the browser that asked: the hash of a cookie of its own.
    browser_sha256 bytea      NOT NULL CHECK (octet_length(browser_sha256) = 32),
    nonce         text        NOT NULL,
    pkce_verifier text        NOT NULL,
    return_to     text        NOT NULL,
    expires_at    timestamptz NOT NULL
);
CREATE INDEX sign_ins_expiry ON sign_ins (expires_at);

CREATE TYPE workspace_state AS ENUM (
    'creating',   -- the row is there; the Tenant may not be
    'active',     -- the Tenant was applied; from then on its absence is news, and never a reason to make it again
    'deleting'
);

CREATE TABLE workspaces (
    -- Twelve letters and digits; also the end of the Tenant's name and of the objects' prefix.
    id              text            PRIMARY KEY CHECK (id ~ '^[a-z0-9]{12}$'),
    name            text            NOT NULL CHECK (char_length(name) BETWEEN 1 AND 80),
    -- The user whose first sign-in made it: a user has one personal workspace, however often they click.
    personal_of     uuid            UNIQUE REFERENCES users ON DELETE SET NULL,
    -- A form's own key: sending the form twice makes one workspace.
    request_id      uuid            NOT NULL,
    class_name      text            NOT NULL,
    -- Where the database is to be; NULL is the class's default.
    region          text,
    state           workspace_state NOT NULL DEFAULT 'creating',
    -- Of the Tenant that was applied: another Tenant of that name is not ours.
    tenant_uid      text,
    -- Whose vectors serve questions; NULL until the first document is stored.
    embedding_model text,
    created_by      uuid            REFERENCES users ON DELETE SET NULL,
    created_at      timestamptz     NOT NULL DEFAULT now(),
    -- When the database was first seen to be there: how long it took is told from this.
    available_at    timestamptz,
    -- Also how a user's workspaces are counted.
    UNIQUE (created_by, request_id)
);
-- Workspaces that stopped half way are few among many.
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
    -- The link holds the token; this is its hash.
    token_sha256 bytea       NOT NULL UNIQUE CHECK (octet_length(token_sha256) = 32),
    role         member_role NOT NULL DEFAULT 'member',
    created_by   uuid        REFERENCES users ON DELETE SET NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    -- A link lets one person in.
    accepted_by  uuid        REFERENCES users ON DELETE SET NULL,
    accepted_at  timestamptz
);
CREATE INDEX invitations_workspace ON invitations (workspace_id);

CREATE TYPE deletion_kind AS ENUM ('workspace', 'account');

-- What is being taken away, how far it came, and in the end the receipt. It outlives what it removes, so it refers to nothing.
CREATE TABLE deletions (
    id            uuid         PRIMARY KEY,
    kind          deletion_kind NOT NULL,
    -- The workspace's or the user's id, as text.
    subject       text         NOT NULL,
    -- Of an account's removal, that this workspace goes with.
    parent_id     uuid,
    -- The page that shows it holds the token.
    token_sha256  bytea        NOT NULL UNIQUE CHECK (octet_length(token_sha256) = 32),
    -- Steps done so far and what each removed; numbers and times only.
    progress      jsonb        NOT NULL DEFAULT '{}',
    requested_at  timestamptz  NOT NULL DEFAULT now(),
    finished_at   timestamptz
);
CREATE INDEX deletions_parent ON deletions (parent_id) WHERE parent_id IS NOT NULL;
-- A second request for the same thing finds the first.
CREATE UNIQUE INDEX deletions_open ON deletions (kind, subject) WHERE finished_at IS NULL;
