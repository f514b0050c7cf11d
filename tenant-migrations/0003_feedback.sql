-- What users think of answers, and who stopped an answer.

-- At most one rating of an answer by each user.
CREATE TABLE message_feedback (
    message_id uuid        NOT NULL REFERENCES messages ON DELETE CASCADE,
    -- The application's id of the user.
    user_id    uuid        NOT NULL,
    rating     text        NOT NULL CHECK (rating IN ('good', 'bad')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (message_id, user_id)
);

-- The application's id of the user who stopped the answer; NULL if it was not stopped, or before
-- this was recorded.
ALTER TABLE messages ADD COLUMN stopped_by uuid;
