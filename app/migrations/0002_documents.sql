-- Files on their way into a workspace's database: what was promised, what arrived, how far reading it came. Their text, chunks and
-- vectors are in the tenant's database and nowhere else.

CREATE TYPE document_state AS ENUM ('uploading', 'queued', 'working', 'ready', 'failed', 'deleting');

CREATE TABLE documents (
    id              uuid           PRIMARY KEY,
    workspace_id    text           NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    file_name       text           NOT NULL CHECK (char_length(file_name) BETWEEN 1 AND 255),
    title           text           NOT NULL CHECK (char_length(title) BETWEEN 1 AND 500),
    media_type      text           NOT NULL,
    byte_count      bigint         NOT NULL CHECK (byte_count > 0),
    content_sha256  bytea          NOT NULL CHECK (octet_length(content_sha256) = 32),
    state           document_state NOT NULL,
    -- Until when the file has to have arrived.
    upload_deadline timestamptz    NOT NULL,
    uploaded_by     uuid           REFERENCES users ON DELETE SET NULL,
    -- Counts the readings that were asked for; work for an older one stops.
    revision        integer        NOT NULL DEFAULT 1,
    -- Of the worker that reads it now: what an earlier one, taken for dead, still writes is refused.
    claim           uuid,
    -- While 'working': which step, and how much of it.
    step            text           CHECK (step IN ('fetch', 'extract', 'chunk', 'embed', 'store')),
    percent         smallint       CHECK (percent BETWEEN 0 AND 100),
    -- While waiting to try again: what went wrong, and when it goes on.
    blocked_on      text,
    retry_at        timestamptz,
    -- Why it 'failed': one of the reasons that the product knows words for.
    failure         text,
    page_count      integer,
    chunk_count     integer,
    created_at      timestamptz    NOT NULL DEFAULT now(),
    updated_at      timestamptz    NOT NULL DEFAULT now(),
    -- The same file is kept once; while it is being removed it can be brought anew.
    CHECK ((state = 'failed') = (failure IS NOT NULL))
);
CREATE UNIQUE INDEX documents_content ON documents (workspace_id, content_sha256) WHERE state <> 'deleting';
CREATE INDEX documents_newest ON documents (workspace_id, created_at DESC, id);
CREATE INDEX documents_deadline ON documents (upload_deadline) WHERE state = 'uploading';
