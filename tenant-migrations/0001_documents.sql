-- Documents, their text in chunks, and vectors over the chunks.

CREATE EXTENSION IF NOT EXISTS vector;

-- One row for each file that can be searched. It is written together with its chunks and says nothing of work under way:
-- a document that is half read is not here yet.
CREATE TABLE documents (
    -- Given by whoever keeps the file, so that both sides name it alike.
    id             uuid        PRIMARY KEY,
    file_name      text        NOT NULL CHECK (char_length(file_name) BETWEEN 1 AND 255),
    -- What people call it: changed by renaming, while file_name stays what was uploaded.
    title          text        NOT NULL CHECK (char_length(title) BETWEEN 1 AND 500),
    media_type     text        NOT NULL CHECK (media_type LIKE '_%/_%'),
    byte_count     bigint      NOT NULL CHECK (byte_count > 0),
    -- Of the file's bytes. Unique: the same file is kept once, whatever its name.
    content_sha256 bytea       NOT NULL UNIQUE CHECK (octet_length(content_sha256) = 32),
    page_count     integer     NOT NULL CHECK (page_count > 0),
    -- Version of the rules that made the text and the chunks. Other rules, other chunks: such documents are read again.
    chunking       integer     NOT NULL CHECK (chunking > 0),
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);

-- The document list, newest first; the id makes pages of it stable.
CREATE INDEX documents_newest ON documents (created_at DESC, id);

-- Passages of a document, in reading order.
CREATE TABLE chunks (
    -- Derived from document, chunking and ordinal by whoever writes it: writing a document again gives the same ids, and
    -- vectors can be copied in beside their chunks without asking for ids first.
    id          uuid     PRIMARY KEY,
    document_id uuid     NOT NULL REFERENCES documents ON DELETE CASCADE,
    -- From 0, without gaps: neighbours are ordinal - 1 and ordinal + 1.
    ordinal     integer  NOT NULL CHECK (ordinal >= 0),
    -- First and last page, from 1.
    page_from   integer  NOT NULL CHECK (page_from > 0),
    page_to     integer  NOT NULL,
    -- Where the passage begins in the document's text, in characters.
    char_offset integer  NOT NULL CHECK (char_offset >= 0),
    text        text     NOT NULL CHECK (text <> ''),
    -- In the tokens of the model that the chunks were measured for.
    token_count integer  NOT NULL CHECK (token_count > 0),
    -- Where it stands on its pages, to mark it: [{"page": 1, "x": 0, "y": 0, "width": 1, "height": 1}, ...] in points from
    -- the top left. Empty when the place of the words is not known.
    boxes       jsonb    NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(boxes) = 'array'),
    -- 'simple' splits and folds case and does no more. Stemming needs to know the language, and documents come in many: the
    -- wrong stemmer and its stop words lose exactly what full text is here for, names, numbers and codes. Meaning is
    -- what the vectors are for.
    search      tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED,
    CHECK (page_to >= page_from),
    -- Also the index by document: its chunks in order, the neighbours of one, the cascade.
    UNIQUE (document_id, ordinal)
);

CREATE INDEX chunks_search ON chunks USING gin (search);

-- Vectors, apart from the chunks, so that a new model's can be made while the old ones serve.
CREATE TABLE chunk_embeddings (
    chunk_id  uuid   NOT NULL REFERENCES chunks ON DELETE CASCADE,
    -- The embedding model, with all that changes its vectors, such as 'text-embedding-3-small'.
    model     text   NOT NULL CHECK (model <> ''),
    -- Without a dimension, since models differ. An index is made by the application once exact search becomes slow, for one
    -- model and cast to its dimension: ... USING hnsw ((embedding::vector(384)) vector_cosine_ops) WHERE model = '...'.
    -- That index then also refuses vectors of another dimension.
    embedding vector NOT NULL,
    -- Chunk first: retrieval within documents goes from their chunks to the vectors.
    PRIMARY KEY (chunk_id, model)
);
