//! Names used in object metadata: the API group, annotations, labels, finalizers and the field
//! manager.

/// API group of the custom resources.
pub const GROUP: &str = "dbpertenant.dev";

/// Field manager of the controller's server-side apply requests. Fields of other managers are kept.
pub const FIELD_MANAGER: &str = "tenant-controller";

/// Name of the controller that reconciles a class whose `spec.controllerName` is not set.
pub const DEFAULT_CONTROLLER_NAME: &str = "dbpertenant.dev/tenant-controller";

/// Annotations on Tenants, classes, connection Secrets and Leases.
pub mod annotations {
    /// On a Tenant: a changed value triggers one full reconciliation, which also connects to the
    /// tenant's database and checks the password.
    pub const RECONCILE_AT: &str = "dbpertenant.dev/reconcile-at";
    /// On a Tenant that is being deleted: with the value `true`, the controller removes the
    /// finalizer without any call to the Neon account. The project, if there is one, remains in
    /// Neon.
    pub const ORPHAN: &str = "dbpertenant.dev/orphan";
    /// On a Tenant with the reason `DuplicateProject`: the id of the project that the controller
    /// deletes, which is one of those that the condition's message names.
    pub const DELETE_DUPLICATE: &str = "dbpertenant.dev/delete-duplicate";
    /// On the connection Secret: the id of the project to which the credentials belong. On a
    /// Tenant: the id of its project, so that a backup without the status contains it. On a Tenant
    /// without a project, it names the project to take back, which must have belonged to a Tenant of
    /// the same namespace and name unless the class allows the adoption.
    pub const PROJECT_ID: &str = "dbpertenant.dev/project-id";
    /// On a Tenant without a project: ids of projects, separated by commas, that belonged to an
    /// earlier Tenant of its namespace and name and that it does not take back.
    pub const IGNORE_PROJECT: &str = "dbpertenant.dev/ignore-project";
    /// On the connection Secret: a digest of the certificates in `ca.crt`, used to detect a changed
    /// `caBundle` of the class.
    pub const CA_DIGEST: &str = "dbpertenant.dev/ca-digest";
    /// On a Tenant: the time (RFC 3339) at which the application last used its database. A rollout
    /// with `wake: OnUse` then migrates it without waiting until Neon reports the use.
    pub const USED_AT: &str = "dbpertenant.dev/used-at";
    /// On a TenantClass: confirms deletions of Tenants that the controller holds. The value is
    /// `status.massDeletion.heldSince` of the class, so that it confirms these deletions only.
    pub const CONFIRM_DELETIONS: &str = "dbpertenant.dev/confirm-deletions";
    /// On the Lease: the name of the controller that holds it, as in `spec.controllerName`.
    pub const CONTROLLER_NAME: &str = "dbpertenant.dev/controller-name";
}

/// Labels that the controller sets.
pub mod labels {
    /// On the connection Secret: the name of the Tenant that owns it.
    pub const TENANT: &str = "dbpertenant.dev/tenant";
    /// The recommended Kubernetes label for the tool that manages an object.
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
}

/// Finalizers that the controller sets.
pub mod finalizers {
    /// On a Tenant: added before its project is requested, removed when the project has been
    /// deleted or retained.
    pub const PROJECT: &str = "dbpertenant.dev/project";
    /// On a TenantClass that is used by a Tenant. Without the class, the controller could not reach
    /// the Neon account to delete the project.
    pub const IN_USE: &str = "dbpertenant.dev/in-use";
}
