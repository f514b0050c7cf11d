-- Questions and their answers, and what retrieval needs to spend nothing twice.

-- Of the chunk's text: vectors that some chunk of the same text already has are taken from there. Filled by whoever writes the chunk.
ALTER TABLE chunks ADD COLUMN content_sha256 bytea CHECK (octet_length(content_sha256) = 32);
CREATE INDEX chunks_content ON chunks (content_sha256);

-- Vectors of a document that is still being read, so that a worker that dies pays for none of them again. They go when the
-- document is stored, and when it is removed.
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
    -- The first question, shortened, until somebody renames it.
    title      text        NOT NULL CHECK (char_length(title) BETWEEN 1 AND 200),
    -- The user who began it, as the application knows them.
    created_by uuid        NOT NULL,
    -- Questions go to this document alone; NULL: to all. No reference: a document that is removed leaves the thread to be read, and
    -- what was asked of it is not asked of all others from then on.
    document_id uuid,
    -- What it was called when the thread began, for when it is gone.
    document_title text    CHECK (char_length(document_title) BETWEEN 1 AND 500),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX threads_newest ON threads (updated_at DESC, id);

CREATE TABLE messages (
    id         uuid        PRIMARY KEY,
    thread_id  uuid        NOT NULL REFERENCES threads ON DELETE CASCADE,
    -- From 0 within the thread: a question, its answer, the next question.
    ordinal    integer     NOT NULL CHECK (ordinal >= 0),
    author     text        NOT NULL CHECK (author IN ('person', 'model', 'extracts')),
    -- 'pending' is an answer that was asked for and has not begun or not ended: whoever opens its stream takes it up.
    state      text        NOT NULL CHECK (state IN ('pending', 'complete', 'stopped', 'failed', 'not_found')),
    text       text        NOT NULL DEFAULT '',
    -- What the answer was given to read, and which of it it cites:
    -- [{"number": 1, "document": "...", "title": "...", "page": 3, "page_from": 3, "page_to": 4, "cited": true, "quote": "..."}, ...]
    citations  jsonb       NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(citations) = 'array'),
    -- The model that wrote it; NULL for people and extracts.
    model      text,
    -- Why it 'failed': one of the reasons that the product knows words for.
    failure    text,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Who writes a pending answer, and until when that is believed without a new sign of life. One writer at a time.
    claimed_by uuid,
    claimed_until timestamptz,
    -- How often somebody began to write it.
    takes      integer     NOT NULL DEFAULT 0,
    CHECK ((state = 'failed') = (failure IS NOT NULL)),
    UNIQUE (thread_id, ordinal)
);
-- How many are being written now.
CREATE INDEX messages_pending ON messages (thread_id) WHERE state = 'pending';
-- Whose quotes go when a document is removed.
CREATE INDEX messages_citations ON messages USING gin (citations jsonb_path_ops);
