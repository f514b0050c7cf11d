//! What surrounds the controller: a Neon account, a cluster with one Tenant, a clock, and the faults
//! that are injected into calls.
//!
//! The simulated ports ([`crate::neon`], [`crate::cluster`], [`crate::databases`]) read and change
//! this state. Each call takes simulated time. Every change is preceded and followed by a point at
//! which the controller's process can crash.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use controller::cluster::ProjectClaim;
use controller::identity::{InstallationId, TenantUid, marked_tenant};
use crds::{SchemaRollout, Tenant, TenantClass};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use neon_client::ids::{OrgId, ProjectId};
use neon_client::model::{Branch, Endpoint, Project, Snapshot};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::events::Key;
use crate::neon::ORGANIZATION;

/// A creation request that was sent takes effect within this time, or never. It is the value of the
/// setting `neon-create-verification-window`.
pub(crate) const VERIFICATION_WINDOW: Duration = Duration::from_mins(2);
/// From the start of a call to its effect, and from its effect to the answer.
const HALF_CALL: Duration = Duration::from_millis(25);
/// Simulated time at the start: 1 June 2026.
const EPOCH: Timestamp = Timestamp::constant(1_780_272_000, 0);

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has its effect and is answered.
    Answered,
    /// It is refused and has no effect.
    Refused,
    /// It has its effect, and the answer is lost.
    Lost,
    /// The answer is lost, and a requested project appears this many seconds later. Only for
    /// creation requests.
    Late(u16),
}

/// A project with everything that belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedProject {
    pub(crate) project: Project,
    pub(crate) endpoint: Endpoint,
    pub(crate) password: String,
    /// Version of the last applied migration.
    pub(crate) schema: Option<i64>,
    /// Branches besides the default one, with the version at which each was created.
    pub(crate) branches: Vec<(Branch, Option<i64>)>,
    /// Snapshots, with the version at which each was created.
    pub(crate) snapshots: Vec<(Snapshot, Option<i64>)>,
    /// Number of branches that were created, including deleted ones.
    pub(crate) branches_made: u32,
    /// How often the database was restored.
    pub(crate) restores: u32,
    /// Whether it is deleted; a deleted project can be recovered.
    pub(crate) deleted: bool,
    /// Whether Neon cannot recover the deleted project any more.
    pub(crate) purged: bool,
    /// The Tenant that the controller created it for; `None` for a project that another user created.
    pub(crate) made_for: Option<TenantUid>,
}

/// A change that a watch has not delivered yet.
#[derive(Clone, Debug)]
pub(crate) enum WatchEvent {
    Tenant(Tenant),
    TenantDeleted(Tenant),
    Secret(Secret),
    SecretDeleted(Secret),
    Class(TenantClass),
}

#[derive(Debug)]
pub(crate) struct State {
    started: Instant,
    pub(crate) projects: BTreeMap<ProjectId, SimulatedProject>,
    /// Projects that will appear later, and when.
    pub(crate) in_flight: Vec<(Timestamp, SimulatedProject)>,
    pub(crate) tenant: Option<Tenant>,
    /// Whether another client changed the connection in the status after the controller wrote it.
    pub(crate) status_edited: bool,
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// Claims of projects that a Tenant took back.
    pub(crate) claims: BTreeMap<ProjectId, ProjectClaim>,
    /// When garbage collection deletes the Secrets of a deleted Tenant.
    pub(crate) garbage_collection: Option<Timestamp>,
    pub(crate) class: TenantClass,
    /// The rollouts of the class, by name.
    pub(crate) rollouts: BTreeMap<String, SchemaRollout>,
    pub(crate) watch_events: VecDeque<WatchEvent>,
    /// Projects that outlived their Tenant, by its deletion policy.
    pub(crate) retained: BTreeSet<ProjectId>,
    /// Version of the newest migration.
    pub(crate) schema: i64,
    /// Version of a migration that fails in every database.
    pub(crate) broken_migration: Option<i64>,
    /// Outcomes of the next calls to Neon and to databases; afterwards, all calls are answered.
    pub(crate) neon_outcomes: VecDeque<Outcome>,
    /// Outcomes of the next creation requests.
    pub(crate) creation_outcomes: VecDeque<Outcome>,
    /// Outcomes of the next writes to the Kubernetes API.
    pub(crate) cluster_outcomes: VecDeque<Outcome>,
    /// Longest time until a project of a late request appears. The controller relies on
    /// [`VERIFICATION_WINDOW`].
    pub(crate) max_lateness: SignedDuration,
    /// Number of the next listings that show projects only as unavailable.
    pub(crate) unavailable_listings: u8,
    /// The projects of which listings always contain only the ids.
    pub(crate) listed_by_id: BTreeSet<ProjectId>,
    /// Until when Neon cannot read any project.
    pub(crate) unreadable_until: Timestamp,
    /// How far the wall clock is ahead of the monotonic one, because the machine was suspended.
    pub(crate) suspended_for: SignedDuration,
    /// The organization in which Neon creates projects.
    pub(crate) creates_in: OrgId,
    /// The API key in the class's Secret.
    pub(crate) key: Key,
    /// Tenants that were being deleted while their policy was `Delete`. A user can change the policy
    /// during the deletion, which the running reconciliation does not see.
    pub(crate) ordered_deletions: BTreeSet<TenantUid>,
    /// A backup of the Tenant.
    pub(crate) backup: Option<Tenant>,
    /// Whether background listings get no answer for now.
    pub(crate) listings_held: bool,
    /// For each of the next crashes, the number of crash points to pass before it.
    pub(crate) crash_in: VecDeque<u32>,
    /// Number of calls that the controller may make before it is paused; `None` for no limit.
    calls_left: Option<u32>,
    /// Whether the running reconciliation has reset a password.
    pub(crate) password_reset: bool,
    /// Number of the next connections that Neon's proxy refuses, because it does not know the role.
    pub(crate) unknown_roles: u8,
    /// Until when Neon's proxy repeats that a quota is exceeded.
    pub(crate) quota_refused_until: Timestamp,
    pub(crate) uids_made: u32,
    projects_made: u32,
    passwords_made: u32,
    resource_version: u64,
}

/// A handle to the state.
#[derive(Clone, Debug)]
pub(crate) struct World(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    paused: Notify,
    resumed: Notify,
    crashed: Notify,
    listings_released: Notify,
}

pub(crate) fn installation() -> InstallationId {
    InstallationId::parse("test").expect("a valid id")
}

pub(crate) fn organization() -> OrgId {
    ORGANIZATION.parse().expect("a valid id")
}

pub(crate) fn uid_text(number: u32) -> String {
    format!("00000000-0000-0000-0000-{number:012}")
}

impl World {
    /// A world with a new Tenant. Requires a runtime with paused time.
    pub(crate) fn new() -> Self {
        let state = State {
            started: Instant::now(),
            projects: BTreeMap::new(),
            in_flight: Vec::new(),
            tenant: None,
            status_edited: false,
            secrets: BTreeMap::new(),
            claims: BTreeMap::new(),
            garbage_collection: None,
            class: crate::cluster::class(),
            rollouts: BTreeMap::new(),
            watch_events: VecDeque::new(),
            retained: BTreeSet::new(),
            schema: 3,
            broken_migration: None,
            neon_outcomes: VecDeque::new(),
            creation_outcomes: VecDeque::new(),
            cluster_outcomes: VecDeque::new(),
            max_lateness: SignedDuration::try_from(VERIFICATION_WINDOW).expect("a short time"),
            unavailable_listings: 0,
            listed_by_id: BTreeSet::new(),
            unreadable_until: EPOCH,
            suspended_for: SignedDuration::ZERO,
            creates_in: organization(),
            key: Key::Valid,
            ordered_deletions: BTreeSet::new(),
            backup: None,
            listings_held: false,
            crash_in: VecDeque::new(),
            calls_left: None,
            password_reset: false,
            unknown_roles: 0,
            quota_refused_until: EPOCH,
            uids_made: 0,
            projects_made: 0,
            passwords_made: 0,
            resource_version: 100,
        };
        let world = Self(Arc::new(Shared {
            state: Mutex::new(state),
            paused: Notify::new(),
            resumed: Notify::new(),
            crashed: Notify::new(),
            listings_released: Notify::new(),
        }));
        world.state().apply_tenant();
        world
    }

    /// The current state, with everything that is due by now.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.state.lock();
        state.process_due();
        state
    }

    /// Lets the controller make this many further calls, or any number.
    pub(crate) fn allow_calls(&self, calls: Option<u32>) {
        self.state().calls_left = calls;
        self.0.resumed.notify_waiters();
    }

    /// Waits until the controller has made all calls that it may make and tries to make another.
    pub(crate) async fn paused(&self) {
        loop {
            self.0.paused.notified().await;
            // A notification can be left over from a process that crashed.
            if self.state().calls_left == Some(0) {
                return;
            }
        }
    }

    /// Waits until the process crashes.
    pub(crate) async fn crashed(&self) {
        self.0.crashed.notified().await;
    }

    /// Starts a call of a reconciliation: waits while the controller is paused.
    pub(crate) async fn start_call(&self) {
        loop {
            let resumed = self.0.resumed.notified();
            {
                let mut state = self.state();
                match &mut state.calls_left {
                    Some(0) => {}
                    Some(left) => {
                        *left -= 1;
                        break;
                    }
                    None => break,
                }
            }
            self.0.paused.notify_one();
            resumed.await;
        }
        self.half_call().await;
    }

    pub(crate) async fn half_call(&self) {
        sleep(HALF_CALL).await;
    }

    /// A point at which the process can crash. A crash drops the caller's future here.
    pub(crate) async fn crash_point(&self) {
        let crash = {
            let mut state = self.state();
            match state.crash_in.front_mut() {
                Some(0) => {
                    state.crash_in.pop_front();
                    true
                }
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => false,
            }
        };
        if crash {
            self.0.crashed.notify_one();
            pending::<()>().await;
        }
    }

    pub(crate) fn release_listings(&self) {
        self.state().listings_held = false;
        self.0.listings_released.notify_waiters();
    }

    /// Waits while background listings get no answer.
    pub(crate) async fn listings_released(&self) {
        loop {
            let released = self.0.listings_released.notified();
            if !self.state().listings_held {
                return;
            }
            released.await;
        }
    }
}

fn is_marked(project: &Project) -> bool {
    marked_tenant(&project.name, &installation()).is_some()
}

impl State {
    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.started.elapsed()).expect("a short time");
        EPOCH + elapsed + self.suspended_for
    }

    fn process_due(&mut self) {
        let now = self.now();
        let due: Vec<_> = self
            .in_flight
            .extract_if(.., |(at, _)| *at <= now)
            .collect();
        for (at, mut late) in due {
            late.project.created_at = at;
            late.project.updated_at = at;
            self.insert_project(late);
        }
        if self.garbage_collection.is_some_and(|at| at <= now) {
            self.collect_garbage();
        }
    }

    /// Adds a project that the controller requested. Panics if its Tenant has another one and Neon
    /// was not too late.
    pub(crate) fn insert_project(&mut self, new: SimulatedProject) {
        let other = self
            .projects
            .values()
            .find(|other| !other.deleted && other.made_for == new.made_for);
        if let Some(other) =
            other.filter(|_| self.max_lateness.unsigned_abs() <= VERIFICATION_WINDOW)
        {
            panic!(
                "a Tenant has two projects: {} and {}",
                other.project.id, new.project.id
            );
        }
        self.projects.insert(new.project.id.clone(), new);
    }

    /// The project that the Tenant's status records.
    pub(crate) fn recorded(&mut self) -> Option<&mut SimulatedProject> {
        let status = self.tenant.as_ref()?.status.as_ref()?;
        let id: ProjectId = status.project.as_ref()?.id.parse().ok()?;
        self.projects.get_mut(&id)
    }

    /// A project of the Tenant besides the recorded one.
    pub(crate) fn duplicate(&self) -> Option<ProjectId> {
        let tenant = self.tenant.as_ref()?;
        let uid = tenant.metadata.uid.as_deref().and_then(TenantUid::parse);
        let recorded = tenant
            .status
            .as_ref()
            .and_then(|status| status.project.as_ref());
        self.projects
            .values()
            .filter(|project| !project.deleted && project.made_for == uid)
            .map(|project| project.project.id.clone())
            .find(|id| recorded.is_none_or(|recorded| recorded.id != id.as_str()))
    }

    /// Projects of others whose names carry a Tenant's mark.
    pub(crate) fn marked_copies(&self) -> Vec<ProjectId> {
        self.projects
            .values()
            .filter(|project| !project.deleted && project.made_for.is_none())
            .filter(|project| is_marked(&project.project))
            .map(|project| project.project.id.clone())
            .collect()
    }

    /// Whether the Tenant's project can be found without its status: its name carries the mark, and
    /// no request is pending. A copy alone would look like the Tenant's project.
    pub(crate) fn can_find_project_without_status(&self) -> bool {
        let Some(tenant) = self.tenant.as_ref().or(self.backup.as_ref()) else {
            return false;
        };
        let uid = tenant.metadata.uid.as_deref().and_then(TenantUid::parse);
        let pending = tenant
            .status
            .as_ref()
            .is_some_and(|status| status.creation.is_some());
        let own = || {
            let projects = self.projects.values();
            projects.filter(|project| project.made_for == uid)
        };
        let is_alive = own().any(|project| !project.deleted);
        // A deleted project is recovered only if it carries the mark as well.
        !pending
            && self.in_flight.is_empty()
            && (is_alive || self.marked_copies().is_empty())
            && own().all(|project| is_marked(&project.project))
    }

    pub(crate) fn next_project_id(&mut self) -> ProjectId {
        self.projects_made += 1;
        format!("p-{}", self.projects_made)
            .parse()
            .expect("a valid id")
    }

    pub(crate) fn new_password(&mut self) -> String {
        self.passwords_made += 1;
        format!("password-{}", self.passwords_made)
    }

    pub(crate) fn next_resource_version(&mut self) -> String {
        self.resource_version += 1;
        self.resource_version.to_string()
    }

    /// The project, unless it is deleted.
    pub(crate) fn live(&mut self, id: &ProjectId) -> Option<&mut SimulatedProject> {
        self.projects.get_mut(id).filter(|project| !project.deleted)
    }

    /// All projects that are not deleted.
    pub(crate) fn listed(&self) -> Vec<Project> {
        self.projects
            .values()
            .filter(|project| !project.deleted)
            .map(|project| project.project.clone())
            .collect()
    }

    /// The projects of the account's organization.
    pub(crate) fn listed_in_organization(&self) -> Vec<Project> {
        let own = Some(organization());
        let mut projects = self.listed();
        projects.retain(|project| project.org_id == own);
        projects
    }
}
