//! The observed state of a Tenant: plain values that [`observe`](super::observe) gathers and the
//! plan depends on.

use std::collections::{BTreeMap, BTreeSet};

use crds::TenantStatus;
use jiff::Timestamp;
use neon_client::ids::{EndpointId, ProjectId};

use crate::accounts::ObservedListing;
use crate::cache::ObservedSecret;
use crate::identity::ProjectMark;
use crate::issue::Issue;
use crate::schema_assignment::{SchemaTarget, used_at};
use crate::tenant::desired::ComputeSettings;
use crate::unapplied_settings::SettingsChanges;

/// Everything that a plan may depend on, besides the intent.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the flags are independent of each other"
)]
pub struct ObservedState {
    pub now: Timestamp,
    /// A time by which the Tenant existed: at most a second after its creation, and not after the start of
    /// this reconciliation.
    pub created_at: Timestamp,
    /// The status, as last written.
    pub status: TenantStatus,
    pub has_finalizer: bool,
    pub class_has_finalizer: bool,
    pub suspended: bool,
    /// Whether the Tenant or its class refuses the Tenant's deletion.
    pub deletion_protected: bool,
    /// Why the deletion of the project waits for a confirmation.
    pub deletion_held: Option<Issue>,
    /// Whether the `orphan` annotation allows removing the finalizer although the project remains.
    pub orphan: bool,
    /// The project that the user wants to be deleted, from the annotation `delete-duplicate`.
    pub delete_duplicate: Option<ProjectId>,
    /// Value of the annotation that requests a migration.
    pub reconcile_at: Option<String>,
    /// Whether the class's Neon account can be used.
    pub account: Result<(), Issue>,
    /// The mark that the project's name should have.
    pub mark: ProjectMark,
    /// The name that the project should have.
    pub project_name: String,
    /// The project that the annotation on the Tenant names.
    pub annotated_project: Option<ProjectId>,
    /// The project that the annotation or a restored Secret names, for a Tenant without a project.
    pub named_project: Option<ProjectId>,
    /// The projects of earlier Tenants to ignore, as the annotation requests.
    pub ignored_projects: BTreeSet<ProjectId>,
    /// The projects that the class allows the Tenant to adopt.
    pub adoptable: BTreeSet<ProjectId>,
    /// The other Tenants that have a project that this Tenant names or could take back.
    pub holders: BTreeMap<ProjectId, Holder>,
    /// The claim of the project, once this reconciliation has read it.
    pub claim: Option<ObservedClaim>,
    pub listing: ObservedListing,
    /// The project's compute, once this reconciliation has read it.
    pub compute: Option<ObservedCompute>,
    /// Whether it is the Tenant's turn to have its compute read, or time to send settings again that
    /// Neon did not apply.
    pub inspection_due: bool,
    /// The settings that this reconciliation last sent to Neon, or that an earlier one sent and that
    /// are not to be sent again yet.
    pub settings_sent: Option<SettingsChanges>,
    /// Whether this reconciliation read the project by id and found it.
    pub project_found: bool,
    /// The project that this reconciliation deleted, or found deleted.
    pub deleted: Option<ProjectId>,
    pub secret: ObservedSecret,
    /// Whether the Secret's content was read and is not what the controller would write.
    pub secret_differs: bool,
    /// Until when the repair of the Secret is delayed, because another client keeps changing it.
    pub secret_repair_at: Option<Timestamp>,
    /// Whether the database rejected the Secret's password during this reconciliation.
    pub password_rejected: bool,
    /// Digest of the CA certificates that the Secret should contain.
    pub ca_digest: Option<String>,
    /// When the application last used the database, as an annotation says.
    pub used_at: Option<Timestamp>,
    /// The schema that the database should have, or why the class's migrations cannot be used.
    pub schema: Result<SchemaTarget, Issue>,
}

impl ObservedState {
    /// Whether the target rollout has `wake: OnUse` and the Tenant has not been used since that rollout
    /// started.
    pub fn is_asleep(&self) -> bool {
        let asleep_before = self
            .schema
            .as_ref()
            .ok()
            .and_then(|target| target.asleep_before);
        let listed = self.listing.own.as_ref();
        let last_active_at = listed.and_then(|project| project.last_active_at);
        let used_at = used_at(self.used_at, self.now);
        // A project that no listing has shown since then may be in use.
        asleep_before.is_some()
            && listed.is_some()
            && self.listing.as_of >= asleep_before
            && last_active_at.max(used_at) < asleep_before
    }
}

/// Another Tenant that has a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// `namespace/name` of the Tenant.
    pub tenant: String,
    /// Whether the Tenant adopted the project. The project's claim decides between Tenants that
    /// adopt the same project.
    pub adopted: bool,
}

/// Who has claimed a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedClaim {
    Own,
    /// Another Tenant (`namespace/name`).
    Other(String),
    Free,
}

/// The read-write compute of a project.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedCompute {
    pub id: EndpointId,
    pub settings: ComputeSettings,
}
