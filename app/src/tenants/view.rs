//! What the app knows of a Tenant: a few hundred bytes, taken from its status, and what they mean for a workspace.
//!
//! Pure: no cluster, no clock.

use std::fmt;

use crds::{ConditionType, Phase, Tenant, find_condition, is_true};

use crate::ids::WorkspaceId;

/// Label of a Tenant: the workspace that it was made for.
pub const WORKSPACE_LABEL: &str = "chat.dbpertenant.dev/workspace";
/// The least schema version of a tenant's database that this app can work with.
pub const SCHEMA_NEEDED: i64 = 2;
const NAME_PREFIX: &str = "ws-";

/// Name of a workspace's Tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantName(Box<str>);

impl TenantName {
    /// The name that the workspace's Tenant has.
    pub fn of(workspace: &WorkspaceId) -> Self {
        Self(format!("{NAME_PREFIX}{workspace}").into())
    }

    /// As Kubernetes has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for TenantName {
    /// A name that Kubernetes told.
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A condition's word for programs and its word for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// One of the reasons of the contract.
    pub reason: Box<str>,
    /// What happened, in the controller's words.
    pub message: Box<str>,
}

/// The Neon project, as far as people want to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: Box<str>,
    /// Its region.
    pub region: Box<str>,
}

/// How long the way to the first `Ready` took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Took {
    /// Until there was a project.
    pub project_ms: Option<i64>,
    /// From there until the schema was applied.
    pub schema_ms: Option<i64>,
    /// In all.
    pub ready_ms: Option<i64>,
}

/// A Tenant, compact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantView {
    /// Its name.
    pub name: TenantName,
    /// Its uid: another Tenant of the name has another.
    pub uid: Box<str>,
    /// The workspace that its label names.
    pub workspace: Option<WorkspaceId>,
    /// One word for people.
    pub phase: Option<Phase>,
    /// Whether it can be served now, on its last good schema.
    pub is_available: bool,
    /// Why work is under way.
    pub reconciling: Option<Box<Note>>,
    /// What a person has to mend.
    pub stalled: Option<Box<Note>>,
    /// Its project.
    pub project: Option<Box<Project>>,
    /// Host of the compute, for people.
    pub host: Option<Box<str>>,
    /// The Secret with the credentials.
    pub binding: Option<Box<str>>,
    /// Version of the last migration that was applied.
    pub schema_version: Option<i64>,
    /// How long it took.
    pub took: Took,
    /// Whether somebody asked for its deletion.
    pub is_deleting: bool,
    /// Whether its project stays behind when it is deleted.
    pub is_retained: bool,
}

impl TenantView {
    /// What is worth keeping of a Tenant.
    pub fn of(tenant: Tenant) -> Self {
        let meta = tenant.metadata;
        let status = tenant.status.unwrap_or_default();
        let note = |kind| {
            find_condition(&status.conditions, kind)
                .filter(|condition| condition.status == "True")
                .map(|condition| {
                    Box::new(Note {
                        reason: condition.reason.as_str().into(),
                        message: condition.message.as_str().into(),
                    })
                })
        };
        let took = status.timings.map(|timings| Took {
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
            reconciling: note(ConditionType::Reconciling),
            stalled: note(ConditionType::Stalled),
            project: status.project.map(|project| {
                Box::new(Project {
                    id: project.id.into(),
                    region: project.region.into(),
                })
            }),
            host: status
                .connection
                .map(|connection| connection.pooled_host.into()),
            binding: status.binding.map(|binding| binding.name.into()),
            schema_version: status.schema.and_then(|schema| schema.version),
            took: took.unwrap_or_default(),
            is_deleting: meta.deletion_timestamp.is_some(),
            is_retained: status
                .effective
                .is_some_and(|effective| effective.deletion_policy == crds::DeletionPolicy::Retain),
        }
    }

    /// Whether it is the Tenant of that workspace, and, where the uid is known, this very one.
    pub fn belongs_to(&self, workspace: &WorkspaceId, uid: Option<&str>) -> bool {
        self.workspace.as_ref() == Some(workspace) && uid.is_none_or(|uid| *uid == *self.uid)
    }
}
