-- The embedding models that processes are configured with: all of them bring workspaces to the one that came last among those that are
-- still there, so that processes with two models do not undo each other's work.
CREATE TABLE embedding_models (
    model   text        PRIMARY KEY,
    -- When it came, or came back after it was forgotten.
    came_at timestamptz NOT NULL DEFAULT now(),
    -- When a process was last seen with it.
    seen_at timestamptz NOT NULL DEFAULT now()
);
-- Since when `embedding_model` serves: the vectors of the one before stay a while longer.
ALTER TABLE workspaces ADD COLUMN embedding_model_since timestamptz;
