-- Who sees a conversation, deletions that can be undone, pinned conversations, and conversations about several documents.

-- Whether all members see the conversation, or only the user who started it. Until now, all members saw all conversations.
ALTER TABLE threads ADD COLUMN is_shared boolean NOT NULL DEFAULT true;
ALTER TABLE threads ALTER COLUMN is_shared SET DEFAULT false;

-- When it was deleted. It can be restored for some seconds, and then the row is deleted.
ALTER TABLE threads ADD COLUMN deleted_at timestamptz;
CREATE INDEX threads_deleted ON threads (deleted_at) WHERE deleted_at IS NOT NULL;

-- The application's ids of the users who pinned it.
ALTER TABLE threads ADD COLUMN pinned_by uuid[] NOT NULL DEFAULT '{}';

-- The documents to which questions are limited: [{"document": "...", "title": "..."}, ...], of which document_id and
-- document_title are the first. Applications that do not know this column change only those two; the list is then outdated
-- and does not count.
ALTER TABLE threads ADD COLUMN documents jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(documents) = 'array');
