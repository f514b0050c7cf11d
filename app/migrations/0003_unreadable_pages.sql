-- A document that was read in part: the numbers of its damaged pages, in order. Bounded by the pages that a document may have.
ALTER TABLE documents ADD COLUMN unreadable_pages integer[] NOT NULL DEFAULT '{}';
