//! Requests that create or update projects.

use serde::{Deserialize, Serialize};

use super::setters;
use crate::{
    ids::{DatabaseName, OrgId, RegionId, RoleName},
    model::{ComputeUnits, DefaultEndpointSettings, ProjectSettings},
};

/// Maximum length of a project name, in characters.
pub const MAX_PROJECT_NAME_CHARS: usize = 256;

/// Creates a project. Neon chooses the fields that are `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateProject {
    /// Name. Names are not unique: two requests with the same name create two projects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Organization that the project belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org_id: Option<OrgId>,
    /// Region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region_id: Option<RegionId>,
    /// PostgreSQL major version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pg_version: Option<u16>,
    /// Names of the first branch and of its role and database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<FirstBranch>,
    /// Settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<ProjectSettings>,
    /// Default settings of computes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_endpoint_settings: Option<DefaultEndpointSettings>,
    /// Minimum size of the first compute. Older form of the field in `default_endpoint_settings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_min_cu: Option<ComputeUnits>,
    /// Maximum size of the first compute. Older form of the field in `default_endpoint_settings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_max_cu: Option<ComputeUnits>,
    /// Restore window in seconds, at most 2,592,000 (30 days).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_retention_seconds: Option<u32>,
    /// Whether Neon stores the roles' passwords, so that they can be revealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_passwords: Option<bool>,
    /// Provisioner of the computes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioner: Option<String>,
}

impl CreateProject {
    /// Creates a project with this name. Neon chooses everything else.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::default()
        }
    }
}

/// First branch of a new project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FirstBranch {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Role that owns the first database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_name: Option<RoleName>,
    /// Name of the first database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_name: Option<DatabaseName>,
}

/// Updates a project. Fields that are `None` are not changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateProject {
    /// New name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New settings. Settings that are not set are not changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<ProjectSettings>,
    /// Default settings of new computes. Existing computes keep theirs; update them with
    /// [`UpdateEndpoint`](crate::model::UpdateEndpoint).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_endpoint_settings: Option<DefaultEndpointSettings>,
    /// Restore window in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_retention_seconds: Option<u32>,
}

setters!(CreateProject {
    name: String,
    org_id: OrgId,
    region_id: RegionId,
    pg_version: u16,
    branch: FirstBranch,
    settings: ProjectSettings,
    default_endpoint_settings: DefaultEndpointSettings,
    history_retention_seconds: u32,
    store_passwords: bool,
});

setters!(FirstBranch {
    name: String,
    role_name: RoleName,
    database_name: DatabaseName,
});

setters!(UpdateProject {
    name: String,
    settings: ProjectSettings,
    default_endpoint_settings: DefaultEndpointSettings,
    history_retention_seconds: u32,
});
