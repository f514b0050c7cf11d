//! Condition types and reasons: once, with what each means. Programs compare these words; people read the message.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use std::fmt;
use std::str::FromStr;

/// Types of conditions on a Tenant (and `Ready` on a TenantClass).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionType {
    /// The newest spec and the newest schema are in effect.
    Ready,
    /// Work is under way, or will go on by itself. Present only while true, as [kstatus] reads it.
    ///
    /// [kstatus]: https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
    Reconciling,
    /// A person has to mend something. Present only while true, as kstatus reads it.
    Stalled,
    /// The tenant can be served now, on its last good schema. A failing migration or edit leaves it true.
    Available,
    /// The Neon project exists and is as wished.
    ProjectReady,
    /// The database has the newest schema.
    SchemaReady,
    /// The Secret holds credentials that belong to the project.
    CredentialsReady,
}

impl ConditionType {
    /// The word in `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Available => "Available",
            Self::ProjectReady => "ProjectReady",
            Self::SchemaReady => "SchemaReady",
            Self::CredentialsReady => "CredentialsReady",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Declares [`Reason`]: each word once, with its meaning.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Reasons of conditions and events. Each is also the `reason` label of the controller's error metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// Every reason there is, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word in `reason`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

reasons! {
    /// What the condition is about is as wished.
    ReconcileSucceeded,
    /// Not looked at yet; something before it has to succeed first.
    Waiting,
    /// The Tenant was adopted into care and its first steps are under way.
    Progressing,
    /// The request to create the project is being made.
    CreatingProject,
    /// A request to create the project went unanswered; listings are being watched until it is sure whether it landed.
    VerifyingCreation,
    /// Neon is still at work on the project (an operation runs).
    OperationsRunning,
    /// An operation of Neon's on the project failed.
    OperationFailed,
    /// The project's settings or its compute are being changed to what is wished.
    UpdatingProject,
    /// A deleted project is being recovered.
    RecoveringProject,
    /// The project is not in the account any more and could not be recovered.
    ProjectNotFound,
    /// The project cannot be read at the moment; Neon says it is unavailable, not deleted.
    ProjectUnavailable,
    /// The schema is being applied.
    Migrating,
    /// A migration failed; the database stays on its last good version.
    MigrationFailed,
    /// The text of a migration that is applied was changed afterwards.
    MigrationChanged,
    /// A migration that is applied is missing from the class's migrations.
    MigrationMissing,
    /// The class's migrations cannot be read.
    MigrationsInvalid,
    /// The database has a newer schema than the controller knows; it is left alone.
    SchemaAhead,
    /// The database does not answer, or refuses the connection.
    DatabaseUnreachable,
    /// A quota of the project is used up: Neon suspended its compute until the quota is raised or the next billing period begins.
    QuotaExceeded,
    /// The Secret is being written.
    UpdatingSecret,
    /// A Secret of that name exists and is not this Tenant's; it is not touched.
    SecretConflict,
    /// Neon does not reveal the password of an adopted project, and `adopt.resetPassword` is not set.
    PasswordUnavailable,
    /// `spec.suspend` is true.
    Suspended,
    /// There is no TenantClass of that name.
    ClassNotFound,
    /// The TenantClass is being deleted and takes no new Tenants.
    ClassTerminating,
    /// The Secret with the account's API key, or the key within it, is missing or unusable.
    ApiKeyInvalid,
    /// Neon refuses the API key.
    Unauthorized,
    /// The account's API does not answer.
    AccountUnreachable,
    /// The spec asks for something that cannot be, or a value is missing from both Tenant and class.
    InvalidSpec,
    /// The spec asks for more than the class allows.
    ClassLimitExceeded,
    /// The spec changes something that cannot be changed once the project exists.
    ImmutableField,
    /// The class does not allow this project to be adopted.
    AdoptionRefused,
    /// Another Tenant has this project already.
    ProjectInUse,
    /// The project to adopt does not fit the Tenant (missing, other region, no such database or role).
    AdoptionMismatch,
    /// Neon refuses the request; the message has its own words.
    NeonRequestRejected,
    /// A limit of the Neon account is reached; the message has Neon's own words.
    AccountLimit,
    /// Neon asked for fewer calls.
    RateLimited,
    /// The Kubernetes API refused or did not answer.
    KubernetesError,
    /// The project is being deleted.
    Deleting,
    /// The project is deleted; Neon can recover it for 7 days.
    ProjectDeleted,
    /// The Tenant is gone, its project stays by policy.
    ProjectRetained,
    /// The Tenant was let go on request although its account could not be reached.
    ProjectOrphaned,
    /// A second project of the controller's own making was removed.
    DuplicateProjectDeleted,
    /// Projects bear this installation's mark and belong to no Tenant.
    OrphanedProjects,
    /// The project was created.
    ProjectCreated,
    /// An existing project was taken over.
    ProjectAdopted,
    /// Settings of the project or its compute were changed to what is wished.
    ProjectUpdated,
    /// A deleted project was recovered.
    ProjectRecovered,
    /// Migrations were applied.
    Migrated,
    /// The Secret was written.
    SecretWritten,
    /// The owner's password was reset, since Neon does not reveal it.
    PasswordReset,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not a [`Reason`] of this version of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownReason(String);

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown condition reason {:?}", self.0)
    }
}

impl std::error::Error for UnknownReason {}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

/// The condition of that type, if it is there.
pub fn find_condition(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == kind.as_str())
}

/// Whether the condition is there and says `True`.
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    find_condition(conditions, kind).is_some_and(|c| c.status == "True")
}

/// Puts `next` in the place of the condition of its type. Its transition time is kept while its status stays the
/// same; otherwise it is `now`.
pub fn set_condition(conditions: &mut Vec<Condition>, mut next: Condition, now: &Time) {
    next.last_transition_time = now.clone();
    match conditions.iter_mut().find(|c| c.type_ == next.type_) {
        Some(old) => {
            if old.status == next.status {
                next.last_transition_time = old.last_transition_time.clone();
            }
            *old = next;
        }
        None => conditions.push(next),
    }
}

#[cfg(test)]
mod tests;
