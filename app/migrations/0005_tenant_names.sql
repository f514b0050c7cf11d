-- The name that the workspace's Tenant was last given. Where it is another than the workspace's own, the Tenant is to be renamed.
ALTER TABLE workspaces ADD COLUMN tenant_display_name text;
DROP INDEX workspaces_unfinished;
-- Workspaces whose Tenant is not applied, or not as it should be, are few among many.
CREATE INDEX workspaces_unapplied ON workspaces (state, created_at, id)
    WHERE state = 'creating' OR (state = 'active' AND tenant_display_name IS DISTINCT FROM name);
