//! One reconciliation of a Tenant: what it has learned so far, and how it writes the status.
//!
//! A [`Reconciliation`] lives as long as the loop in [`reconcile`](super::reconcile). Everything
//! that the next one needs is in the Tenant's status, in its Secret and in Neon.

mod status;

use std::sync::Arc;

use crds::{ConnectionDetails, Reason, Tenant, TenantClass, TenantStatus};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::EventType;
use neon_client::ids::ProjectId;
use tracing::{info, warn};

use crate::accounts::Account;
use crate::cache::{NamespacedName, ObservedSecret};
use crate::context::Context;
use crate::error::ReconcileError;
use crate::events::ControllerEvent;
use crate::identity::TenantUid;
use crate::issue::Component;
use crate::mass_deletion::DeletionRequest;
use crate::migrations::MigrationSet;
use crate::neon::NeonApi;
use crate::tenant::desired::DesiredState;
use crate::tenant::intent::Intent;
use crate::tenant::observed::{ObservedClaim, ObservedCompute};
use crate::unapplied_settings::SettingsChanges;

pub struct Reconciliation<'a> {
    pub ctx: &'a Context,
    pub key: NamespacedName,
    pub uid: TenantUid,
    pub began_at: Timestamp,
    /// The Tenant, as the API server last returned it.
    pub tenant: Tenant,
    /// The status to write; ahead of `tenant.status` between writes.
    pub status: TenantStatus,
    pub class: Option<Arc<TenantClass>>,
    /// The class's account, if it can be used.
    pub account: Option<Arc<Account>>,
    /// The client of the account, once it is certain that its key belongs to the account of the
    /// class's projects.
    pub checked_client: Option<Arc<dyn NeonApi>>,
    /// The class's migrations, if they are valid.
    pub migrations: Option<MigrationSet>,
    pub intent: Intent,
    pub state: ReconcileState,
}

/// What earlier steps of the reconciliation learned.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the flags are independent of each other"
)]
pub struct ReconcileState {
    /// Credentials, and the project they belong to.
    pub credentials: Option<(ProjectId, ConnectionDetails)>,
    pub compute: Option<ObservedCompute>,
    /// Whether a connection to the database succeeded.
    pub connected: bool,
    /// The settings that were last sent to Neon.
    pub settings_sent: Option<SettingsChanges>,
    /// Whether the finalizer was added to the class.
    pub class_has_finalizer: bool,
    /// Whether the project was read by id and found.
    pub project_found: bool,
    /// Whether the project was recovered since this was last reset.
    pub project_recovered: bool,
    /// Who has claimed the project that the Tenant adopts or takes back.
    pub claim: Option<ObservedClaim>,
    /// The project that was deleted, or found deleted.
    pub deleted: Option<ProjectId>,
    /// The Secret as a write found it, where the cache did not know it.
    pub secret: Option<ObservedSecret>,
    /// Whether the Secret's content was read and is not what the controller would write.
    pub secret_differs: bool,
    /// Whether the database rejected the password.
    pub password_rejected: bool,
    /// Whether `credentials` were read from Neon after a rejection.
    pub password_read: bool,
    pub password_reset: bool,
}

impl<'a> Reconciliation<'a> {
    pub fn new(ctx: &'a Context, uid: TenantUid, tenant: Tenant) -> Self {
        let class = ctx.class(&tenant.spec.class_name);
        let account = ctx.accounts.for_class(&tenant.spec.class_name);
        let migrations = ctx.migration_sources.for_class(&tenant.spec.class_name);
        let status = tenant.status.clone().unwrap_or_default();
        let intent = resolve(ctx, &tenant, &status, class.as_deref());
        Self {
            ctx,
            key: NamespacedName::of(&tenant),
            uid,
            began_at: ctx.clock.now(),
            intent,
            status,
            account: account.and_then(Result::ok),
            checked_client: None,
            migrations: migrations.and_then(Result::ok),
            state: ReconcileState::default(),
            class,
            tenant,
        }
    }
}

impl Reconciliation<'_> {
    /// The desired state, for steps that are planned only if there is one.
    pub fn desired(&self) -> Result<&DesiredState, ReconcileError> {
        match &self.intent {
            Intent::Provision(Ok(desired)) => Ok(desired),
            Intent::Provision(Err(issue)) => Err(issue.clone().into()),
            Intent::Delete(_) => Err(ReconcileError::transient(
                Component::Project,
                Reason::Deleting,
                "the Tenant is being deleted",
            )),
        }
    }

    /// Resolves the intent again, after the status has changed.
    pub fn resolve_intent(&mut self) {
        self.intent = resolve(self.ctx, &self.tenant, &self.status, self.class.as_deref());
    }

    /// The account, for steps that are planned only if there is one.
    pub fn account(&self) -> Result<Arc<Account>, ReconcileError> {
        self.account.clone().ok_or_else(|| {
            ReconcileError::transient(
                Component::Project,
                Reason::AccountUnreachable,
                "the class no longer has a usable Neon account",
            )
        })
    }

    /// The client for calls that a user waits for. Steps that call Neon are preceded by the check of
    /// the key; the client keeps this key if the account gets another one meanwhile.
    pub fn neon(&self) -> Result<Arc<dyn NeonApi>, ReconcileError> {
        self.checked_client.clone().ok_or_else(|| {
            ReconcileError::transient(
                Component::Project,
                Reason::AccountUnreachable,
                "the API key of the account has not been checked yet",
            )
        })
    }

    /// Id of the account that the class's projects belong to, once it is recorded.
    pub fn bound_account(&self) -> Option<&str> {
        let status = self.class.as_ref()?.status.as_ref()?;
        status.account.as_ref().map(|account| account.id.as_str())
    }

    pub fn deleting(&self) -> bool {
        self.tenant.metadata.deletion_timestamp.is_some()
    }

    /// The Tenant's deletion, if it was requested.
    pub fn deletion_request(&self) -> Option<DeletionRequest> {
        let requested_at = self.tenant.metadata.deletion_timestamp.as_ref()?.0;
        Some(DeletionRequest {
            tenant: self.uid,
            requested_at,
        })
    }

    /// A reference to the Tenant, for events.
    pub fn reference(&self) -> ObjectReference {
        self.tenant.object_ref(&())
    }

    /// Id of the recorded project.
    pub fn project(&self) -> Option<ProjectId> {
        self.status
            .project
            .as_ref()
            .and_then(|project| project.id.parse().ok())
    }

    /// Publishes an event and logs it.
    pub fn publish_event(&self, event: &ControllerEvent<'_>) {
        let (namespace, name) = (&self.key.namespace, &self.key.name);
        let (reason, note) = (event.reason(), event.note());
        match event.event_type() {
            EventType::Normal => info!(
                tenant.namespace = %namespace,
                tenant.name = %name,
                %reason,
                %note,
                "published event"
            ),
            EventType::Warning => warn!(
                tenant.namespace = %namespace,
                tenant.name = %name,
                %reason,
                %note,
                "published warning event"
            ),
        }
        self.ctx.events.publish(self.reference(), event);
    }

    /// The Secret of that name, from the cache and from what this reconciliation learned.
    pub fn observed_secret(&self, name: &str) -> ObservedSecret {
        if let Some(secret) = &self.state.secret {
            return secret.clone();
        }
        let key = self.key_of(name);
        self.ctx.secrets.lookup(&key, self.uid, &self.key.name)
    }

    /// Key of another object in the Tenant's namespace.
    pub fn key_of(&self, name: &str) -> NamespacedName {
        NamespacedName {
            namespace: self.key.namespace.clone(),
            name: name.into(),
        }
    }
}

fn resolve(
    ctx: &Context,
    tenant: &Tenant,
    status: &TenantStatus,
    class: Option<&TenantClass>,
) -> Intent {
    let restricted = class.is_some_and(|class| class.spec.allowed_namespaces.is_some());
    let labels = restricted.then(|| ctx.namespace_labels(tenant)).flatten();
    Intent::resolve(tenant, status, class, labels.as_ref())
}
