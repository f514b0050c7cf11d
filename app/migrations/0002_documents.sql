-- Documents: upload, ingestion state and metadata. Their text, chunks and vectors are stored only
-- in the tenant's database.

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
    -- Uploads that have not arrived by this time fail.
    upload_deadline timestamptz    NOT NULL,
    uploaded_by     uuid           REFERENCES users ON DELETE SET NULL,
    -- Incremented when the document is processed again; jobs for an older revision stop.
    revision        integer        NOT NULL DEFAULT 1,
    -- Identifies the worker that processes the document. Writes with an older claim, from a worker
    -- that was considered dead, are rejected.
    claim           uuid,
    -- Progress while 'working': the step and its percentage.
    step            text           CHECK (step IN ('fetch', 'extract', 'chunk', 'embed', 'store')),
    percent         smallint       CHECK (percent BETWEEN 0 AND 100),
    -- While waiting for a retry: the transient error and the time of the retry.
    blocked_on      text,
    retry_at        timestamptz,
    -- Code of the error, while 'failed'.
    failure         text,
    page_count      integer,
    chunk_count     integer,
    created_at      timestamptz    NOT NULL DEFAULT now(),
    updated_at      timestamptz    NOT NULL DEFAULT now(),
    -- A file can be uploaded again while its previous document is being deleted.
    CHECK ((state = 'failed') = (failure IS NOT NULL))
);
CREATE UNIQUE INDEX documents_content ON documents (workspace_id, content_sha256) WHERE state <> 'deleting';
CREATE INDEX documents_newest ON documents (workspace_id, created_at DESC, id);
CREATE INDEX documents_deadline ON documents (upload_deadline) WHERE state = 'uploading';
