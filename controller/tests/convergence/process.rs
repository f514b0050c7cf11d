//! The controller's process: what `reconcile`, `observe` and the files of `apply` do, with the world of this test in the
//! place of Neon and the API server. The plan, the wish, the report and the account's snapshot are the real ones.
//!
//! The order of effects within a step is that of `apply`; whoever changes it there changes it here.

mod account;
mod steps;

use controller::accounts::{Gathering, Snapshot};
use controller::error::Failure;
use controller::identity::{InstallationId, TenantUid, project_name};
use controller::tenant::apply::progress;
use controller::tenant::desired::{TenantName, Wish, deletion_policy, secret_name, validate};
use controller::tenant::observed::{
    AccountFacts, EndpointFacts, Facts, Schema, SchemaTarget, SecretFacts,
};
use controller::tenant::plan::{Goal, Step, plan};
use controller::tenant::status::{Area, Finding, Seen, Verdict, report};
use crds::{
    ApiKeySecretRef, Compute, ConditionType, NeonAccount, Reason, TenantClassSpec, TenantDefaults,
    TenantStatus, is_true,
};
use neon_client::ids::ProjectId;

use self::steps::{add_finalizer, inspect, let_go, migrate, write_secret};
use crate::world::{Stop, Stored, World, conflict};

/// What a pass found out and does not have to ask again.
#[derive(Default, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "as in the controller: each is a discovery of its own"
)]
struct Hand {
    credentials: Option<(ProjectId, u32)>,
    endpoint: Option<EndpointFacts>,
    confirmed: bool,
    deleted: Option<ProjectId>,
    password_rejected: bool,
    password_reset: bool,
    password_read: bool,
}

/// A pass over the Tenant.
#[derive(Debug)]
struct Pass {
    tenant: Stored,
    status: TenantStatus,
    goal: Goal,
    hand: Hand,
}

/// What a process knows; a crash forgets all of it.
#[derive(Debug, Default)]
pub(crate) struct Process {
    snapshot: Snapshot,
    listing: Option<Gathering>,
    pass: Option<Pass>,
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
        let mut gathering = Gathering::begin(world.now);
        gathering.page(&world.listed(), Vec::new(), &installation());
        self.listing = Some(gathering);
    }

    /// The listing that began is complete.
    pub(crate) fn end_listing(&mut self) {
        if let Some(gathering) = self.listing.take() {
            self.snapshot.replace(gathering);
        }
    }

    /// Observes, plans and applies once.
    pub(crate) fn go_on(&mut self, world: &mut World) -> Went {
        let Some(mut pass) = self.pass.take().or_else(|| begin(world)) else {
            return Went::Idle;
        };
        let went = self.one_step(world, &mut pass);
        match went {
            Went::On => self.pass = Some(pass),
            Went::Crashed => *self = Self::default(),
            Went::Idle | Went::Ended(_) | Went::Failed => {}
        }
        went
    }

    fn one_step(&mut self, world: &mut World, pass: &mut Pass) -> Went {
        if pass.tenant.deleting && !pass.tenant.finalizer {
            return Went::Idle;
        }
        let facts = self.observe(world, pass);
        let step = plan(&pass.goal, &facts);
        let done = match verdict_of(pass, &step) {
            Some(verdict) => {
                if step == Step::Rest {
                    pass.status.effective = pass.wish().ok().map(Wish::effective);
                }
                save(world, pass, &facts, &verdict)
            }
            None => self.take(world, pass, &facts, &step),
        };
        match done {
            Ok(()) if ends(&step) => Went::Ended(step),
            Ok(()) => Went::On,
            Err(Stop::Crash) => Went::Crashed,
            Err(Stop::Failed(failure)) => self.fail(world, pass, &failure),
        }
    }

    fn fail(&self, world: &mut World, pass: &mut Pass, failure: &Failure) -> Went {
        if failure.reason != Reason::KubernetesError {
            let facts = self.observe(world, pass);
            let verdict = failure.verdict(pass.tenant.deleting);
            if let Err(Stop::Crash) = save(world, pass, &facts, &verdict) {
                return Went::Crashed;
            }
        }
        Went::Failed
    }

    fn observe(&self, world: &mut World, pass: &Pass) -> Facts {
        let project = pass.project();
        let (label, secret) = match &pass.goal {
            Goal::Live(Ok(wish)) => (wish.label.clone(), wish.secret_name.clone()),
            _ => (String::new(), secret_name(NAME.name, &pass.tenant.spec)),
        };
        let secret = match world.secret(&secret) {
            None => SecretFacts::Missing,
            Some(kept) if kept.owner != pass.tenant.uid => SecretFacts::Foreign,
            Some(kept) => SecretFacts::Ours {
                intact: kept.intact,
                project: kept.project.clone(),
                ca_digest: None,
            },
        };
        Facts {
            now: world.now,
            status: pass.status.clone(),
            has_finalizer: pass.tenant.finalizer,
            suspended: pass.tenant.spec.suspend,
            abandon: false,
            reconcile_at: pass.tenant.reconcile_at.clone(),
            class_guarded: world.class_guarded,
            account: AccountFacts::Usable,
            project_name: project_name(&label, &installation(), uid_of(pass.tenant.uid)),
            listing: self
                .snapshot
                .facts(uid_of(pass.tenant.uid), project.as_ref()),
            endpoint: pass.hand.endpoint.clone(),
            confirmed: pass.hand.confirmed,
            deleted: pass.hand.deleted.clone(),
            taken_by: None,
            secret,
            password_rejected: pass.hand.password_rejected,
            ca_digest: None,
            schema: Schema::Target(SchemaTarget {
                version: world.schema,
                digest: digest(world.schema),
            }),
        }
    }

    fn take(
        &mut self,
        world: &mut World,
        pass: &mut Pass,
        facts: &Facts,
        step: &Step,
    ) -> Result<(), Stop> {
        let was_ready = is_true(&pass.status.conditions, ConditionType::Ready);
        if let Some((area, reason, message)) = progress(step).filter(|_| was_ready) {
            let finding = Finding {
                area,
                reason,
                message: message.to_owned(),
            };
            let deleting = pass.tenant.deleting;
            let verdict = if deleting {
                Verdict::Deleting(finding)
            } else {
                Verdict::Progress(finding)
            };
            save(world, pass, facts, &verdict)?;
        }
        match step {
            Step::GuardClass => {
                world.class_guarded = true;
                world.effect()
            }
            Step::AddFinalizer => add_finalizer(world, pass),
            Step::LetGo(_) => let_go(world, pass),
            Step::List { .. } => self.list(world),
            Step::Create { attempt } => self.create(world, pass, facts, *attempt),
            Step::TakeUp(id) => self.take_up(world, pass, id),
            Step::RemoveTwin(id) => self.delete(world, pass, id),
            Step::ConfirmGone(id) => self.confirm_gone(world, pass, id),
            Step::Inspect(id) => inspect(world, pass, facts, id),
            Step::Update { project, compute } => {
                self.update(world, pass, facts, project, compute.is_some())
            }
            Step::WriteSecret(id) => write_secret(world, pass, id),
            Step::Migrate(id) => migrate(world, pass, facts, id),
            Step::DeleteProject(id) => {
                self.delete(world, pass, id)?;
                pass.hand.deleted = Some(id.clone());
                Ok(())
            }
            Step::Adopt(_) | Step::Wait { .. } | Step::Hold | Step::Stall(_) | Step::Rest => Ok(()),
        }
    }
}

const NAME: TenantName<'static> = TenantName {
    namespace: "acme",
    name: "one",
};

impl Pass {
    fn wish(&self) -> Result<&Wish, Stop> {
        match &self.goal {
            Goal::Live(Ok(wish)) => Ok(wish),
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

fn begin(world: &World) -> Option<Pass> {
    let tenant = world.tenant.clone()?;
    let status = tenant.status.clone().unwrap_or_default();
    Some(Pass {
        goal: goal(&tenant, &status),
        tenant,
        status,
        hand: Hand::default(),
    })
}

fn goal(tenant: &Stored, status: &TenantStatus) -> Goal {
    if tenant.deleting {
        let in_effect = status
            .effective
            .as_ref()
            .map(|effective| effective.deletion_policy);
        return Goal::Go(deletion_policy(&tenant.spec, Some(&class()), in_effect));
    }
    let settled = status.project.as_ref().and(status.effective.as_ref());
    Goal::Live(validate(NAME, &tenant.spec, &class(), settled))
}

fn ends(step: &Step) -> bool {
    matches!(
        step,
        Step::Wait { .. } | Step::Hold | Step::Stall(_) | Step::Rest | Step::LetGo(_)
    )
}

fn progress_of(area: Area, reason: Reason) -> Verdict {
    Verdict::Progress(Finding {
        area,
        reason,
        message: String::new(),
    })
}

/// What the status says at a step that ends the pass.
fn verdict_of(pass: &Pass, step: &Step) -> Option<Verdict> {
    let finding = |reason, message: &String| Finding {
        area: Area::Project,
        reason,
        message: message.clone(),
    };
    Some(match (step, pass.tenant.deleting) {
        (Step::Rest, _) => Verdict::Ready,
        (Step::Hold, _) => Verdict::Suspended,
        (Step::Stall(refusal), false) => {
            Verdict::Stalled(finding(refusal.reason, &refusal.message))
        }
        (Step::Stall(refusal), true) => {
            Verdict::DeletionStalled(finding(refusal.reason, &refusal.message))
        }
        (
            Step::Wait {
                reason, message, ..
            },
            false,
        ) => Verdict::Progress(finding(*reason, message)),
        (
            Step::Wait {
                reason, message, ..
            },
            true,
        ) => Verdict::Deleting(finding(*reason, message)),
        _ => return None,
    })
}

/// Writes the status, if that changes anything.
fn save(world: &mut World, pass: &mut Pass, facts: &Facts, verdict: &Verdict) -> Result<(), Stop> {
    let project = pass
        .status
        .project
        .as_ref()
        .map(|project| project.id.as_str());
    let credentials = match &facts.secret {
        SecretFacts::Ours {
            intact: true,
            project: of,
            ..
        } => of.as_ref().map(ProjectId::as_str) == project && pass.status.binding.is_some(),
        _ => false,
    };
    let schema = pass.status.schema.as_ref().is_some_and(|schema| {
        schema.project_id.as_deref() == project && schema.version == Some(world.schema)
    });
    let seen = Seen {
        generation: Some(pass.tenant.generation),
        credentials,
        schema,
        now: world.now,
    };
    let next = report(pass.status.clone(), verdict, seen);
    if pass.tenant.status.as_ref() != Some(&next) {
        let stored = world.stored(pass.tenant.uid)?;
        // Edits of the spec meanwhile do no harm; a status that somebody else wrote ends the pass.
        if stored.status != pass.tenant.status {
            return Err(conflict());
        }
        stored.status = Some(next.clone());
        let written = stored.clone();
        pass.adopt_version(written);
        world.effect()?;
    }
    pass.status = next;
    Ok(())
}
