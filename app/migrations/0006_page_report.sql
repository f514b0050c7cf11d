-- What each page of a document is: ranges of pages with text, images, unreadable fonts and damaged
-- content, and the attached files. `unreadable_pages` lists the pages whose text may be missing.
ALTER TABLE documents ADD COLUMN page_report jsonb NOT NULL DEFAULT '{}';
