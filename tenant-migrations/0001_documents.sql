-- Documents, their text in chunks, and the embeddings of the chunks.

CREATE EXTENSION IF NOT EXISTS vector;

-- One row per searchable file, written together with its chunks. A document that is still being
-- processed has no row.
CREATE TABLE documents (
    -- Assigned by the application that stores the file, so that both databases use the same id.
    id             uuid        PRIMARY KEY,
    file_name      text        NOT NULL CHECK (char_length(file_name) BETWEEN 1 AND 255),
    -- Display name. Renaming changes it; file_name stays as uploaded.
    title          text        NOT NULL CHECK (char_length(title) BETWEEN 1 AND 500),
    media_type     text        NOT NULL CHECK (media_type LIKE '_%/_%'),
    byte_count     bigint      NOT NULL CHECK (byte_count > 0),
    -- SHA-256 of the file. Unique, so that the same file is stored once whatever its name.
    content_sha256 bytea       NOT NULL UNIQUE CHECK (octet_length(content_sha256) = 32),
    page_count     integer     NOT NULL CHECK (page_count > 0),
    -- Version of the text extraction and chunking rules. Documents with an older version are
    -- processed again.
    chunking       integer     NOT NULL CHECK (chunking > 0),
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);

-- For the document list, newest first. The id makes pagination stable.
CREATE INDEX documents_newest ON documents (created_at DESC, id);

-- Passages of a document, in reading order.
CREATE TABLE chunks (
    -- Derived by the application from document, chunking version and ordinal. Storing a document
    -- again produces the same ids, and vectors can be copied in together with their chunks without
    -- querying ids first.
    id          uuid     PRIMARY KEY,
    document_id uuid     NOT NULL REFERENCES documents ON DELETE CASCADE,
    -- From 0 without gaps, so the neighbors are ordinal - 1 and ordinal + 1.
    ordinal     integer  NOT NULL CHECK (ordinal >= 0),
    -- First and last page, from 1.
    page_from   integer  NOT NULL CHECK (page_from > 0),
    page_to     integer  NOT NULL,
    -- Offset of the passage in the document's text, in characters.
    char_offset integer  NOT NULL CHECK (char_offset >= 0),
    text        text     NOT NULL CHECK (text <> ''),
    -- In tokens of the model whose limit the chunking respects.
    token_count integer  NOT NULL CHECK (token_count > 0),
    -- Positions on the pages, for highlighting: [{"page": 1, "x": 0, "y": 0, "width": 1, "height":
    -- 1}, ...] in points from the top left corner. Empty if the positions are unknown.
    boxes       jsonb    NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(boxes) = 'array'),
    -- 'simple' only splits words and folds case. Stemming depends on the language, and documents
    -- come in many: the wrong stemmer and stop words would lose names, numbers and codes, which are
    -- the main purpose of full-text search here. The vectors cover meaning.
    search      tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED,
    CHECK (page_to >= page_from),
    -- Also serves lookups by document: its chunks in order, neighbors, and the cascading delete.
    UNIQUE (document_id, ordinal)
);

CREATE INDEX chunks_search ON chunks USING gin (search);

-- Embeddings, separate from the chunks, so that vectors of a new model can be created while the old
-- ones are in use.
CREATE TABLE chunk_embeddings (
    chunk_id  uuid   NOT NULL REFERENCES chunks ON DELETE CASCADE,
    -- The embedding model, including everything that affects its vectors, such as
    -- 'text-embedding-3-small'.
    model     text   NOT NULL CHECK (model <> ''),
    -- Without a fixed dimension, because models differ. The application creates an index once exact
    -- search becomes slow, for one model and cast to its dimension: ... USING hnsw
    -- ((embedding::vector(384)) vector_cosine_ops) WHERE model = '...'. Such an index also rejects
    -- vectors of another dimension.
    embedding vector NOT NULL,
    -- Chunk first, because retrieval within documents starts from their chunks.
    PRIMARY KEY (chunk_id, model)
);
