-- The messages for users about pages that could not be read: {"summary": "...", "warnings": ["...", ...]}, or the JSON value null if
-- all pages were read. Lists read it instead of `page_report`, which can be large. SQL NULL: the document was ingested by an
-- earlier version.
ALTER TABLE documents ADD COLUMN page_summary jsonb;
