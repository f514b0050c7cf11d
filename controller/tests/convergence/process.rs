//! The controller's process: what `reconcile`, `observe` and the files of `apply` do, with the world of this test in the
//! place of Neon and the API server. The plan, the wish, the report and the account's snapshot are the real ones.
//!
//! The order of effects within a step is that of `apply`; whoever changes it there changes it here.

mod account;
mod steps;

use controller::accounts::{ListingBuilder, Snapshot};
use controller::cache::ObservedSecret;
use controller::error::ReconcileError;
use controller::identity::{InstallationId, TenantUid, project_name};
use controller::issue::{Component, Issue};
use controller::tenant::apply::progress;
use controller::tenant::desired::{
    DesiredState, TenantName, deletion_policy, resolve_desired, secret_name,
};
use controller::tenant::intent::Intent;
use controller::tenant::observed::{ObservedCompute, ObservedState, SchemaTarget};
use controller::tenant::plan::{Step, plan};
use controller::tenant::status::{StatusInput, StatusOutcome, build_status};
use crds::{
    ApiKeySecretRef, Compute, ConditionType, NeonAccount, Reason, TenantClassSpec, TenantDefaults,
    TenantStatus, is_true,
};
use neon_client::ids::ProjectId;

use self::steps::{add_finalizer, inspect, migrate, remove_finalizer, write_secret};
use crate::world::{Stop, Stored, World, conflict};

/// What a pass found out and does not have to ask again.
#[derive(Default, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "as in the controller: each is a discovery of its own"
)]
struct ReconcileState {
    credentials: Option<(ProjectId, u32)>,
    compute: Option<ObservedCompute>,
    project_found: bool,
    deleted: Option<ProjectId>,
    password_rejected: bool,
    password_reset: bool,
    password_read: bool,
}

/// A pass over the Tenant.
#[derive(Debug)]
struct Reconciliation {
    tenant: Stored,
    status: TenantStatus,
    intent: Intent,
    state: ReconcileState,
}

/// What a process knows; a crash forgets all of it.
#[derive(Debug, Default)]
pub(crate) struct Process {
    snapshot: Snapshot,
    listing: Option<ListingBuilder>,
    rec: Option<Reconciliation>,
}

/// What came of going one step further.
#[derive(Debug, PartialEq)]
pub(crate) enum Went {
    /// There is no Tenant.
    Idle,
    /// A step was done, and the pass goes on.
    On,
    /// The pass ended with this step, or because it failed.
    Ended(Step),
    /// The step failed, and the pass with it.
    Failed,
    /// The process died.
    Crashed,
}

pub(crate) fn installation() -> InstallationId {
    InstallationId::parse("test").expect("an id")
}

pub(crate) fn uid_of(number: u32) -> TenantUid {
    TenantUid::parse(&format!("00000000-0000-0000-0000-{number:012}")).expect("a UID")
}

/// The class of every Tenant here.
pub(crate) fn class() -> TenantClassSpec {
    TenantClassSpec {
        neon: NeonAccount {
            api_key_secret_ref: ApiKeySecretRef {
                name: "neon".to_owned(),
                key: "api-key".to_owned(),
            },
            org_id: None,
            base_url: None,
            ca_bundle: None,
        },
        defaults: TenantDefaults {
            region: Some("aws-eu-central-1".to_owned()),
            compute: Some(Compute {
                min_cu: Some(0.25),
                max_cu: Some(1.0),
                suspend_timeout_seconds: None,
            }),
            ..TenantDefaults::default()
        },
        limits: crds::ClassLimits::default(),
        adoption: crds::Adoption::default(),
        deletion_policy: None,
        migrations: crds::Migrations::default(),
    }
}

fn digest(version: i64) -> String {
    format!("digest-{version}")
}

impl Process {
    /// A listing that nobody waits for begins: it shows what is there now.
    pub(crate) fn begin_listing(&mut self, world: &World) {
        let mut listing = ListingBuilder::begin(world.now);
        listing.add_page(&world.listed(), Vec::new(), &installation());
        self.listing = Some(listing);
    }

    /// The listing that began is complete.
    pub(crate) fn end_listing(&mut self) {
        if let Some(listing) = self.listing.take() {
            self.snapshot.replace(listing);
        }
    }

    /// Observes, plans and applies once.
    pub(crate) fn go_on(&mut self, world: &mut World) -> Went {
        let Some(mut rec) = self.rec.take().or_else(|| begin(world)) else {
            return Went::Idle;
        };
        let went = self.one_step(world, &mut rec);
        match went {
            Went::On => self.rec = Some(rec),
            Went::Crashed => *self = Self::default(),
            Went::Idle | Went::Ended(_) | Went::Failed => {}
        }
        went
    }

    fn one_step(&mut self, world: &mut World, rec: &mut Reconciliation) -> Went {
        if rec.tenant.deleting && !rec.tenant.finalizer {
            return Went::Idle;
        }
        let observed = self.observe(world, rec);
        let step = plan(&rec.intent, &observed);
        let done = match outcome_of(&step) {
            Some(outcome) => {
                if step == Step::UpToDate {
                    rec.status.effective = rec.desired().ok().map(DesiredState::effective);
                }
                save(world, rec, &observed, &outcome)
            }
            None => self.take(world, rec, &observed, &step),
        };
        match done {
            Ok(()) if ends(&step) => Went::Ended(step),
            Ok(()) => Went::On,
            Err(Stop::Crash) => Went::Crashed,
            Err(Stop::Failed(failure)) => self.fail(world, rec, &failure),
        }
    }

    fn fail(&self, world: &mut World, rec: &mut Reconciliation, error: &ReconcileError) -> Went {
        if error.issue.reason != Reason::KubernetesError {
            let observed = self.observe(world, rec);
            if let Err(Stop::Crash) = save(world, rec, &observed, &StatusOutcome::from(error)) {
                return Went::Crashed;
            }
        }
        Went::Failed
    }

    fn observe(&self, world: &mut World, rec: &Reconciliation) -> ObservedState {
        let project = rec.project();
        let (label, secret) = match &rec.intent {
            Intent::Provision(Ok(desired)) => (desired.label.clone(), desired.secret_name.clone()),
            _ => (String::new(), secret_name(NAME.name, &rec.tenant.spec)),
        };
        let secret = match world.secret(&secret) {
            None => ObservedSecret::Missing,
            Some(kept) if kept.owner != rec.tenant.uid => ObservedSecret::NotOwned,
            Some(kept) => ObservedSecret::Owned {
                intact: kept.intact,
                project: kept.project.clone(),
                ca_digest: None,
            },
        };
        ObservedState {
            now: world.now,
            status: rec.status.clone(),
            has_finalizer: rec.tenant.finalizer,
            suspended: rec.tenant.spec.suspend,
            orphan: false,
            reconcile_at: rec.tenant.reconcile_at.clone(),
            class_has_finalizer: world.class_has_finalizer,
            account: Ok(()),
            project_name: project_name(&label, &installation(), uid_of(rec.tenant.uid)),
            listing: self
                .snapshot
                .listing_for(uid_of(rec.tenant.uid), project.as_ref()),
            compute: rec.state.compute.clone(),
            project_found: rec.state.project_found,
            deleted: rec.state.deleted.clone(),
            claimed_by: None,
            secret,
            password_rejected: rec.state.password_rejected,
            ca_digest: None,
            schema: Ok(SchemaTarget {
                version: world.schema,
                digest: digest(world.schema),
            }),
        }
    }

    fn take(
        &mut self,
        world: &mut World,
        rec: &mut Reconciliation,
        observed: &ObservedState,
        step: &Step,
    ) -> Result<(), Stop> {
        let was_ready = is_true(&rec.status.conditions, ConditionType::Ready);
        if let Some(issue) = progress(step).filter(|_| was_ready) {
            save(world, rec, observed, &StatusOutcome::InProgress(issue))?;
        }
        match step {
            Step::AddClassFinalizer => {
                world.class_has_finalizer = true;
                world.effect()
            }
            Step::AddFinalizer => add_finalizer(world, rec),
            Step::RemoveFinalizer(_) => remove_finalizer(world, rec),
            Step::List { .. } => self.list(world),
            Step::Create { attempt } => self.create(world, rec, observed, *attempt),
            Step::RecoverCreated(id) => self.recover_created(world, rec, id),
            Step::DeleteDuplicate(id) => self.delete(world, rec, id),
            Step::VerifyMissing(id) => self.verify_missing(world, rec, id),
            Step::Inspect(id) => inspect(world, rec, observed, id),
            Step::Update { project, compute } => {
                self.update(world, rec, observed, project, compute.is_some())
            }
            Step::WriteSecret(id) => write_secret(world, rec, id),
            Step::Migrate(id) => migrate(world, rec, observed, id),
            Step::DeleteProject(id) => {
                self.delete(world, rec, id)?;
                rec.state.deleted = Some(id.clone());
                Ok(())
            }
            Step::Adopt(_)
            | Step::Wait { .. }
            | Step::Suspended
            | Step::Stalled(_)
            | Step::UpToDate => Ok(()),
        }
    }
}

const NAME: TenantName<'static> = TenantName {
    namespace: "acme",
    name: "one",
};

impl Reconciliation {
    fn desired(&self) -> Result<&DesiredState, Stop> {
        match &self.intent {
            Intent::Provision(Ok(desired)) => Ok(desired),
            _ => Err(conflict()),
        }
    }

    fn project(&self) -> Option<ProjectId> {
        self.status
            .project
            .as_ref()
            .and_then(|project| project.id.parse().ok())
    }

    /// Goes on with the version that a write returned, and with the generation that the pass began with.
    fn adopt_version(&mut self, written: Stored) {
        self.tenant = Stored {
            generation: self.tenant.generation,
            ..written
        };
    }
}

fn begin(world: &World) -> Option<Reconciliation> {
    let tenant = world.tenant.clone()?;
    let status = tenant.status.clone().unwrap_or_default();
    Some(Reconciliation {
        intent: intent(&tenant, &status),
        tenant,
        status,
        state: ReconcileState::default(),
    })
}

fn intent(tenant: &Stored, status: &TenantStatus) -> Intent {
    if tenant.deleting {
        let in_effect = status
            .effective
            .as_ref()
            .map(|effective| effective.deletion_policy);
        return Intent::Delete(deletion_policy(&tenant.spec, Some(&class()), in_effect));
    }
    let settled = status.project.as_ref().and(status.effective.as_ref());
    Intent::Provision(resolve_desired(NAME, &tenant.spec, &class(), settled))
}

fn ends(step: &Step) -> bool {
    matches!(
        step,
        Step::Wait { .. }
            | Step::Suspended
            | Step::Stalled(_)
            | Step::UpToDate
            | Step::RemoveFinalizer(_)
    )
}

fn progress_of(component: Component, reason: Reason) -> StatusOutcome {
    StatusOutcome::InProgress(Issue::new(component, reason, ""))
}

/// The outcome of a step that ends the reconciliation.
fn outcome_of(step: &Step) -> Option<StatusOutcome> {
    match step {
        Step::UpToDate => Some(StatusOutcome::Ready),
        Step::Suspended => Some(StatusOutcome::Suspended),
        Step::Stalled(issue) => Some(StatusOutcome::Stalled(issue.clone())),
        Step::Wait { issue, .. } => Some(StatusOutcome::InProgress(issue.clone())),
        _ => None,
    }
}

/// Writes the status, if that changes anything.
fn save(
    world: &mut World,
    rec: &mut Reconciliation,
    observed: &ObservedState,
    outcome: &StatusOutcome,
) -> Result<(), Stop> {
    let project = rec
        .status
        .project
        .as_ref()
        .map(|project| project.id.as_str());
    let credentials = match &observed.secret {
        ObservedSecret::Owned {
            intact: true,
            project: of,
            ..
        } => of.as_ref().map(ProjectId::as_str) == project && rec.status.binding.is_some(),
        _ => false,
    };
    let schema = rec.status.schema.as_ref().is_some_and(|schema| {
        schema.project_id.as_deref() == project && schema.version == Some(world.schema)
    });
    let seen = StatusInput {
        generation: Some(rec.tenant.generation),
        deleting: rec.tenant.deleting,
        credentials,
        schema,
        now: world.now,
    };
    let next = build_status(rec.status.clone(), outcome, seen);
    if rec.tenant.status.as_ref() != Some(&next) {
        let stored = world.stored(rec.tenant.uid)?;
        // Edits of the spec meanwhile do no harm; a status that somebody else wrote ends the pass.
        if stored.status != rec.tenant.status {
            return Err(conflict());
        }
        stored.status = Some(next.clone());
        let written = stored.clone();
        rec.adopt_version(written);
        world.effect()?;
    }
    rec.status = next;
    Ok(())
}
