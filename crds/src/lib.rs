//! The contract between those who want databases and the controller that makes them: the custom resources
//! [`Tenant`] and [`TenantClass`], the conditions and reasons of their statuses, the annotations people set,
//! and the keys of the connection Secret.
//!
//! Types and constants only: nothing here talks to a cluster. Whoever creates Tenants (the chat app, Helm, a
//! person) and whoever reconciles them agree on this crate and on nothing else.

mod bounds;
mod class;
mod conditions;
mod manifest;
mod meta;
mod secret;
mod spec;
mod status;

pub use class::{
    Adoption, ApiKeySecretRef, ClassLimits, ConfigMapName, Migrations, MigrationsSource,
    NeonAccount, OrphanedProjects, TenantClass, TenantClassSpec, TenantClassStatus, TenantDefaults,
};
pub use conditions::{
    ConditionType, Reason, UnknownReason, find_condition, is_true, set_condition,
};
pub use manifest::{tenant_class_crd, tenant_crd};
pub use meta::{FIELD_MANAGER, GROUP, annotations, finalizers, labels};
pub use secret::{ConnectionDetails, SECRET_PROVIDER, SECRET_TYPE, SSL_MODE, keys};
pub use spec::{
    Adopt, Compute, ConnectionSecret, DEFAULT_CLASS, DEFAULT_DATABASE, DEFAULT_OWNER, Database,
    DeletionPolicy, Quota, Tenant, TenantSpec,
};
pub use status::{
    Binding, Connection, CreationIntent, Effective, Phase, ProjectStatus, SchemaStatus,
    TenantStatus, Timings,
};
