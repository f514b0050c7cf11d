//! Whatever happens, and wherever the process dies: once it is quiet, a Tenant that lives has exactly one project with all
//! that it wishes for, and one that was deleted has left nothing behind.

mod process;
mod world;

use controller::identity::marked_tenant;
use controller::plan::Step;
use controller::wish::{TenantName, validate};
use crds::{Compute, ConnectionSecret, DeletionPolicy, Quota};
use jiff::SignedDuration;
use neon::ids::ProjectId;
use neon::model::Project;
use proptest::prelude::*;

use process::{Process, Went, class, installation, uid_of};
use world::{Fate, SETTLE_WINDOW, World};

/// Runs of each property.
const CASES: u32 = 600;
/// Things that happen before it is quiet.
const HAPPENINGS_MAX: usize = 60;
/// Steps of one pass, as in `reconcile`.
const PASS_STEPS_MAX: usize = 24;
/// Passes that a Tenant may take to its end, once it is quiet. A request that is being waited out takes one in five
/// seconds.
const QUIET_PASSES_MAX: usize = 60;
/// Wait after a pass that failed.
const BACKOFF: SignedDuration = SignedDuration::from_secs(2);

/// Something that happens.
#[derive(Clone, Debug)]
enum Happening {
    /// The controller goes so many steps.
    Steps(u8),
    /// It dies after so many effects.
    CrashIn(u8),
    /// Time passes.
    Seconds(u8),
    /// What becomes of the next call to Neon that has no fate yet.
    Fate(Fate),
    /// What becomes of the next request to create a project that has no fate yet.
    Creation(Fate),
    /// A listing that nobody waits for begins.
    ListingBegins,
    /// It is complete.
    ListingEnds,
    /// The Tenant is applied, if it is gone.
    Apply,
    /// The Tenant is deleted.
    Delete,
    /// Its spec is edited.
    Edit(Edit),
    /// Something goes astray behind the controller's back.
    Astray(Astray),
}

#[derive(Clone, Debug)]
enum Edit {
    MaxQuarters(u8),
    ActiveSeconds(u8),
    DisplayName(bool),
    SecretName(bool),
    Suspend(bool),
    Retain(bool),
    NewSchema,
}

#[derive(Clone, Debug)]
enum Astray {
    SecretRemoved,
    SecretEdited,
    PasswordChanged,
    ProjectDeleted,
    ProjectRenamed,
    ComputeResized,
    StatusLost,
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        2 => Just(Fate::Good),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Lost),
    ]
}

fn creations() -> impl Strategy<Value = Fate> {
    prop_oneof![
        1 => fates(),
        2 => (0..120_u16).prop_map(Fate::Late),
    ]
}

fn edits() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (1..16_u8).prop_map(Edit::MaxQuarters),
        (0..3_u8).prop_map(Edit::ActiveSeconds),
        any::<bool>().prop_map(Edit::DisplayName),
        any::<bool>().prop_map(Edit::SecretName),
        any::<bool>().prop_map(Edit::Suspend),
        any::<bool>().prop_map(Edit::Retain),
        Just(Edit::NewSchema),
    ]
}

fn astray() -> impl Strategy<Value = Astray> {
    prop_oneof![
        Just(Astray::SecretRemoved),
        Just(Astray::SecretEdited),
        Just(Astray::PasswordChanged),
        Just(Astray::ProjectDeleted),
        Just(Astray::ProjectRenamed),
        Just(Astray::ComputeResized),
        Just(Astray::StatusLost),
    ]
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        12 => (1..12_u8).prop_map(Happening::Steps),
        4 => (0..8_u8).prop_map(Happening::CrashIn),
        4 => (0..100_u8).prop_map(Happening::Seconds),
        4 => fates().prop_map(Happening::Fate),
        3 => creations().prop_map(Happening::Creation),
        2 => Just(Happening::ListingBegins),
        2 => Just(Happening::ListingEnds),
        1 => Just(Happening::Apply),
        2 => Just(Happening::Delete),
        4 => edits().prop_map(Happening::Edit),
        3 => astray().prop_map(Happening::Astray),
    ];
    proptest::collection::vec(one, 1..HAPPENINGS_MAX)
}

#[derive(Debug, Default)]
struct Simulation {
    world: World,
    process: Process,
    asked: u32,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Simulation {
    fn happen(&mut self, happening: &Happening) {
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
    fn quiet(&mut self) {
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
            match self.pass() {
                Went::Idle | Went::Ended(Step::LetGo(_)) => return,
                // Twice with a listing between: what only a listing shows is mended too.
                Went::Ended(Step::Rest) if rested == 2 => return,
                Went::Ended(Step::Rest) => rested += 1,
                Went::Ended(Step::Wait {
                    until: Some(until), ..
                }) => {
                    let wait = until
                        .duration_since(self.world.now)
                        .max(SignedDuration::ZERO);
                    self.world.pass_time(wait);
                }
                Went::Failed | Went::Ended(Step::Hold) => self.world.pass_time(BACKOFF),
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
    fn pass(&mut self) -> Went {
        for _ in 0..PASS_STEPS_MAX {
            match self.step() {
                Went::On => {}
                went => return went,
            }
        }
        panic!(
            "a pass takes more than {PASS_STEPS_MAX} steps, with {:?}",
            self.world.tenant
        );
    }

    /// What must be so in the end.
    fn check(&mut self) {
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
        assert!(tenant.finalizer && self.world.class_guarded);
        let status = tenant.status.expect("a status");
        let recorded = status.project.expect("a project");
        assert_eq!(all.len(), 1, "one project and no twin");
        assert_eq!(all[0].id.as_str(), recorded.id);
        assert_eq!(status.creation, None);

        let name = TenantName {
            namespace: "acme",
            name: "one",
        };
        let wish =
            validate(name, &tenant.spec, &class(), None).expect("a wish that can be granted");
        let held = self.world.alive(&all[0].id).expect("it is there").clone();
        let quota = held
            .project
            .settings
            .and_then(|settings| settings.quota)
            .expect("a quota");
        assert_eq!(quota.active_time_seconds, wish.quota.active_time_seconds);
        assert_eq!(
            (held.compute.min, held.compute.max),
            (wish.compute.min, wish.compute.max)
        );
        assert!(
            held.project.name.starts_with(&wish.label),
            "{}",
            held.project.name
        );
        assert_eq!(held.schema, Some(self.world.schema));
        let secret = self.world.secret(&wish.secret_name).expect("a Secret");
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

fn run(happenings: &[Happening]) {
    let mut simulation = Simulation::default();
    for happening in happenings {
        simulation.happen(happening);
    }
    simulation.quiet();
    simulation.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_ends_well_once_it_is_quiet(happenings in happenings()) {
        run(&happenings);
    }

    /// Neon broke its word on how late a request may do its work: then there are two for a while.
    #[test]
    fn a_twin_that_comes_too_late_is_removed(
        fates in proptest::collection::vec((0..900_u16).prop_map(Fate::Late), 1..4),
        seconds in proptest::collection::vec(0..200_u8, 0..8),
        crash in proptest::option::of(0..20_u8),
    ) {
        let mut simulation = Simulation::default();
        simulation.world.late_max = SignedDuration::from_mins(15);
        simulation.world.creations.extend(fates);
        simulation.world.crash_in = crash;
        for seconds in seconds {
            simulation.happen(&Happening::Steps(8));
            simulation.happen(&Happening::Seconds(seconds));
        }
        // Until the last of them is there.
        simulation.world.pass_time(simulation.world.late_max);
        simulation.quiet();
        simulation.check();
    }

    /// A life from nothing to gone, cut after any effect.
    #[test]
    fn a_tenant_deleted_at_any_moment_leaves_nothing_behind(
        before in 0..12_u8, crash in 0..20_u8, fates in proptest::collection::vec(fates(), 0..6),
        creations in proptest::collection::vec(creations(), 0..3), seconds in 0..150_u8,
    ) {
        let mut happenings: Vec<Happening> = fates.into_iter().map(Happening::Fate).collect();
        happenings.extend(creations.into_iter().map(Happening::Creation));
        happenings.extend([
            Happening::CrashIn(crash),
            Happening::Steps(before),
            Happening::Seconds(seconds),
            Happening::Delete,
            Happening::Steps(10),
        ]);
        run(&happenings);
    }
}

#[test]
fn a_quiet_life_ends_with_everything() {
    run(&[Happening::Steps(20)]);
}

#[test]
fn the_process_may_die_after_any_effect_of_a_life() {
    // Creation, an edit of everything, deletion: more effects than any of them has.
    const EFFECTS: u8 = 40;
    for crash in 0..EFFECTS {
        let mut life = vec![
            Happening::CrashIn(crash),
            Happening::Steps(20),
            Happening::Edit(Edit::MaxQuarters(8)),
            Happening::Edit(Edit::ActiveSeconds(2)),
            Happening::Edit(Edit::SecretName(true)),
            Happening::Edit(Edit::NewSchema),
            Happening::Steps(20),
        ];
        run(&life);
        life.extend([Happening::Delete, Happening::Steps(20)]);
        run(&life);
    }
}

#[test]
fn a_retained_project_stays_and_the_tenant_goes() {
    let mut simulation = Simulation::default();
    let life = [
        Happening::Steps(20),
        Happening::Edit(Edit::Retain(true)),
        Happening::Delete,
    ];
    for happening in &life {
        simulation.happen(happening);
    }
    simulation.quiet();
    assert!(simulation.world.tenant.is_none());
    assert_eq!(simulation.world.listed().len(), 1);
}
