//! The part of a Tenant that the app caches: a few hundred bytes from its metadata and status.
//!
//! Pure: no I/O and no clock.

use std::fmt;

use crds::{ConditionType, Phase, Tenant, find_condition, is_true};

use crate::ids::WorkspaceId;

/// Tenant label that holds the id of its workspace.
pub const WORKSPACE_LABEL: &str = "chat.dbpertenant.dev/workspace";
/// The oldest schema version of a tenant database that this app supports.
pub const MIN_SCHEMA_VERSION: i64 = 2;
const NAME_PREFIX: &str = "ws-";

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantName(Box<str>);

impl TenantName {
    /// The name of the workspace's Tenant.
    pub fn of(workspace: &WorkspaceId) -> Self {
        Self(format!("{NAME_PREFIX}{workspace}").into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for TenantName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Reason and message of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionSummary {
    pub reason: Box<str>,
    pub message: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRef {
    pub id: Box<str>,
    pub region: Box<str>,
}

/// How long provisioning took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProvisioningTimings {
    /// From the request until the project existed.
    pub project_ms: Option<i64>,
    /// From then until the schema was applied.
    pub schema_ms: Option<i64>,
    /// From the request until the Tenant became ready.
    pub ready_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantView {
    pub name: TenantName,
    pub uid: Box<str>,
    /// From the label [`WORKSPACE_LABEL`].
    pub workspace: Option<WorkspaceId>,
    pub phase: Option<Phase>,
    /// Whether the database can be used now, possibly with an older schema.
    pub is_available: bool,
    /// The `Reconciling` condition, if true.
    pub reconciling: Option<Box<ConditionSummary>>,
    /// The `Stalled` condition, if true: an operator has to intervene.
    pub stalled: Option<Box<ConditionSummary>>,
    pub project: Option<Box<ProjectRef>>,
    /// Host of the pooled endpoint, for display.
    pub host: Option<Box<str>>,
    /// Name of the Secret with the credentials.
    pub connection_secret: Option<Box<str>>,
    /// Version of the last applied migration.
    pub schema_version: Option<i64>,
    pub timings: ProvisioningTimings,
    pub is_deleting: bool,
    /// Whether the project is kept when the Tenant is deleted.
    pub is_retained: bool,
}

impl TenantView {
    pub fn of(tenant: Tenant) -> Self {
        let meta = tenant.metadata;
        let status = tenant.status.unwrap_or_default();
        let summary = |kind| {
            find_condition(&status.conditions, kind)
                .filter(|condition| condition.status == "True")
                .map(|condition| {
                    Box::new(ConditionSummary {
                        reason: condition.reason.as_str().into(),
                        message: condition.message.as_str().into(),
                    })
                })
        };
        let timings = status.timings.map(|timings| ProvisioningTimings {
            project_ms: timings.project_ms,
            schema_ms: timings.schema_ms,
            ready_ms: timings.ready_ms,
        });
        Self {
            name: TenantName(meta.name.unwrap_or_default().into()),
            uid: meta.uid.unwrap_or_default().into(),
            workspace: meta
                .labels
                .as_ref()
                .and_then(|labels| labels.get(WORKSPACE_LABEL))
                .and_then(|id| id.parse().ok()),
            phase: status.phase,
            is_available: is_true(&status.conditions, ConditionType::Available),
            reconciling: summary(ConditionType::Reconciling),
            stalled: summary(ConditionType::Stalled),
            project: status.project.map(|project| {
                Box::new(ProjectRef {
                    id: project.id.into(),
                    region: project.region.into(),
                })
            }),
            host: status
                .connection
                .map(|connection| connection.pooled_host.into()),
            connection_secret: status.binding.map(|binding| binding.name.into()),
            schema_version: status.schema.and_then(|schema| schema.version),
            timings: timings.unwrap_or_default(),
            is_deleting: meta.deletion_timestamp.is_some(),
            is_retained: status
                .effective
                .is_some_and(|effective| effective.deletion_policy == crds::DeletionPolicy::Retain),
        }
    }

    /// Whether this is the workspace's Tenant, and has the given UID if one is given.
    pub fn belongs_to(&self, workspace: &WorkspaceId, uid: Option<&str>) -> bool {
        self.workspace.as_ref() == Some(workspace) && uid.is_none_or(|uid| *uid == *self.uid)
    }
}
