//! What a pass knows when it plans: plain values, gathered by `observe` and compared by tests.

use std::collections::BTreeSet;

use crds::TenantStatus;
use jiff::Timestamp;
use neon_client::ids::{EndpointId, ProjectId};
use neon_client::model::AllowedIps;

use crate::tenant::desired::{ComputeSettings, Quota, Issue, DesiredState};

/// Everything a plan may depend on.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any combination can be met"
)]
pub struct ObservedState {
    /// The moment the pass looked.
    pub now: Timestamp,
    /// The status, as last written.
    pub status: TenantStatus,
    /// Whether our finalizer is on the Tenant.
    pub has_finalizer: bool,
    /// `spec.suspend`.
    pub suspended: bool,
    /// Whether a person asked to let the Tenant go whatever becomes of its project.
    pub orphan: bool,
    /// The annotation that asks for a closer look.
    pub reconcile_at: Option<String>,
    /// Whether the class bears the finalizer that marks it as in use.
    pub class_has_finalizer: bool,
    /// Whether the Neon account can be used.
    pub account: ObservedAccount,
    /// The name the project is to have.
    pub project_name: String,
    /// What the account's listings say.
    pub listing: ObservedListing,
    /// The project's compute, when this pass looked at it.
    pub endpoint: Option<ObservedCompute>,
    /// Whether this pass asked for the project by id and found it.
    pub project_found: bool,
    /// The project that this pass deleted, or found deleted.
    pub deleted: Option<ProjectId>,
    /// Another Tenant (`namespace/name`) that has the project which this one is to adopt.
    pub taken_by: Option<String>,
    /// The connection Secret.
    pub secret: ObservedSecret,
    /// Whether the database refused the Secret's password in this pass.
    pub password_rejected: bool,
    /// Digest of the certificates that the Secret should hand on.
    pub ca_digest: Option<String>,
    /// The schema that the database should have.
    pub schema: Schema,
}

/// Whether the Neon account can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedAccount {
    /// There is a class and a key.
    Usable,
    /// Something is missing, and what.
    Unusable(Issue),
}

/// What the account's listings say about one Tenant's project.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedListing {
    /// When the last complete listing began; `None`: there was none yet.
    pub as_of: Option<Timestamp>,
    /// When it ended.
    pub done_at: Option<Timestamp>,
    /// The recorded project.
    pub own: Option<ObservedProject>,
    /// Projects that bear the Tenant's mark.
    pub marked: Vec<ObservedProject>,
    /// Whether Neon says that it cannot read the recorded project at the moment.
    pub unavailable: bool,
}

/// A project as a listing shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedProject {
    /// Its id.
    pub id: ProjectId,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Changes whenever something about the project does.
    pub updated_at: String,
    /// Its limits of use, when the listing shows them.
    pub quota: Option<Quota>,
    /// Who may connect, in a form that can be compared, when the listing shows it.
    pub allowed_ips: Option<BTreeSet<String>>,
    /// Seconds of history, when the listing shows them.
    pub history_retention_seconds: Option<u32>,
}

impl ObservedProject {
    /// Whether settings that the wish names are others in Neon. What the listing does not show is taken as right. An
    /// adopted project keeps its own name.
    pub fn differs_from(&self, desired: &DesiredState, project_name: &str, adopted: bool) -> bool {
        let wished_ips = desired.allowed_ips.clone().map(|ips| AllowedIps {
            ips: Some(ips),
            ..AllowedIps::default()
        });
        let renamed = !adopted && self.name != project_name;
        renamed
            || self
                .quota
                .is_some_and(|seen| desired.quota.differs_from(&seen))
            || wished_ips.is_some_and(|ips| {
                self.allowed_ips
                    .as_ref()
                    .is_some_and(|seen| *seen != ips.canonical())
            })
            || desired.history_retention_seconds.is_some_and(|wished| {
                self.history_retention_seconds
                    .is_some_and(|seen| seen != wished)
            })
    }
}

/// The compute of a project.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedCompute {
    /// Its id.
    pub id: EndpointId,
    /// Its size and sleep.
    pub compute: ComputeSettings,
}

impl ObservedCompute {
    /// Whether a size or sleep that the wish names is another in Neon.
    pub fn differs_from(&self, desired: &DesiredState) -> bool {
        let other = |wished: Option<_>, seen: Option<_>| wished.is_some() && wished != seen;
        other(desired.compute.min, self.compute.min)
            || other(desired.compute.max, self.compute.max)
            || (desired.compute.suspend_timeout_seconds.is_some()
                && desired.compute.suspend_timeout_seconds != self.compute.suspend_timeout_seconds)
    }
}

/// The connection Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedSecret {
    /// There is none of that name.
    Missing,
    /// One of that name exists and belongs to somebody else.
    Foreign,
    /// One of that name exists and belonged to an earlier Tenant of the same name: it is about to be removed with it.
    Leftover,
    /// It is the Tenant's.
    Ours {
        /// Whether every key is as we wrote it.
        intact: bool,
        /// The project that its credentials belong to.
        project: Option<ProjectId>,
        /// Digest of the certificates in it.
        ca_digest: Option<String>,
    },
}

/// The schema that the database should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schema {
    /// This one.
    Target(SchemaTarget),
    /// The class's migrations cannot be read.
    Unusable(Issue),
}

/// A schema by its version and content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaTarget {
    /// Version of the last migration.
    pub version: i64,
    /// Digest over all migrations.
    pub digest: String,
}
