//! Condition types and reasons. Programs compare these values; the conditions' messages are for
//! humans.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use std::fmt;
use std::str::FromStr;

/// Condition types of a Tenant, a TenantClass and a SchemaRollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionType {
    /// The latest spec is in effect, and the database has the schema that the class's rollout has
    /// reached for the Tenant.
    Ready,
    /// The controller is working on the Tenant or will retry without intervention. As [kstatus]
    /// expects, the condition is present only while it is true.
    ///
    /// [kstatus]: https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
    Reconciling,
    /// Manual intervention is required. As kstatus expects, the condition is present only while it
    /// is true.
    Stalled,
    /// `spec.suspend` is true: the controller changes nothing. The condition is present only while
    /// it is true.
    Suspended,
    /// Of a TenantClass: the controller deletes none of its projects until a user confirms a mass
    /// deletion. The condition is present only while it is true.
    DeletionsHeld,
    /// Of a TenantClass: the plan of the Neon account does not allow some of its defaults or limits.
    /// The condition is present only while it is true.
    PlanExceeded,
    /// Applications can use the database now, on the last schema that was applied successfully. A
    /// failed migration or an invalid edit of the spec does not make it false.
    Available,
    /// The Neon project exists and matches the spec.
    ProjectReady,
    /// The database has the schema that the class's rollout has reached for the Tenant.
    SchemaReady,
    /// The connection Secret contains the credentials of the project.
    CredentialsReady,
}

impl ConditionType {
    /// The value of the condition's `type` field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Suspended => "Suspended",
            Self::DeletionsHeld => "DeletionsHeld",
            Self::PlanExceeded => "PlanExceeded",
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

/// Declares [`Reason`] with its documentation and its string form.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Reasons of conditions and events, and values of the `reason` label of the controller's
        /// error metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// All reasons, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The value of the condition's `reason` field.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

reasons! {
    /// The observed state matches the desired state.
    ReconcileSucceeded,
    /// The condition has not been evaluated yet, because an earlier step has to succeed first.
    Waiting,
    /// The controller has accepted the Tenant and is taking its first steps.
    Progressing,
    /// The controller is requesting the project from Neon.
    CreatingProject,
    /// The outcome of a request to create the project is unknown. The controller checks project
    /// listings until it is certain whether the request created a project.
    VerifyingCreation,
    /// Neon is running an operation on the project.
    OperationsRunning,
    /// A Neon operation on the project failed.
    OperationFailed,
    /// The controller is changing settings of the project or its compute to match the spec.
    UpdatingProject,
    /// Neon accepted a change of the project's settings but did not apply all of it.
    SettingsNotApplied,
    /// The controller is recovering a deleted project.
    RecoveringProject,
    /// The project no longer exists in the account and could not be recovered.
    ProjectNotFound,
    /// The project cannot be read at the moment. Neon reports it as unavailable, not as deleted.
    ProjectUnavailable,
    /// Several projects carry the Tenant's mark, and nothing proves which of them may be deleted. The
    /// annotation `dbpertenant.dev/delete-duplicate` names the one to delete.
    DuplicateProject,
    /// Migrations are being applied.
    Migrating,
    /// A migration failed. The database remains at the last version that was applied successfully.
    MigrationFailed,
    /// The SQL of an applied migration has changed since it was applied.
    MigrationChanged,
    /// An applied migration is missing from the class's migrations.
    MigrationMissing,
    /// The class's migrations cannot be read or are invalid.
    MigrationsInvalid,
    /// The table `_sqlx_migrations` of the database is not one that sqlx creates, so the controller
    /// does not read it.
    MigrationTableInvalid,
    /// The database has a newer schema than the class's migrations. The controller does not change
    /// it.
    SchemaAhead,
    /// The database does not respond or rejects connections.
    DatabaseUnreachable,
    /// A quota of the project or of the account's plan is used up. Neon has suspended the computes
    /// until the quota is raised or the next billing period starts, or, at the size limit, rejects
    /// writes.
    QuotaExceeded,
    /// The controller is writing the connection Secret.
    UpdatingSecret,
    /// A Secret with the name of the connection Secret exists and is not owned by this Tenant. The
    /// controller does not change it.
    SecretConflict,
    /// Another client keeps changing the connection Secret. The controller restores it at increasing
    /// intervals.
    SecretContested,
    /// The connection Secret has a new name, and the Secret with the old name still holds the
    /// credentials.
    SecretRenamed,
    /// The project has no read-write compute, so that nothing can connect to the database.
    ComputeMissing,
    /// The database does not exist in the project.
    DatabaseMissing,
    /// The database rejects the owner's password, even after a reset.
    PasswordRejected,
    /// Neon does not reveal the password of an adopted project, and `adopt.resetPassword` is not
    /// set.
    PasswordUnavailable,
    /// `spec.suspend` is true.
    Suspended,
    /// The TenantClass that the Tenant references does not exist.
    ClassNotFound,
    /// The TenantClass is being deleted and accepts no new Tenants.
    ClassTerminating,
    /// The Secret with the account's API key, or the key in its data, is missing or invalid.
    ApiKeyInvalid,
    /// Neon rejected the API key.
    Unauthorized,
    /// The API key belongs to another Neon account than the class's projects. The controller changes
    /// nothing.
    AccountMismatch,
    /// The account's Neon API does not respond.
    AccountUnreachable,
    /// The spec is invalid, or a required value is set in neither the Tenant nor the class.
    InvalidSpec,
    /// The spec exceeds a limit of the class.
    ClassLimitExceeded,
    /// The spec changes a field that is immutable once the project exists.
    ImmutableField,
    /// The class does not allow Tenants of this namespace.
    NamespaceNotAllowed,
    /// The class does not allow this Tenant to adopt the project, or to take back a project that was
    /// created for a Tenant of another namespace or name.
    AdoptionRefused,
    /// The project belongs to another Tenant or another installation.
    ProjectInUse,
    /// A project that belonged to an earlier Tenant of the same namespace and name exists. The
    /// message says how to take it back and how to start with an empty database.
    ExistingProject,
    /// The project to adopt does not match the Tenant: it does not exist, is in another region, or
    /// lacks the database or role.
    AdoptionMismatch,
    /// Neon rejected the request. The message contains Neon's error message.
    NeonRequestRejected,
    /// The plan of the Neon account does not allow a setting of the Tenant or its class. The message
    /// names the field and what to write.
    PlanLimit,
    /// A limit of the Neon account is reached. The message contains Neon's error message.
    AccountLimit,
    /// Neon is rate limiting the account.
    RateLimited,
    /// A request to the Kubernetes API failed.
    KubernetesError,
    /// `spec.deletionProtection` of the Tenant or its class is true.
    DeletionProtected,
    /// More Tenants of the class were deleted within a minute than `spec.massDeletion` of the class
    /// allows. The controller deletes no project of the class until a user confirms the deletions.
    MassDeletion,
    /// The project is being deleted.
    Deleting,
    /// The project was deleted. Neon can recover it for 7 days.
    ProjectDeleted,
    /// The Tenant was deleted and the project that its status names was retained, because the
    /// deletion policy is `Retain` or because the project does not belong to the Tenant.
    ProjectRetained,
    /// The Tenant was removed because of the annotation `dbpertenant.dev/orphan`, although its
    /// account could not be reached. The project, if there is one, remains in Neon.
    ProjectOrphaned,
    /// The controller deleted a duplicate project that one of its own requests had created.
    DuplicateProjectDeleted,
    /// The account contains projects that this installation created and that belong to no Tenant.
    OrphanedProjects,
    /// The project was created.
    ProjectCreated,
    /// An existing project was adopted.
    ProjectAdopted,
    /// The Tenant took back a project that belonged to an earlier Tenant of the same namespace and
    /// name.
    ProjectReclaimed,
    /// Settings of the project or its compute were changed to match the spec.
    ProjectUpdated,
    /// A deleted project was recovered.
    ProjectRecovered,
    /// The value or the name of an annotation on the Tenant is not one that the controller accepts.
    InvalidAnnotation,
    /// A rollout of new migrations has started.
    RolloutStarted,
    /// A rollout waits until a user sets `spec.approved` of the SchemaRollout to true.
    AwaitingApproval,
    /// A rollout is migrating the Tenants of its current wave.
    RollingOut,
    /// The current wave of a rollout has been migrated. The next one starts after
    /// `soakSeconds`.
    Soaking,
    /// A branch or a snapshot of the project is being created as a backup, before a rollout migrates
    /// the database.
    BackingUp,
    /// A database is being restored from its backup, because its migration failed and the rollout has
    /// `onFailure: RestoreAndPause`.
    Restoring,
    /// A database was restored from its backup, because its migration failed.
    DatabaseRestored,
    /// A rollout continues when its window (`rollout.window`) opens.
    OutsideWindow,
    /// The time zone of a rollout's window is unknown.
    UnknownTimeZone,
    /// The Tenants that a rollout with `wake: OnUse` has not migrated yet have not been used since it
    /// started.
    TenantsAsleep,
    /// `spec.paused` of the SchemaRollout is true.
    RolloutPaused,
    /// More Tenants failed than the failure budget of the rollout allows, or a Tenant of the canary
    /// failed. The controller has paused the rollout.
    FailureBudgetExceeded,
    /// A newer rollout has replaced this one.
    RolloutSuperseded,
    /// All Tenants have been migrated, or were skipped or failed within the budget.
    RolloutCompleted,
    /// Every Tenant was attempted at once, and more failed than the failure budget allows.
    RolloutFailed,
    /// Migrations were applied.
    Migrated,
    /// The connection Secret was written.
    SecretWritten,
    /// The owner role's password was reset, because Neon does not reveal it.
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

/// Returns the condition of the given type.
pub fn find_condition(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == kind.as_str())
}

/// Returns whether the condition of the given type exists and has the status `True`.
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    find_condition(conditions, kind).is_some_and(|c| c.status == "True")
}

/// Adds `next` or replaces the condition of the same type. The transition time is kept if the
/// status is unchanged and set to `now` otherwise.
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
