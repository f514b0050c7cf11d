//! Projects to be made or changed.

use serde::{Deserialize, Serialize};

use super::setters;
use crate::{
    ids::{DatabaseName, OrgId, RegionId, RoleName},
    model::{ComputeUnits, DefaultEndpointSettings, ProjectSettings},
};

/// The longest name of a project, in characters.
pub const PROJECT_NAME_CHARS_MAX: usize = 256;

/// A project to be made. What is `None` is chosen by the platform.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateProject {
    /// Its name. Names are not unique: two requests with one name make two projects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The organization it shall belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org_id: Option<OrgId>,
    /// Where it shall run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region_id: Option<RegionId>,
    /// PostgreSQL's major version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pg_version: Option<u16>,
    /// Names of the first branch and of the role and database in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<FirstBranch>,
    /// Its settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<ProjectSettings>,
    /// What its computes start with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_endpoint_settings: Option<DefaultEndpointSettings>,
    /// The smallest size of the first compute. The older place of the same value in `default_endpoint_settings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_min_cu: Option<ComputeUnits>,
    /// The largest size of the first compute. The older place of the same value in `default_endpoint_settings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_max_cu: Option<ComputeUnits>,
    /// Seconds of history that can be restored, at most 2,592,000 (30 days).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_retention_seconds: Option<u32>,
    /// Whether the platform keeps the roles' passwords, so that they can be revealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_passwords: Option<bool>,
    /// How its computes are run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioner: Option<String>,
}

impl CreateProject {
    /// A project of this name, with everything else chosen by the platform.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::default()
        }
    }
}

/// The first branch of a project to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FirstBranch {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The role that owns the first database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_name: Option<RoleName>,
    /// The first database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_name: Option<DatabaseName>,
}

/// Changes of a project. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateProject {
    /// A new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New settings; those not named stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<ProjectSettings>,
    /// What new computes start with. Computes that exist keep theirs: see [`UpdateEndpoint`](crate::model::UpdateEndpoint).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_endpoint_settings: Option<DefaultEndpointSettings>,
    /// Seconds of history that can be restored.
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
