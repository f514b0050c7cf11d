//! Calls used by the tests, with the responses of their success: one call that is idempotent, and
//! two that are not, with and without a body.

use neon_client::{
    Error, Neon,
    model::{CreateProject, CreatedProject, Project, RoleOperations},
};
use serde_json::{Value, json};

use crate::support::Reply;

pub(crate) const AT: &str = "2026-02-03T04:05:06Z";

pub(crate) fn project() -> Value {
    json!({"id": "calm-sea-1", "name": "tenant-1", "region_id": "aws-eu-central-1", "pg_version": 18, "created_at": AT, "updated_at": AT})
}

pub(crate) fn project_response() -> Reply {
    Reply::json(200, &json!({"project": project()}))
}

pub(crate) fn created_response() -> Reply {
    let branch = json!({"id": "br-a-1", "project_id": "calm-sea-1", "name": "main", "current_state": "init", "created_at": AT, "updated_at": AT});
    Reply::json(201, &json!({"project": project(), "branch": branch}))
}

pub(crate) fn password_reset_response() -> Reply {
    let role = json!({"branch_id": "br-a-1", "name": "neondb_owner", "password": "npg_new", "created_at": AT, "updated_at": AT});
    Reply::json(200, &json!({"role": role, "operations": []}))
}

pub(crate) async fn get(neon: &Neon) -> Result<Project, Error> {
    let project = "calm-sea-1".parse().unwrap();
    neon.projects().get(&project).send().await
}

pub(crate) async fn create(neon: &Neon) -> Result<CreatedProject, Error> {
    let project = CreateProject::named("tenant-1");
    neon.projects().create(project).send().await
}

pub(crate) async fn reset_password(neon: &Neon) -> Result<RoleOperations, Error> {
    let (project, branch) = ("calm-sea-1".parse().unwrap(), "br-a-1".parse().unwrap());
    let role = "neondb_owner".parse().unwrap();
    neon.roles(&project, &branch)
        .reset_password(&role)
        .send()
        .await
}
