//! The API between the programs that request databases and the controller that provides them: the
//! custom resources [`Tenant`], [`TenantClass`] and [`SchemaRollout`], their condition types and reasons, the
//! annotations and labels, and the keys of the connection Secret.
//!
//! The crate contains types and constants only and never talks to a cluster. It is the only thing
//! that clients (the chat app, for example) and the controller share.

#![warn(missing_docs)]

mod class;
mod conditions;
mod manifest;
mod meta;
mod project_settings;
mod rollout;
mod rollout_plan;
mod rollout_settings;
mod rollout_window;
mod secret;
mod selector;
mod spec;
mod status;
mod validation;

pub use class::{
    AccountStatus, Adoption, AllowedAdoption, AllowedNamespaces, ApiKeySecretRef, ClassLimits,
    ConfigMapRef, MassDeletion, MassDeletionStatus, Migrations, MigrationsSource, NeonAccount,
    OnExistingProject, OrphanedProjects, TenantClass, TenantClassSpec, TenantClassStatus,
    TenantDefaults,
};
pub use conditions::{
    ConditionType, Reason, UnknownReason, find_condition, is_true, set_condition,
};
pub use manifest::{schema_rollout_crd, tenant_class_crd, tenant_crd};
pub use meta::{DEFAULT_CONTROLLER_NAME, FIELD_MANAGER, GROUP, annotations, finalizers, labels};
pub use project_settings::{Compute, Database, DeletionPolicy, Quota};
pub use rollout::{
    RolloutFailure, RolloutPhase, RolloutTarget, SchemaRollout, SchemaRolloutSpec,
    SchemaRolloutStatus, TenantReference, WakeCost,
};
pub use rollout_plan::{FindingCounts, FindingSeverity, MigrationFinding, RolloutPlan};
pub use rollout_settings::{
    Approval, Canary, NewTenants, OnFailure, RolloutBackup, RolloutSettings, RolloutStrategy,
    TenantShare, Wake,
};
pub use rollout_window::{RolloutWindow, Weekday};
pub use secret::{
    CHANNEL_BINDING, ConnectionDetails, SECRET_PROVIDER, SECRET_TYPE, SSL_MODE, keys,
};
pub use spec::{
    Adopt, ConnectionSecret, DEFAULT_CLASS, DEFAULT_DATABASE, DEFAULT_OWNER, Tenant, TenantSpec,
};
pub use status::{
    BackupStatus, Binding, Connection, CreationIntent, Effective, LostCreation, Phase,
    ProjectStatus, RestoreStatus, SchemaStatus, TenantStatus, Timings,
};
