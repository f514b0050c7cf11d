-- The embedding models that running processes are configured with. All processes migrate workspaces
-- to the model added last, so that processes with different models do not undo each other's work.
CREATE TABLE embedding_models (
    model   text        PRIMARY KEY,
    -- When the model was first seen, or seen again after its row was deleted.
    came_at timestamptz NOT NULL DEFAULT now(),
    -- When a process last reported the model.
    seen_at timestamptz NOT NULL DEFAULT now()
);
-- When `embedding_model` was last switched; the previous model's vectors are kept for a while after
-- that.
ALTER TABLE workspaces ADD COLUMN embedding_model_since timestamptz;
