-- The display name last set on the workspace's Tenant. If it differs from the workspace's name, the
-- Tenant has to be renamed.
ALTER TABLE workspaces ADD COLUMN tenant_display_name text;
DROP INDEX workspaces_unfinished;
-- Only a few workspaces are waiting for their Tenant to be applied or renamed at any time.
CREATE INDEX workspaces_unapplied ON workspaces (state, created_at, id)
    WHERE state = 'creating' OR (state = 'active' AND tenant_display_name IS DISTINCT FROM name);
