//! A world and a controller in it, and what must be so at any time and in the end.

use controller::identity::marked_tenant;
use controller::tenant::desired::{TenantName, resolve_desired};
use controller::tenant::plan::Step;
use crds::{Compute, ConnectionSecret, DeletionPolicy, Quota};
use jiff::SignedDuration;
use neon_client::ids::ProjectId;
use neon_client::model::Project;

use crate::happenings::{Astray, Edit, Happening};
use crate::process::{Process, Went, class, installation, uid_of};
use crate::world::{SETTLE_WINDOW, World};

/// Steps of one pass, as in `reconcile`.
const MAX_STEPS_PER_RECONCILE: usize = 24;
/// Passes that a Tenant may take to its end, once it is quiet. A request that is being waited out takes one in five
/// seconds.
const QUIET_PASSES_MAX: usize = 60;
/// Wait after a pass that failed.
const BACKOFF: SignedDuration = SignedDuration::from_secs(2);
#[derive(Debug, Default)]
pub(crate) struct Simulation {
    pub(crate) world: World,
    process: Process,
    asked: u32,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Simulation {
    pub(crate) fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Steps(count) => {
                for _ in 0..*count {
                    self.step();
                }
            }
            Happening::CrashIn(effects) => self.world.crash_in = Some(*effects),
            Happening::Seconds(seconds) => self
                .world
                .pass_time(SignedDuration::from_secs(i64::from(*seconds))),
            Happening::Fate(fate) => self.world.fates.push_back(*fate),
            Happening::Creation(fate) => self.world.creations.push_back(*fate),
            Happening::ListingBegins => self.process.begin_listing(&self.world),
            Happening::ListingEnds => self.process.end_listing(),
            Happening::Apply => self.world.apply_tenant(),
            Happening::Delete => self.world.delete_tenant(),
            Happening::Edit(edit) => self.edit(edit),
            Happening::Astray(astray) => self.go_astray(astray),
        }
        self.no_tenant_has_two();
    }

    fn step(&mut self) -> Went {
        let went = self.process.go_on(&mut self.world);
        self.no_tenant_has_two();
        went
    }

    fn edit(&mut self, edit: &Edit) {
        if matches!(edit, Edit::NewSchema) {
            self.world.schema += 1;
        }
        let Some(tenant) = &mut self.world.tenant else {
            return;
        };
        tenant.generation += 1;
        let spec = &mut tenant.spec;
        match edit {
            Edit::MaxQuarters(quarters) => {
                let max_cu = Some(f64::from(*quarters) / 4.0);
                spec.compute = Some(Compute {
                    min_cu: None,
                    max_cu,
                    suspend_timeout_seconds: None,
                });
            }
            Edit::ActiveSeconds(seconds) => {
                spec.quota = Some(Quota {
                    active_time_seconds: Some(i64::from(*seconds)),
                    ..Quota::default()
                });
            }
            Edit::DisplayName(named) => spec.display_name = named.then(|| "Acme".to_owned()),
            Edit::SecretName(named) => {
                spec.connection_secret = named.then(|| ConnectionSecret {
                    name: "db".to_owned(),
                });
            }
            Edit::Suspend(suspend) => spec.suspend = *suspend,
            Edit::Retain(retain) => spec.deletion_policy = retain.then_some(DeletionPolicy::Retain),
            Edit::NewSchema => {}
        }
    }

    fn go_astray(&mut self, astray: &Astray) {
        let now = self.world.now;
        let recorded = self
            .world
            .tenant
            .as_ref()
            .and_then(|tenant| tenant.status.as_ref()?.project.clone());
        let project =
            recorded.and_then(|project| self.world.projects.get_mut(&project.id.parse().ok()?));
        match (astray, project) {
            (Astray::SecretRemoved, _) => self.world.secrets.clear(),
            (Astray::SecretEdited, _) => {
                for secret in &mut self.world.secrets {
                    secret.intact = false;
                    secret.password = Some(0);
                }
            }
            (Astray::PasswordChanged, Some(project)) => {
                project.password = 0;
                // Somebody notices, and asks for a closer look.
                self.asked += 1;
                if let Some(tenant) = &mut self.world.tenant {
                    tenant.reconcile_at = Some(self.asked.to_string());
                }
            }
            (Astray::ProjectDeleted, Some(project)) => project.deleted = true,
            (Astray::ProjectRenamed, Some(project)) => {
                "mine now".clone_into(&mut project.project.name);
                project.project.updated_at = now;
            }
            (Astray::ComputeResized, Some(project)) => {
                project.compute.suspend_timeout_seconds = Some(-1);
                project.compute.max = None;
                project.project.updated_at = now;
            }
            (Astray::StatusLost, project) => {
                // With it the record of an unanswered request, or the last trace of a project that bears no mark, could
                // not be made good.
                let marked = project.is_none_or(|held| {
                    marked_tenant(&held.project.name, &installation()).is_some()
                });
                if let Some(tenant) = self.world.tenant.as_mut().filter(|_| marked) {
                    tenant.status.take_if(|status| status.creation.is_none());
                }
            }
            (_, None) => {}
        }
    }

    fn owned(&self, uid: u32) -> usize {
        let mine = |name: &str| marked_tenant(name, &installation()) == Some(uid_of(uid));
        self.world
            .listed()
            .iter()
            .filter(|project| mine(&project.name))
            .count()
    }

    fn no_tenant_has_two(&self) {
        if self.world.late_max > SETTLE_WINDOW {
            return;
        }
        for uid in 1..=self.world.uids_made {
            assert!(
                self.owned(uid) <= 1,
                "Tenant {uid} has two projects: {:?}",
                ids(&self.world.listed())
            );
        }
    }

    /// Nothing happens any more; the controller goes on until it has nothing left to do.
    pub(crate) fn quiet(&mut self) {
        self.world.fates.clear();
        self.world.creations.clear();
        self.world.crash_in = None;
        if let Some(tenant) = self
            .world
            .tenant
            .as_mut()
            .filter(|tenant| tenant.spec.suspend)
        {
            tenant.spec.suspend = false;
            tenant.generation += 1;
        }
        let mut rested = 0;
        for _ in 0..QUIET_PASSES_MAX {
            match self.reconcile() {
                Went::Idle | Went::Ended(Step::RemoveFinalizer(_)) => return,
                // Twice with a listing between: what only a listing shows is mended too.
                Went::Ended(Step::UpToDate) if rested == 2 => return,
                Went::Ended(Step::UpToDate) => rested += 1,
                Went::Ended(Step::Wait {
                    until: Some(until), ..
                }) => {
                    let wait = until
                        .duration_since(self.world.now)
                        .max(SignedDuration::ZERO);
                    self.world.pass_time(wait);
                }
                Went::Failed | Went::Ended(Step::Suspended) => self.world.pass_time(BACKOFF),
                went => panic!(
                    "it does not end well: {went:?}, with {:?}",
                    self.world.tenant
                ),
            }
            self.process.begin_listing(&self.world);
            self.process.end_listing();
        }
        panic!(
            "no end after {QUIET_PASSES_MAX} passes, with {:?}",
            self.world.tenant
        );
    }

    /// Goes on to the end of a pass.
    fn reconcile(&mut self) -> Went {
        for _ in 0..MAX_STEPS_PER_RECONCILE {
            match self.step() {
                Went::On => {}
                went => return went,
            }
        }
        panic!(
            "a pass takes more than {MAX_STEPS_PER_RECONCILE} steps, with {:?}",
            self.world.tenant
        );
    }

    /// What must be so in the end.
    pub(crate) fn check(&mut self) {
        let mut all = self.world.listed();
        all.retain(|project| !self.world.retained.contains(&project.id));
        let Some(tenant) = self.world.tenant.clone() else {
            assert!(
                all.is_empty() && self.world.in_flight.is_empty(),
                "left behind: {:?}",
                ids(&all)
            );
            return;
        };
        assert!(!tenant.deleting, "the finalizer is on still");
        assert!(tenant.finalizer && self.world.class_has_finalizer);
        let status = tenant.status.expect("a status");
        let recorded = status.project.expect("a project");
        assert_eq!(all.len(), 1, "one project and no twin");
        assert_eq!(all[0].id.as_str(), recorded.id);
        assert_eq!(status.creation, None);

        let name = TenantName {
            namespace: "acme",
            name: "one",
        };
        let desired = resolve_desired(name, &tenant.spec, &class(), None)
            .expect("a wish that can be granted");
        let held = self.world.alive(&all[0].id).expect("it is there").clone();
        let quota = held
            .project
            .settings
            .and_then(|settings| settings.quota)
            .expect("a quota");
        assert_eq!(quota.active_time_seconds, desired.quota.active_time_seconds);
        assert_eq!(
            (held.compute.min, held.compute.max),
            (desired.compute.min, desired.compute.max)
        );
        assert!(
            held.project.name.starts_with(&desired.label),
            "{}",
            held.project.name
        );
        assert_eq!(held.schema, Some(self.world.schema));
        let secret = self.world.secret(&desired.secret_name).expect("a Secret");
        assert!(secret.intact && secret.owner == tenant.uid);
        assert_eq!(
            (secret.password, &secret.project),
            (Some(held.password), &Some(all[0].id.clone()))
        );
        assert_eq!(status.observed_generation, Some(tenant.generation));
    }
}

fn ids(projects: &[Project]) -> Vec<&ProjectId> {
    projects.iter().map(|project| &project.id).collect()
}
