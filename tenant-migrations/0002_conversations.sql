-- Questions and answers, and data that saves repeated calls to the embedding model.

-- SHA-256 of the chunk's text, set by the application. Vectors of a chunk with the same text are
-- reused.
ALTER TABLE chunks ADD COLUMN content_sha256 bytea CHECK (octet_length(content_sha256) = 32);
CREATE INDEX chunks_content ON chunks (content_sha256);

-- Vectors of documents that are still being processed, so that a retry does not pay for them again.
-- Deleted when the document is stored or deleted.
CREATE TABLE embedding_drafts (
    document_id    uuid        NOT NULL,
    model          text        NOT NULL CHECK (model <> ''),
    content_sha256 bytea       NOT NULL CHECK (octet_length(content_sha256) = 32),
    embedding      vector      NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (document_id, model, content_sha256)
);

CREATE TABLE threads (
    id         uuid        PRIMARY KEY,
    -- The first question, shortened, unless it was renamed.
    title      text        NOT NULL CHECK (char_length(title) BETWEEN 1 AND 200),
    -- The application's id of the user who started it.
    created_by uuid        NOT NULL,
    -- Limits questions to this document; NULL means all documents. Not a foreign key: when the
    -- document is deleted, the conversation is kept, and its questions must not be extended to all
    -- other documents.
    document_id uuid,
    -- The document's title when the conversation was started, shown after the document was deleted.
    document_title text    CHECK (char_length(document_title) BETWEEN 1 AND 500),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX threads_newest ON threads (updated_at DESC, id);

CREATE TABLE messages (
    id         uuid        PRIMARY KEY,
    thread_id  uuid        NOT NULL REFERENCES threads ON DELETE CASCADE,
    -- Position in the conversation, from 0: a question, its answer, the next question.
    ordinal    integer     NOT NULL CHECK (ordinal >= 0),
    author     text        NOT NULL CHECK (author IN ('person', 'model', 'extracts')),
    -- 'pending' is an answer that has not started or not ended. A client that opens its stream
    -- triggers it.
    state      text        NOT NULL CHECK (state IN ('pending', 'complete', 'stopped', 'failed', 'not_found')),
    text       text        NOT NULL DEFAULT '',
    -- The passages given to the model, and which of them the answer cites:
    -- [{"number": 1, "document": "...", "title": "...", "page": 3, "page_from": 3, "page_to": 4, "cited": true, "quote": "..."}, ...]
    citations  jsonb       NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(citations) = 'array'),
    -- The model that generated the answer; NULL for questions and excerpts.
    model      text,
    -- Code of the error, while 'failed'.
    failure    text,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- The process that generates a pending answer, and until when its claim is valid without a
    -- renewal. One process at a time.
    claimed_by uuid,
    claimed_until timestamptz,
    -- Number of attempts to generate the answer.
    takes      integer     NOT NULL DEFAULT 0,
    CHECK ((state = 'failed') = (failure IS NOT NULL)),
    UNIQUE (thread_id, ordinal)
);
-- For counting the answers in progress.
CREATE INDEX messages_pending ON messages (thread_id) WHERE state = 'pending';
-- For removing quotes when a document is deleted.
CREATE INDEX messages_citations ON messages USING gin (citations jsonb_path_ops);
