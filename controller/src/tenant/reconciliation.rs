//! One pass over one Tenant: what it holds in its hands between steps, and how it writes the status down.
//!
//! Nothing here outlives the pass. What the next one must know stands in the Tenant's status, in its Secret and in Neon.

use std::sync::Arc;

use crds::{
    ConditionType, ConnectionDetails, Reason, Tenant, TenantClass, TenantStatus, find_condition,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use neon_client::ids::ProjectId;

use crate::accounts::Account;
use crate::cache::Key;
use crate::cluster::ClusterError;
use crate::context::Context;
use crate::error::Failure;
use crate::identity::TenantUid;
use crate::migrations::SchemaSet;
use crate::tenant::desired::Wish;
use crate::tenant::observed::{EndpointFacts, Facts, Schema, SecretFacts};
use crate::tenant::plan::Goal;
use crate::tenant::status::{Area, Seen, Verdict, is_available, report};

/// A pass over one Tenant.
pub struct Pass<'a> {
    /// What all passes share.
    pub ctx: &'a Context,
    /// Namespace and name.
    pub key: Key,
    /// UID.
    pub uid: TenantUid,
    /// The Tenant, as the API server last returned it.
    pub tenant: Tenant,
    /// The status being worked out.
    pub status: TenantStatus,
    /// Its class.
    pub class: Option<Arc<TenantClass>>,
    /// Its account, when it can be used.
    pub account: Option<Arc<Account>>,
    /// The class's migrations, when they can be read.
    pub schema: Option<SchemaSet>,
    /// What is to become of it.
    pub goal: Goal,
    /// What earlier steps of this pass found out.
    pub hand: Hand,
}

/// What a pass found out and does not have to ask again.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a discovery of its own, and any combination can be met"
)]
pub struct Hand {
    /// Credentials, and the project they belong to.
    pub credentials: Option<(ProjectId, ConnectionDetails)>,
    /// The project's compute.
    pub endpoint: Option<EndpointFacts>,
    /// Whether the class was just marked as in use.
    pub class_guarded: bool,
    /// Whether the project answered when asked for by id.
    pub confirmed: bool,
    /// The project that was deleted, or found deleted.
    pub deleted: Option<ProjectId>,
    /// What the Secret turned out to be when it was written, although no cache said so.
    pub secret: Option<SecretFacts>,
    /// Whether the database refused the password.
    pub password_rejected: bool,
    /// Whether the credentials in hand were just read from Neon.
    pub password_read: bool,
    /// Whether the password was just reset.
    pub password_reset: bool,
}

impl Pass<'_> {
    /// The wish, on steps that are only planned with one.
    pub fn wish(&self) -> Result<&Wish, Failure> {
        match &self.goal {
            Goal::Live(Ok(wish)) => Ok(wish),
            Goal::Live(Err(refusal)) => Err(Failure::lasting(
                Area::Project,
                refusal.reason,
                refusal.message.clone(),
            )),
            Goal::Go(_) => Err(Failure::passing(
                Area::Project,
                Reason::Deleting,
                "the Tenant is being deleted",
            )),
        }
    }

    /// The account, on steps that are only planned with one.
    pub fn account(&self) -> Result<Arc<Account>, Failure> {
        self.account.clone().ok_or_else(|| {
            Failure::passing(
                Area::Project,
                Reason::AccountUnreachable,
                "the class's account is not there any more",
            )
        })
    }

    /// Whether the Tenant is on its way out.
    pub fn deleting(&self) -> bool {
        self.tenant.metadata.deletion_timestamp.is_some()
    }

    /// The Tenant, as events refer to it.
    pub fn reference(&self) -> ObjectReference {
        self.tenant.object_ref(&())
    }

    /// The recorded project.
    pub fn project(&self) -> Option<ProjectId> {
        self.status
            .project
            .as_ref()
            .and_then(|project| project.id.parse().ok())
    }

    /// Says something in an event and in the log.
    pub fn say(&self, reason: Reason, note: &str) {
        tracing::info!(tenant.namespace = %self.key.namespace, tenant.name = %self.key.name, reason = %reason, "{note}");
        self.ctx.events.normal(self.reference(), reason, note);
    }

    /// What the Secret looks like: in the caches, and by what this pass found out.
    pub fn secret_facts(&self, name: &str) -> SecretFacts {
        if let Some(secret) = &self.hand.secret {
            return secret.clone();
        }
        let key = Key {
            namespace: self.key.namespace.clone(),
            name: name.into(),
        };
        self.ctx.secrets.facts(&key, self.uid, &self.key.name)
    }

    /// Writes down where the pass stands, if that changes anything.
    pub async fn save(&mut self, facts: &Facts, verdict: &Verdict) -> Result<(), Failure> {
        let next = report(self.status.clone(), verdict, self.seen(facts));
        self.announce(&next, verdict);
        if self.tenant.status.as_ref() == Some(&next) {
            self.status = next;
        } else {
            self.write(&next)
                .await
                .map_err(|error| Failure::cluster(Area::Project, &error))?;
            // As the API server keeps it: its times have less precision than ours.
            self.status = self.tenant.status.clone().unwrap_or(next);
        }
        Ok(())
    }

    fn seen(&self, facts: &Facts) -> Seen {
        let project = self
            .status
            .project
            .as_ref()
            .map(|project| project.id.as_str());
        let credentials = match (&self.goal, &facts.secret) {
            (
                _,
                SecretFacts::Ours {
                    intact: true,
                    project: of,
                    ..
                },
            ) => of.as_ref().map(ProjectId::as_str) == project && self.status.binding.is_some(),
            _ => false,
        };
        let schema = self.status.schema.as_ref().is_some_and(|schema| {
            schema.project_id.as_deref() == project
                && match &facts.schema {
                    Schema::Target(target) => {
                        schema.version == Some(target.version)
                            && schema.checksum.as_ref() == Some(&target.digest)
                    }
                    Schema::Unusable(_) => false,
                }
        });
        Seen {
            generation: self.tenant.metadata.generation,
            credentials,
            schema,
            now: Timestamp::now(),
        }
    }

    async fn write(&mut self, next: &TenantStatus) -> Result<(), ClusterError> {
        let written = match self.ctx.cluster.write_status(&self.tenant, next).await {
            // Somebody edited the Tenant meanwhile. If the status is still the one this pass began with, nobody else
            // acts on the Tenant, and the new status says, by its generation, which spec it speaks of.
            Err(ClusterError::Conflict { what }) => {
                let fresh = self.ctx.cluster.tenant(&self.key).await?;
                if fresh.metadata.uid != self.tenant.metadata.uid
                    || fresh.status != self.tenant.status
                {
                    return Err(ClusterError::Conflict { what });
                }
                self.ctx.cluster.write_status(&fresh, next).await?
            }
            other => other?,
        };
        self.adopt_version(written);
        Ok(())
    }

    /// Goes on with the version of the Tenant that a write returned. The goal stays that of the spec the pass began with;
    /// a newer spec wakes the next pass.
    pub fn adopt_version(&mut self, written: Tenant) {
        self.ctx.recent.wrote(self.uid, written.clone());
        let generation = self.tenant.metadata.generation;
        self.tenant = written;
        self.tenant.metadata.generation = generation;
    }

    /// A change of the reason for not being ready is worth an event; the same reason again is not.
    fn announce(&self, next: &TenantStatus, verdict: &Verdict) {
        let before = find_condition(&self.status.conditions, ConditionType::Ready);
        let after = find_condition(&next.conditions, ConditionType::Ready);
        let changed = match (before, after) {
            (Some(before), Some(after)) => {
                before.reason != after.reason || before.message != after.message
            }
            _ => true,
        };
        if !changed {
            return;
        }
        match verdict {
            Verdict::Stalled(finding) | Verdict::DeletionStalled(finding) => {
                tracing::warn!(
                    tenant.namespace = %self.key.namespace, tenant.name = %self.key.name, reason = %finding.reason,
                    tenant.available = is_available(next), "Tenant is stalled: {}", finding.message
                );
                self.ctx
                    .events
                    .warning(self.reference(), finding.reason, &finding.message);
            }
            Verdict::Ready => {
                let ready_ms = next
                    .timings
                    .as_ref()
                    .and_then(|timings| timings.ready_ms)
                    .unwrap_or(0);
                tracing::info!(
                    tenant.namespace = %self.key.namespace, tenant.name = %self.key.name, ready_ms,
                    "Tenant is ready"
                );
            }
            Verdict::Progress(_) | Verdict::Suspended | Verdict::Deleting(_) => {}
        }
    }
}
