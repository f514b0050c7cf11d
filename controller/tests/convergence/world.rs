//! What lies outside the controller: a Neon account, a cluster with one Tenant and its Secret, and a clock.
//!
//! Every change is an effect, and after any effect the controller's process may die. Calls to Neon may be refused, their
//! answers may get lost, and a request to create a project may do its work later than that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::LazyLock;

use controller::error::ReconcileError;
use controller::issue::Component;
use controller::tenant::desired::{ComputeSettings, DesiredState};
use crds::{Reason, TenantSpec, TenantStatus};
use jiff::{SignedDuration, Timestamp};
use neon_client::ids::ProjectId;
use neon_client::model::{AllowedIps, Project, ProjectSettings};

/// A request is sent within this time after it was recorded.
pub(crate) const SEND_WINDOW: SignedDuration = SignedDuration::from_secs(10);
/// A request that was sent does its work within this time, or never.
pub(crate) const SETTLE_WINDOW: SignedDuration = SignedDuration::from_secs(120);
/// What an effect takes.
const EFFECT: SignedDuration = SignedDuration::from_millis(50);
/// What a listing of the account takes.
pub(crate) const LISTING: SignedDuration = SignedDuration::from_secs(1);

/// Why a step did not come to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The process died.
    Crash,
    /// It failed.
    Failed(ReconcileError),
}

/// What becomes of a call to Neon.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// It is done and answered.
    Good,
    /// It is refused: nothing is done.
    Refused,
    /// It is done, and the answer is lost.
    Lost,
    /// The answer is lost, and a project that was asked for comes so many seconds later.
    Late(u16),
}

/// The answer to a creation request.
pub(crate) enum CreateReply {
    Created(Box<Held>),
    Refused,
    Ambiguous,
}

/// A project with all that hangs on it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) project: Project,
    pub(crate) compute: ComputeSettings,
    pub(crate) password: u32,
    pub(crate) schema: Option<i64>,
    /// Deleted, and still to be recovered.
    pub(crate) deleted: bool,
}

/// The Tenant as the API server keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) uid: u32,
    pub(crate) generation: i64,
    pub(crate) spec: TenantSpec,
    pub(crate) status: Option<TenantStatus>,
    pub(crate) finalizer: bool,
    pub(crate) deleting: bool,
    pub(crate) reconcile_at: Option<String>,
}

/// The Secret as the API server keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) owner: u32,
    pub(crate) intact: bool,
    pub(crate) project: Option<ProjectId>,
    pub(crate) password: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) projects: BTreeMap<ProjectId, Held>,
    /// Projects that are still to come, and when.
    pub(crate) in_flight: Vec<(Timestamp, Held)>,
    pub(crate) tenant: Option<Stored>,
    pub(crate) secrets: Vec<Kept>,
    pub(crate) class_has_finalizer: bool,
    /// Projects whose Tenants are gone, by policy.
    pub(crate) retained: BTreeSet<ProjectId>,
    /// Version of the newest schema.
    pub(crate) schema: i64,
    /// What becomes of the next calls to Neon; then all is good.
    pub(crate) fates: VecDeque<Fate>,
    /// What becomes of the next requests to create a project.
    pub(crate) creations: VecDeque<Fate>,
    /// How late a project may come at most. Longer than [`SETTLE_WINDOW`] is against what the controller relies on.
    pub(crate) late_max: SignedDuration,
    /// After how many more effects the process dies.
    pub(crate) crash_in: Option<u8>,
    projects_made: u32,
    passwords_made: u32,
    pub(crate) uids_made: u32,
}

static BARE: LazyLock<Project> = LazyLock::new(|| {
    serde_json::from_value(serde_json::json!({
        "id": "p-0", "name": "", "region_id": "aws-eu-central-1", "pg_version": 17,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    }))
    .expect("a project as Neon shows it")
});

/// A failure of a call to Neon that passes by itself.
pub(crate) fn unreachable() -> Stop {
    Stop::Failed(ReconcileError::transient(
        Component::Project,
        Reason::AccountUnreachable,
        "no answer",
    ))
}

/// A failure of a call to the API server, such as one on an object that is gone.
pub(crate) fn conflict() -> Stop {
    Stop::Failed(ReconcileError::transient(
        Component::Project,
        Reason::KubernetesError,
        "the object has changed",
    ))
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            now: "2026-06-01T00:00:00Z".parse().expect("a moment"),
            projects: BTreeMap::new(),
            in_flight: Vec::new(),
            tenant: None,
            secrets: Vec::new(),
            class_has_finalizer: false,
            retained: BTreeSet::new(),
            schema: 3,
            fates: VecDeque::new(),
            creations: VecDeque::new(),
            late_max: SETTLE_WINDOW,
            crash_in: None,
            projects_made: 0,
            passwords_made: 0,
            uids_made: 0,
        };
        world.apply_tenant();
        world
    }

    /// Somebody applies the Tenant, if there is none.
    pub(crate) fn apply_tenant(&mut self) {
        if self.tenant.is_some() {
            return;
        }
        self.uids_made += 1;
        self.tenant = Some(Stored {
            uid: self.uids_made,
            generation: 1,
            spec: TenantSpec::default(),
            status: None,
            finalizer: false,
            deleting: false,
            reconcile_at: None,
        });
    }

    /// Somebody deletes the Tenant.
    pub(crate) fn delete_tenant(&mut self) {
        match &mut self.tenant {
            Some(tenant) if tenant.finalizer => tenant.deleting = true,
            _ => self.remove_tenant(),
        }
    }

    /// The Tenant goes, and garbage collection takes its Secrets.
    pub(crate) fn remove_tenant(&mut self) {
        self.tenant = None;
        self.secrets.clear();
    }

    /// The Tenant of that UID, unless it is gone.
    pub(crate) fn stored(&mut self, uid: u32) -> Result<&mut Stored, Stop> {
        self.tenant
            .as_mut()
            .filter(|tenant| tenant.uid == uid)
            .ok_or_else(conflict)
    }

    /// Time passes, and what was on its way arrives.
    pub(crate) fn pass_time(&mut self, time: SignedDuration) {
        self.now += time;
        let now = self.now;
        for (_, mut held) in self.in_flight.extract_if(.., |(at, _)| *at <= now) {
            held.project.created_at = now;
            held.project.updated_at = now;
            self.projects.insert(held.project.id.clone(), held);
        }
    }

    /// Something was just done; the process may die of it.
    pub(crate) fn effect(&mut self) -> Result<(), Stop> {
        self.pass_time(EFFECT);
        match &mut self.crash_in {
            Some(0) => {
                self.crash_in = None;
                Err(Stop::Crash)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn fate(&mut self) -> Fate {
        self.pass_time(EFFECT);
        self.fates.pop_front().unwrap_or(Fate::Good)
    }

    /// A call that reads.
    pub(crate) fn read(&mut self) -> Result<(), Stop> {
        match self.fate() {
            Fate::Good => Ok(()),
            Fate::Refused | Fate::Lost | Fate::Late(_) => Err(unreachable()),
        }
    }

    /// A call that changes something and may be repeated.
    pub(crate) fn change<T>(&mut self, doing: impl FnOnce(&mut Self) -> T) -> Result<T, Stop> {
        match self.fate() {
            Fate::Refused => Err(unreachable()),
            fate => {
                let done = doing(self);
                self.effect()?;
                if matches!(fate, Fate::Good) {
                    Ok(done)
                } else {
                    Err(unreachable())
                }
            }
        }
    }

    /// The call that creates a project.
    pub(crate) fn create(
        &mut self,
        name: &str,
        desired: &DesiredState,
    ) -> Result<CreateReply, Stop> {
        self.pass_time(EFFECT);
        let fate = self.creations.pop_front().unwrap_or(Fate::Good);
        if matches!(fate, Fate::Refused) {
            return Ok(CreateReply::Refused);
        }
        self.projects_made += 1;
        let mut project = Project {
            id: format!("p-{}", self.projects_made).parse().expect("an id"),
            created_at: self.now,
            ..BARE.clone()
        };
        set(&mut project, name, desired, self.now);
        let held = Held {
            project,
            compute: desired.compute,
            password: self.new_password(),
            schema: None,
            deleted: false,
        };
        if let Fate::Late(seconds) = fate {
            let after = SignedDuration::from_secs(i64::from(seconds)).min(self.late_max);
            self.in_flight.push((self.now + after, held));
            self.effect()?;
            return Ok(CreateReply::Ambiguous);
        }
        self.projects.insert(held.project.id.clone(), held.clone());
        self.effect()?;
        if matches!(fate, Fate::Good) {
            return Ok(CreateReply::Created(Box::new(held)));
        }
        Ok(CreateReply::Ambiguous)
    }

    pub(crate) fn new_password(&mut self) -> u32 {
        self.passwords_made += 1;
        self.passwords_made
    }

    /// The project, unless it is deleted.
    pub(crate) fn alive(&mut self, id: &ProjectId) -> Option<&mut Held> {
        self.projects.get_mut(id).filter(|held| !held.deleted)
    }

    /// Every project that is there now, as a listing shows it.
    pub(crate) fn listed(&self) -> Vec<Project> {
        self.projects
            .values()
            .filter(|held| !held.deleted)
            .map(|held| held.project.clone())
            .collect()
    }

    /// The Secret of that name.
    pub(crate) fn secret(&mut self, name: &str) -> Option<&mut Kept> {
        self.secrets.iter_mut().find(|secret| secret.name == name)
    }
}

/// Gives a project the name and the settings that are wished.
pub(crate) fn set(project: &mut Project, name: &str, desired: &DesiredState, now: Timestamp) {
    name.clone_into(&mut project.name);
    project.settings = Some(ProjectSettings {
        quota: Some(desired.quota),
        allowed_ips: desired.allowed_ips.clone().map(|ips| AllowedIps {
            ips: Some(ips),
            ..AllowedIps::default()
        }),
        ..ProjectSettings::default()
    });
    project.updated_at = now;
}
