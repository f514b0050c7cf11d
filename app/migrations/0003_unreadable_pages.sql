-- Numbers of the damaged pages of a document, in order. At most as many as a document may have
-- pages.
ALTER TABLE documents ADD COLUMN unreadable_pages integer[] NOT NULL DEFAULT '{}';
