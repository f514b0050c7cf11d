//! Names that stand in metadata: the API group, annotations, labels, finalizers and the field manager.

/// API group of both custom resources.
pub const GROUP: &str = "dbpertenant.dev";

/// Field manager under which the controller applies; server-side apply keeps what other managers add.
pub const FIELD_MANAGER: &str = "tenant-controller";

/// Annotations that people and programs set on a Tenant.
pub mod annotations {
    /// Any new value asks for one pass that also opens the tenant's database and checks the password.
    pub const RECONCILE_AT: &str = "dbpertenant.dev/reconcile-at";
    /// The value `true` on a Tenant being deleted lets it go although its account cannot be reached; the
    /// project, if there is one, then stays in Neon and belongs to nobody.
    pub const ORPHAN: &str = "dbpertenant.dev/orphan";
    /// On the connection Secret: the id of the project that its credentials belong to.
    pub const PROJECT_ID: &str = "dbpertenant.dev/project-id";
    /// On the connection Secret: a digest of the certificates in `ca.crt`, so that a change of the class is seen.
    pub const CA_DIGEST: &str = "dbpertenant.dev/ca-digest";
}

/// Labels that the controller sets.
pub mod labels {
    /// On the connection Secret: the name of its Tenant.
    pub const TENANT: &str = "dbpertenant.dev/tenant";
    /// The recommended Kubernetes label that tells who made an object.
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
}

/// Finalizers that the controller sets.
pub mod finalizers {
    /// On a Tenant from before its project is asked for until the project is gone or retained.
    pub const PROJECT: &str = "dbpertenant.dev/project";
    /// On a TenantClass while a Tenant uses it: without the class there is no way to reach the account.
    pub const IN_USE: &str = "dbpertenant.dev/in-use";
}
