//! A world with a controller in it: applies events, lets the controller converge, and checks what
//! must hold at any time and in the end.

use std::collections::BTreeSet;
use std::time::Duration;

use controller::identity::{TenantUid, marked_tenant};
use controller::telemetry::ReconcileOutcome;
use controller::tenant::desired::{TenantName, resolve_desired};
use crds::{
    Compute, ConnectionSecret, DeletionPolicy, Quota, Reason, RolloutSettings, TenantStatus,
    annotations, finalizers, keys,
};
use jiff::SignedDuration;
use kube::ResourceExt;
use neon_client::ids::ProjectId;
use neon_client::model::{ComputeUnits, Project};
use serde_json::{Value, json};
use tokio::time::{advance, sleep};

use crate::cluster::{NAMESPACE, TENANT, secret_owner};
use crate::events::{Drift, Edit, Event, Key};
use crate::process::{Process, Progress};
use crate::world::{State, World, installation};

/// Reconciliations until a Tenant has converged once nothing else happens. While a lost answer is
/// being verified, there is one every five seconds.
const MAX_RECONCILES: usize = 60;
/// From a crash to the start of the next process.
const RESTART: Duration = Duration::from_secs(1);

pub(crate) struct Simulation {
    pub(crate) world: World,
    process: Process,
    watch_lag: u8,
    requests: u32,
    crashes: u32,
    /// Reasons for which a Tenant may stall after the events so far.
    justified: BTreeSet<Reason>,
}

impl Simulation {
    pub(crate) fn new() -> Self {
        Self::of(World::new())
    }

    /// A simulation whose class has these settings of rollouts.
    pub(crate) fn with_rollout(settings: RolloutSettings) -> Self {
        let world = World::new();
        world.state().class.spec.rollout = settings;
        Self::of(world)
    }

    fn of(world: World) -> Self {
        Self {
            process: Process::start(&world),
            world,
            watch_lag: 0,
            requests: 0,
            crashes: 0,
            justified: BTreeSet::new(),
        }
    }

    /// Number of crashes so far.
    pub(crate) fn crashes(&self) -> u32 {
        self.crashes
    }

    pub(crate) async fn handle(&mut self, event: &Event) {
        match event {
            Event::Calls(calls) => {
                self.reconcile(Some(u32::from(*calls))).await;
            }
            Event::CrashIn(points) => self.world.state().crash_in.push_back(u32::from(*points)),
            Event::Seconds(seconds) => advance(Duration::from_secs(u64::from(*seconds))).await,
            Event::Neon(outcome) => self.world.state().neon_outcomes.push_back(*outcome),
            Event::Creation(outcome) => self.world.state().creation_outcomes.push_back(*outcome),
            Event::Cluster(outcome) => self.world.state().cluster_outcomes.push_back(*outcome),
            Event::WatchLag(reconciles) => self.watch_lag = *reconciles,
            Event::ListingBegins => self.process.begin_listing().await,
            Event::ListingEnds => self.process.end_listing().await,
            Event::Unavailable(listings) => self.world.state().unavailable_listings = *listings,
            Event::Unreadable(seconds) => {
                let mut state = self.world.state();
                state.unreadable_until =
                    state.now() + SignedDuration::from_secs(i64::from(*seconds));
            }
            Event::Suspended(seconds) => {
                self.world.state().suspended_for += SignedDuration::from_secs(i64::from(*seconds));
            }
            Event::Backup => {
                let mut state = self.world.state();
                let tenant = state.tenant.clone();
                state.backup = tenant;
            }
            Event::RestoreStatus => self.world.state().restore(false),
            Event::RestoreTenant => self.world.state().restore(true),
            Event::Key(key) => self.replace_key(*key),
            Event::Copy => self.copy_project(),
            Event::Apply => self.world.state().apply_tenant(),
            Event::Delete => self.world.state().delete_tenant(),
            Event::Edit(edit) => self.edit(edit),
            Event::Drift(drift) => self.drift(drift),
        }
    }

    /// Continues the running reconciliation or starts one, and restarts the process if it crashes.
    async fn reconcile(&mut self, calls: Option<u32>) -> Progress {
        if !self.process.is_reconciling() {
            match self.watch_lag.checked_sub(1) {
                Some(left) => self.watch_lag = left,
                None => self.process.deliver_watch_events(),
            }
        }
        let progress = self.process.reconcile(calls).await;
        if let Progress::Completed(completion) = &progress {
            assert!(
                completion.outcome != ReconcileOutcome::Stalled
                    || self.justified.contains(&completion.reason),
                "no event justifies that the Tenant stalls: {:?}",
                completion.reason
            );
        }
        if progress == Progress::Crashed {
            self.crashes += 1;
            sleep(RESTART).await;
            self.world.release_listings();
            self.process = Process::start(&self.world);
        }
        progress
    }

    /// Lets a Tenant stall for this reason.
    pub(crate) fn justify(&mut self, reason: Reason) {
        self.justified.insert(reason);
    }

    fn replace_key(&mut self, key: Key) {
        let mut state = self.world.state();
        let status = state.class.status.as_ref();
        let bound = status.is_some_and(|status| status.account.is_some());
        if key == Key::Foreign && !bound {
            return;
        }
        state.key = key;
        drop(state);
        match key {
            Key::Valid => {}
            Key::Revoked => self.justify(Reason::Unauthorized),
            Key::Foreign => self.justify(Reason::AccountMismatch),
        }
    }

    fn copy_project(&mut self) {
        let mut state = self.world.state();
        let (now, id) = (state.now(), state.next_project_id());
        let Some(copy) = state
            .recorded()
            .map(|project| project.copy(id.clone(), now))
        else {
            return;
        };
        state.projects.insert(id, copy);
        drop(state);
        self.justify(Reason::DuplicateProject);
    }

    /// A user does what the condition of a stalled Tenant says.
    fn act_on_stalled(&mut self, reason: Reason) {
        let mut state = self.world.state();
        if reason != Reason::DuplicateProject {
            return;
        }
        let tenant = state.tenant.as_ref().and_then(ResourceExt::uid);
        let tenant = tenant.as_deref().and_then(TenantUid::parse);
        let has_mark = |id: &ProjectId| {
            marked_tenant(&state.projects[id].project.name, &installation()) == tenant
        };
        let Some(id) = state
            .marked_copies()
            .into_iter()
            .find(has_mark)
            .or_else(|| state.duplicate())
        else {
            return;
        };
        // One copy is deleted, another is renamed and kept.
        if id.as_str().len() % 2 == 0 && state.projects[&id].made_for.is_none() {
            let project = state.live(&id).expect("the copy exists");
            "a copy".clone_into(&mut project.project.name);
        } else {
            state.edit_tenant(|tenant| {
                tenant
                    .annotations_mut()
                    .insert(annotations::DELETE_DUPLICATE.to_owned(), id.to_string());
            });
        }
    }

    fn edit(&mut self, edit: &Edit) {
        let mut state = self.world.state();
        match edit {
            Edit::NewMigration => {
                state.schema += 1;
                return;
            }
            Edit::AdoptExisting => return state.adopt_existing_projects(),
            _ => {}
        }
        state.edit_tenant(|tenant| {
            let spec = &mut tenant.spec;
            match edit {
                Edit::MaxQuarters(quarters) => {
                    spec.compute = Some(Compute {
                        min_cu: None,
                        max_cu: Some(f64::from(*quarters) / 4.0),
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
                Edit::Retain(retain) => {
                    spec.deletion_policy = retain.then_some(DeletionPolicy::Retain);
                }
                Edit::NewMigration | Edit::AdoptExisting => {}
            }
        });
    }

    fn drift(&mut self, drift: &Drift) {
        let mut state = self.world.state();
        let now = state.now();
        if matches!(drift, Drift::StatusLost) {
            if state.can_find_project_without_status() {
                state.edit_tenant(|tenant| tenant.status = None);
            }
            return;
        }
        if matches!(drift, Drift::StatusEdited) {
            state.edit_connection();
            return;
        }
        let project = state.recorded();
        match (drift, project) {
            (Drift::SecretDeleted, _) => {
                let names: Vec<String> = state.secrets.keys().cloned().collect();
                for name in names {
                    state.delete_secret(&name);
                }
            }
            (Drift::SecretEdited, _) => {
                let secrets: Vec<_> = state.secrets.values().cloned().collect();
                for mut secret in secrets {
                    // The controller no longer owns the keys.
                    secret.metadata.managed_fields = None;
                    if let Some(data) = &mut secret.data {
                        data.remove(keys::PASSWORD);
                    }
                    state.store_secret(secret);
                }
            }
            (Drift::SecretForged, _) => {
                let secrets: Vec<_> = state.secrets.values().cloned().collect();
                for mut secret in secrets {
                    if let Some(password) = secret
                        .data
                        .as_mut()
                        .and_then(|data| data.get_mut(keys::PASSWORD))
                    {
                        password.0 = b"forged".to_vec();
                        state.store_secret(secret);
                    }
                }
            }
            (Drift::PasswordChanged, Some(project)) => {
                "changed".clone_into(&mut project.password);
                // It can change between the reading of the password and the connection.
                self.justified.insert(Reason::PasswordRejected);
                self.requests += 1;
                let request = self.requests.to_string();
                state.edit_tenant(|tenant| {
                    tenant
                        .annotations_mut()
                        .insert(annotations::RECONCILE_AT.to_owned(), request);
                });
            }
            (Drift::ProjectDeleted, Some(project)) => project.deleted = true,
            (Drift::ProjectRenamed, Some(project)) => {
                "renamed".clone_into(&mut project.project.name);
                project.project.updated_at = now;
            }
            (Drift::ComputeResized, Some(project)) => {
                project.endpoint.suspend_timeout_seconds = -1;
                project.endpoint.autoscaling_limit_max_cu = ComputeUnits::from_quarters(60);
                project.project.updated_at = now;
            }
            (Drift::StatusLost | Drift::StatusEdited, _) | (_, None) => {}
        }
    }

    /// Removes all faults that have not occurred yet.
    pub(crate) fn remove_faults(&mut self) {
        self.watch_lag = 0;
        self.world.release_listings();
        let mut state = self.world.state();
        state.neon_outcomes.clear();
        state.creation_outcomes.clear();
        state.cluster_outcomes.clear();
        state.crash_in.clear();
        state.key = Key::Valid;
        state.unavailable_listings = 0;
        state.unreadable_until = state.now();
        if state
            .tenant
            .as_ref()
            .is_some_and(|tenant| tenant.spec.suspend)
        {
            state.edit_tenant(|tenant| tenant.spec.suspend = false);
        }
    }

    /// Lets the controller reconcile until it has nothing left to do.
    pub(crate) async fn converge(&mut self) {
        let mut ready = 0;
        for _ in 0..MAX_RECONCILES {
            match self.reconcile(None).await {
                Progress::Idle if !self.tenant_exists() && !self.class_in_use() => return,
                // Ready again after further listings: the controller has also corrected what only a
                // listing shows.
                Progress::Completed(completion)
                    if completion.outcome == ReconcileOutcome::Ready && ready == 2 =>
                {
                    return;
                }
                Progress::Completed(completion) => {
                    assert_ne!(
                        (completion.outcome, completion.reason),
                        (ReconcileOutcome::Failed, Reason::Progressing),
                        "the reconciliation reached the step limit"
                    );
                    ready += usize::from(completion.outcome == ReconcileOutcome::Ready);
                    if completion.outcome == ReconcileOutcome::Stalled {
                        self.act_on_stalled(completion.reason);
                    }
                    sleep(completion.retry_after.unwrap_or_default()).await;
                }
                Progress::Idle | Progress::Crashed => {}
                Progress::Paused => panic!("the reconciliation is paused"),
            }
            self.process.begin_listing().await;
            self.process.end_listing().await;
        }
        panic!(
            "not converged after {MAX_RECONCILES} reconciliations: {:?}",
            self.world.state().tenant
        );
    }

    /// Lets the controller reconcile, with a complete listing before each reconciliation, until the
    /// Tenant has stalled for this reason twice.
    pub(crate) async fn wait_until_stalled(&mut self, reason: Reason) {
        self.justify(reason);
        let mut stalled = 0;
        for _ in 0..MAX_RECONCILES {
            self.process.begin_listing().await;
            self.process.end_listing().await;
            if let Progress::Completed(completion) = self.reconcile(None).await {
                stalled += u32::from(completion.reason == reason);
                sleep(completion.retry_after.unwrap_or_default()).await;
            }
            if stalled == 2 {
                return;
            }
        }
        panic!("the Tenant does not stall with {reason}");
    }

    pub(crate) fn count_events(&mut self, reason: Reason) -> usize {
        self.process.count_events(reason)
    }

    fn tenant_exists(&self) -> bool {
        self.world.state().tenant.is_some()
    }

    fn class_in_use(&self) -> bool {
        let state = self.world.state();
        state
            .class
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == finalizers::IN_USE)
    }

    /// Checks the state after [`Simulation::converge`].
    pub(crate) fn check(&self) {
        assert_eq!(
            self.class_in_use(),
            self.tenant_exists(),
            "a class has its finalizer while it is in use"
        );
        let mut state = self.world.state();
        let mut projects = state.listed();
        projects.retain(|project| {
            !state.retained.contains(&project.id) && state.projects[&project.id].made_for.is_some()
        });
        let Some(tenant) = state.tenant.clone() else {
            assert!(
                projects.is_empty() && state.in_flight.is_empty(),
                "projects were left behind: {:?}",
                ids(&projects)
            );
            return;
        };
        assert_eq!(
            tenant.metadata.deletion_timestamp, None,
            "the deletion does not complete"
        );
        assert_eq!(tenant.finalizers(), [finalizers::PROJECT]);
        let status = tenant.status.clone().expect("a status");
        let recorded = status.project.as_ref().expect("a recorded project");
        assert_eq!(ids(&projects).len(), 1, "one project and no duplicate");
        let id = projects[0].id.clone();
        assert_eq!(id.as_str(), recorded.id);
        assert_eq!(status.creation, None);
        assert_eq!(status.observed_generation, tenant.metadata.generation);

        let name = TenantName {
            namespace: NAMESPACE,
            name: TENANT,
        };
        let desired = resolve_desired(name, &tenant.spec, &state.class.spec, None)
            .expect("a valid desired state");
        let schema = state.schema;
        let project = state.live(&id).expect("the project exists").clone();
        let quota = project
            .project
            .settings
            .and_then(|settings| settings.quota)
            .unwrap_or_default();
        // Neon omits a limit of 0, which means unlimited.
        assert_eq!(
            quota.active_time_seconds.unwrap_or(0),
            desired.quota.active_time_seconds.unwrap_or(0)
        );
        assert_eq!(
            (
                Some(project.endpoint.autoscaling_limit_min_cu),
                Some(project.endpoint.autoscaling_limit_max_cu)
            ),
            (desired.compute.min, desired.compute.max)
        );
        assert!(
            project.project.name.starts_with(&desired.label),
            "{}",
            project.project.name
        );
        assert_eq!(project.schema, Some(schema));
        let backup = status.backup.as_ref();
        if let Some(id) = backup.and_then(|backup| backup.branch_id.as_deref()) {
            let mut branches = project.branches.iter();
            let found = branches.find(|(branch, _)| branch.id.as_str() == id);
            let (_, kept) = found.expect("the branch of the backup");
            // The controller does not know the schema of a project that belonged to an earlier Tenant.
            let reclaimed = status
                .project
                .as_ref()
                .is_some_and(|project| project.reclaimed);
            assert!(
                *kept < Some(schema) || reclaimed,
                "the backup has the new schema"
            );
        }
        let host = status
            .connection
            .as_ref()
            .map(|connection| &connection.host);
        assert_eq!(host, Some(&project.endpoint.host));
        assert_secret(
            &state,
            &desired.secret_name,
            &id,
            &project.password,
            &status,
        );
    }

    /// Everything that remains at the end, without versions and times.
    pub(crate) fn end_state(&self) -> Value {
        let state = self.world.state();
        let projects: Vec<Value> = state
            .projects
            .values()
            .filter(|project| !project.deleted)
            .map(|project| {
                json!({
                    "project": project.project, "endpoint": project.endpoint,
                    "password": project.password, "schema": project.schema,
                    "branches": project.branches.iter().map(|(branch, kept)| json!([branch.name, kept])).collect::<Vec<_>>(),
                    "snapshots": project.snapshots.iter().map(|(snapshot, kept)| json!([snapshot.name, kept])).collect::<Vec<_>>(),
                    "restores": project.restores,
                })
            })
            .collect();
        let mut end = json!({
            "tenant": state.tenant, "secrets": state.secrets, "projects": projects,
            "class": state.class.finalizers(), "retained": state.retained,
            "claims": state.claims.keys().collect::<Vec<_>>(),
        });
        // The message of a restored Tenant contains when its backup was created, and the names of backups
        // contain when they were chosen.
        let created_at = end["tenant"]["status"]["backup"]["createdAt"].as_str();
        let mut times: Vec<String> = created_at.map(ToOwned::to_owned).into_iter().collect();
        for project in state.projects.values() {
            let branches = project.branches.iter().map(|(branch, _)| &branch.name);
            let snapshots = project.snapshots.iter().map(|(snapshot, _)| &snapshot.name);
            let parts = branches.chain(snapshots).flat_map(|name| name.split('-'));
            times.extend(parts.filter(|part| is_time(part)).map(ToOwned::to_owned));
        }
        let text = times
            .iter()
            .fold(end.to_string(), |text, time| text.replace(time, ""));
        end = serde_json::from_str(&text).expect("JSON");
        remove_volatile(&mut end);
        end
    }
}

fn assert_secret(
    state: &State,
    name: &str,
    project: &ProjectId,
    password: &str,
    status: &TenantStatus,
) {
    let secret = state.secrets.get(name).expect("a Secret");
    let tenant = state.tenant.as_ref().expect("a Tenant");
    assert_eq!(secret_owner(secret), tenant.metadata.uid);
    assert_eq!(
        secret
            .annotations()
            .get(annotations::PROJECT_ID)
            .map(String::as_str),
        Some(project.as_str())
    );
    let data = secret.data.as_ref().expect("data");
    assert_eq!(data[keys::PASSWORD].0, password.as_bytes());
    let binding = status.binding.as_ref().map(|binding| binding.name.as_str());
    assert_eq!(binding, Some(name));
}

/// Whether this part of a backup's name is a time, such as `20261201T145523Z`.
fn is_time(part: &str) -> bool {
    part.len() == 16 && part.ends_with('Z') && part.as_bytes()[8] == b'T'
}

/// Removes the values that depend on when something happened.
fn remove_volatile(value: &mut Value) {
    const VOLATILE: [&str; 17] = [
        "appliedAt",
        "checkedAt",
        "compute_last_active_at",
        "createdAt",
        "created_at",
        "creationTimestamp",
        "deletionTimestamp",
        "expiresAt",
        "lastTransitionTime",
        "lostCreations",
        "requestedAt",
        "resourceVersion",
        "restoredAt",
        // A Tenant that is migrated before the first rollout exists has none.
        "rollout",
        "timings",
        "uid",
        "updated_at",
    ];
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !VOLATILE.contains(&name.as_str()));
            fields.values_mut().for_each(remove_volatile);
        }
        Value::Array(values) => values.iter_mut().for_each(remove_volatile),
        _ => {}
    }
}

fn ids(projects: &[Project]) -> Vec<&ProjectId> {
    projects.iter().map(|project| &project.id).collect()
}
