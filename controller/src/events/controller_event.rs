//! All events that the controller publishes: the type, reason and note of each. Pure.

use std::borrow::Cow;

use crds::{OrphanedProjects, Reason, annotations};
use jiff::Timestamp;
use kube::runtime::events::EventType;
use neon_client::ids::ProjectId;

use crate::issue::Issue;

/// Appended to the notes of deletions.
const RECOVERY_HINT: &str = "Neon can recover it for 7 days";

/// An event about a Tenant or a class. A snapshot test contains a sample of each.
#[derive(Debug)]
#[cfg_attr(test, derive(strum::EnumDiscriminants))]
#[cfg_attr(test, strum_discriminants(name(EventKind), derive(strum::EnumIter)))]
pub enum ControllerEvent<'a> {
    ProjectCreated {
        project: &'a ProjectId,
    },
    /// A project of a recorded request, whose response was lost, has been found.
    CreatedProjectFound {
        project: &'a ProjectId,
    },
    ProjectAdopted {
        project: &'a ProjectId,
    },
    ProjectReclaimed {
        project: &'a ProjectId,
    },
    ProjectUpdated {
        project: &'a ProjectId,
    },
    /// The project that the status records was recovered.
    ProjectRecovered {
        project: &'a ProjectId,
    },
    /// The project that the annotation or the restored Secret names was recovered.
    NamedProjectRecovered {
        project: &'a ProjectId,
    },
    PasswordReset {
        role: &'a str,
    },
    SecretWritten {
        project: &'a ProjectId,
        secret: &'a str,
    },
    SecretRenamed {
        previous: &'a str,
    },
    SecretContested {
        secret: &'a str,
    },
    Migrated {
        /// The applied versions, in ascending order; not empty.
        applied: &'a [i64],
    },
    /// The database was restored after its migration failed.
    DatabaseRestored {
        /// Name of the backup.
        backup: &'a str,
        /// Time at which the backup was created.
        created_at: Option<Timestamp>,
        /// Name of the branch that keeps the database as it was before.
        failed_branch: &'a str,
    },
    /// The duplicate that the annotation names was deleted.
    NamedDuplicateDeleted {
        project: &'a ProjectId,
    },
    UnusedDuplicateDeleted {
        project: &'a ProjectId,
    },
    ProjectDeleted {
        project: &'a ProjectId,
    },
    /// The deletion policy is `Retain`.
    ProjectRetained {
        project: &'a str,
    },
    ForeignProjectKept {
        project: &'a str,
    },
    ProjectOrphaned {
        /// `None` if the Tenant recorded no project.
        project: Option<&'a str>,
    },
    InvalidAnnotation {
        problem: &'a str,
    },
    TenantStalled(&'a Issue),
    OrphanedProjects(&'a OrphanedProjects),
    /// The message is that of the condition `DeletionsHeld`.
    DeletionsHeld {
        message: &'a str,
    },
    /// The message is that of the condition `PlanExceeded`.
    PlanExceeded {
        message: &'a str,
    },
    /// The message is that of the condition `Ready`.
    ClassTerminating {
        message: &'a str,
    },
    /// The reason and the message are those of the condition `Ready`, or say that it has started.
    RolloutChanged {
        reason: Reason,
        message: &'a str,
    },
}

impl ControllerEvent<'_> {
    pub fn event_type(&self) -> EventType {
        match self {
            Self::SecretRenamed { .. }
            | Self::SecretContested { .. }
            | Self::ProjectOrphaned { .. }
            | Self::InvalidAnnotation { .. }
            | Self::DatabaseRestored { .. }
            | Self::TenantStalled(_)
            | Self::OrphanedProjects(_)
            | Self::DeletionsHeld { .. }
            | Self::PlanExceeded { .. }
            | Self::ClassTerminating { .. }
            | Self::RolloutChanged {
                reason:
                    Reason::FailureBudgetExceeded | Reason::RolloutFailed | Reason::UnknownTimeZone,
                ..
            } => EventType::Warning,
            _ => EventType::Normal,
        }
    }

    pub fn reason(&self) -> Reason {
        match self {
            Self::ProjectCreated { .. } | Self::CreatedProjectFound { .. } => {
                Reason::ProjectCreated
            }
            Self::ProjectAdopted { .. } => Reason::ProjectAdopted,
            Self::ProjectReclaimed { .. } => Reason::ProjectReclaimed,
            Self::ProjectUpdated { .. } => Reason::ProjectUpdated,
            Self::ProjectRecovered { .. } | Self::NamedProjectRecovered { .. } => {
                Reason::ProjectRecovered
            }
            Self::PasswordReset { .. } => Reason::PasswordReset,
            Self::SecretWritten { .. } => Reason::SecretWritten,
            Self::SecretRenamed { .. } => Reason::SecretRenamed,
            Self::SecretContested { .. } => Reason::SecretContested,
            Self::Migrated { .. } => Reason::Migrated,
            Self::DatabaseRestored { .. } => Reason::DatabaseRestored,
            Self::NamedDuplicateDeleted { .. } | Self::UnusedDuplicateDeleted { .. } => {
                Reason::DuplicateProjectDeleted
            }
            Self::ProjectDeleted { .. } => Reason::ProjectDeleted,
            Self::ProjectRetained { .. } | Self::ForeignProjectKept { .. } => {
                Reason::ProjectRetained
            }
            Self::ProjectOrphaned { .. } => Reason::ProjectOrphaned,
            Self::InvalidAnnotation { .. } => Reason::InvalidAnnotation,
            Self::TenantStalled(issue) => issue.reason,
            Self::OrphanedProjects(_) => Reason::OrphanedProjects,
            Self::DeletionsHeld { .. } => Reason::MassDeletion,
            Self::PlanExceeded { .. } => Reason::PlanLimit,
            Self::ClassTerminating { .. } => Reason::ClassTerminating,
            Self::RolloutChanged { reason, .. } => *reason,
        }
    }

    pub fn note(&self) -> Cow<'_, str> {
        let note = match self {
            Self::InvalidAnnotation { problem: note }
            | Self::DeletionsHeld { message: note }
            | Self::PlanExceeded { message: note }
            | Self::ClassTerminating { message: note }
            | Self::RolloutChanged { message: note, .. } => return Cow::Borrowed(note),
            Self::TenantStalled(issue) => return Cow::Borrowed(&issue.message),
            Self::ProjectCreated { project } => format!("created project {project}"),
            Self::CreatedProjectFound { project } => format!(
                "found project {project}, created by an earlier request whose response was lost"
            ),
            Self::ProjectAdopted { project } => format!("adopted project {project}"),
            Self::ProjectReclaimed { project } => {
                format!("took back project {project}, which belonged to an earlier Tenant")
            }
            Self::ProjectUpdated { project } => {
                format!("updated the settings of project {project}")
            }
            Self::ProjectRecovered { project } => {
                format!("recovered project {project}, which had been deleted")
            }
            Self::NamedProjectRecovered { project } => format!(
                "recovered project {project}, which had been deleted and which the annotation {} or the restored Secret \
                 names",
                annotations::PROJECT_ID
            ),
            Self::PasswordReset { role } => format!(
                "reset the password of role {role}, because Neon did not reveal a password that the database accepts"
            ),
            Self::SecretWritten { project, secret } => {
                format!("wrote the credentials of project {project} to Secret {secret}")
            }
            Self::SecretRenamed { previous } => format!(
                "the former connection Secret {previous} still contains valid credentials: delete it once no workload uses it"
            ),
            Self::SecretContested { secret } => format!(
                "another client keeps changing Secret {secret} or status.connection: stop that client; until then, the \
                 controller restores them at increasing intervals"
            ),
            Self::Migrated { applied } => match applied {
                [] => "applied no migrations".to_owned(),
                [version] => format!("applied migration {version}"),
                [first, .., last] => {
                    format!(
                        "applied {} migrations (versions {first} to {last})",
                        applied.len()
                    )
                }
            },
            Self::DatabaseRestored {
                backup,
                created_at,
                failed_branch,
            } => {
                let created = created_at.map_or_else(String::new, |time| format!(" of {time}"));
                format!(
                    "restored the database from backup {backup}{created}, because its migration failed; what was written since \
                     then is in branch {failed_branch} of the project"
                )
            }
            Self::NamedDuplicateDeleted { project } => format!(
                "deleted duplicate project {project}, which the annotation {} names; {RECOVERY_HINT}",
                annotations::DELETE_DUPLICATE
            ),
            Self::UnusedDuplicateDeleted { project } => format!(
                "deleted unused duplicate project {project}, created by an earlier request whose response was lost; \
                 {RECOVERY_HINT}"
            ),
            Self::ProjectDeleted { project } => {
                format!("deleted project {project}; {RECOVERY_HINT}")
            }
            Self::ProjectRetained { project } => {
                format!("project {project} remains in Neon, because the deletion policy is Retain")
            }
            Self::ForeignProjectKept { project } => format!(
                "project {project} remains in Neon, because it does not belong to this Tenant"
            ),
            Self::ProjectOrphaned { project } => {
                let project = project.map_or(Cow::Borrowed("a project may remain"), |project| {
                    format!("project {project} remains").into()
                });
                format!(
                    "removing the finalizer, as the annotation {} requests: {project} in Neon without a Tenant",
                    annotations::ORPHAN
                )
            }
            Self::OrphanedProjects(OrphanedProjects { count, ids }) => {
                let all = usize::try_from(*count).is_ok_and(|count| count <= ids.len());
                format!(
                    "projects of this installation that belong to no Tenant ({count}): {}{}; the controller does not \
                     delete them, and Neon bills them",
                    ids.join(", "),
                    if all { "" } else { ", ..." }
                )
            }
        };
        Cow::Owned(note)
    }
}

#[cfg(test)]
mod tests;
