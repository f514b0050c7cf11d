//! A simulation of rollouts over a fleet: the shipped decisions about objects, with random orders of
//! reconciliations, stale caches, crashes, failing databases and edits by users.
//!
//! Whatever happens: Tenants are migrated in the order of the waves, no more at a time than allowed,
//! a failing rollout stops within its budget, a Tenant that is not in use is not woken before the wake
//! deadline, and once nothing else happens every Tenant has the schema of the class.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::{
    Reason, RolloutFailure, RolloutPhase, SchemaRollout, SchemaStatus, Tenant, TenantClass,
    TenantReference,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cache::CachedTenant;
use crate::identity::TenantUid;
use crate::issue::{Component, Issue};
use crate::migrations::{Migration, MigrationSet};
use crate::rollout::observe::{
    Member, MemberState, ObservedRollouts, canary_size, members, reached,
};
use crate::rollout::plan::{RolloutStep, plan};
use crate::rollout::status::MAX_FAILURES;
use crate::rollout::waves::wave_ends;
use crate::schema_assignment::window::{WindowState, window_state};
use crate::schema_assignment::{
    AssignmentInput, PlaceInput, SchemaTarget, assign, may_begin, migrations_of, phase, reach,
    use_counts_from,
};
use crate::tenant::status::{StatusInput, StatusOutcome, build_status, follow_target};

const PROJECT: &str = "calm-sea-1";
const NAMESPACE: &str = "acme";
const MAX_CONCURRENT: usize = 3;
/// 1 June 2026.
const EPOCH: Timestamp = Timestamp::constant(1_780_272_000, 0);

#[derive(Clone, Debug)]
enum Event {
    /// One of the queued Tenants starts or ends its migration.
    Tenant(usize),
    /// The rollouts of the class are reconciled.
    Rollouts,
    /// The watch delivers a Tenant.
    Deliver(usize),
    Seconds(u16),
    /// The controller restarts.
    Crash,
    /// A new file, which fails in one of this many databases; 0 fails in none.
    NewFile(usize),
    Pause(bool),
    Skip(usize),
    Unskip,
    AddTenant,
    DeleteTenant(usize),
    /// A client removes the schema from a Tenant's status.
    ForgetSchema(usize),
    /// The application uses a Tenant's database.
    Use(usize),
    /// The account is listed.
    List,
    /// Databases become slow, or fast again.
    Limit(usize),
}

enum Progress {
    Stepped,
    /// Nothing to do, until something changes or at this time.
    Waits(Option<Timestamp>),
}

struct Fleet {
    now: Timestamp,
    class: Arc<TenantClass>,
    files: Vec<(String, String)>,
    /// Versions of files that fail, with the number of databases of which they fail in one.
    broken: BTreeMap<i64, usize>,
    rollouts: Vec<Arc<SchemaRollout>>,
    tenants: BTreeMap<usize, Simulated>,
    next_tenant: usize,
    /// Tenants that the controller is going to reconcile.
    queue: BTreeSet<usize>,
    resource_version: u64,
    /// How many Tenants may be in progress.
    limit: Option<usize>,
    /// When the account was last listed, since the controller started.
    listed_at: Option<Timestamp>,
    /// Whether a user changed something, so that the order and the budget are not checked.
    edited: bool,
}

struct Simulated {
    tenant: Tenant,
    /// What the cache holds.
    cached: Arc<CachedTenant>,
    database: BTreeSet<i64>,
    /// The migration that is running.
    running: Option<(SchemaTarget, MigrationSet)>,
    last_active_at: Timestamp,
    /// The same as the last listing shows it.
    listed_active_at: Option<Timestamp>,
}

impl Fleet {
    fn new(count: usize, rollout: &Value) -> Self {
        let class = json!({
            "apiVersion": "dbpertenant.dev/v1alpha1",
            "kind": "TenantClass",
            "metadata": { "name": "standard", "uid": "class-uid" },
            "spec": { "neon": { "apiKeySecretRef": { "name": "neon" } }, "rollout": rollout },
        });
        let mut fleet = Self {
            now: EPOCH,
            class: Arc::new(serde_json::from_value(class).unwrap()),
            files: Vec::new(),
            broken: BTreeMap::new(),
            rollouts: Vec::new(),
            tenants: BTreeMap::new(),
            next_tenant: 0,
            queue: BTreeSet::new(),
            resource_version: 0,
            limit: None,
            listed_at: None,
            edited: false,
        };
        fleet.add_file(0);
        for _ in 0..count {
            fleet.add_tenant();
        }
        fleet.converge();
        fleet.check_complete();
        fleet.now += SignedDuration::from_secs(10);
        fleet
    }

    fn content(&self) -> MigrationSet {
        MigrationSet::from_files(self.files.clone()).unwrap()
    }

    fn newest(&self) -> Option<&Arc<SchemaRollout>> {
        self.rollouts.last()
    }

    fn add_file(&mut self, fails_in: usize) {
        let version = i64::try_from(self.files.len()).unwrap() + 1;
        self.files
            .push((format!("{version}_step.sql"), format!("select {version}")));
        if fails_in > 0 {
            self.broken.insert(version, fails_in);
        }
        // The class changed, so all its Tenants are reconciled.
        self.queue.extend(self.tenants.keys());
    }

    fn add_tenant(&mut self) {
        self.next_tenant += 1;
        let number = self.next_tenant;
        let tenant: Tenant = serde_json::from_value(json!({
            "apiVersion": "dbpertenant.dev/v1alpha1",
            "kind": "Tenant",
            "metadata": {
                "name": format!("t{number}"), "namespace": NAMESPACE, "generation": 1,
                "uid": format!("00000000-0000-0000-0000-{number:012}"),
                "creationTimestamp": Time(self.now),
            },
            "spec": { "className": "standard" },
            "status": { "project": { "id": PROJECT, "region": "r", "name": "n" } },
        }))
        .unwrap();
        let cached = Arc::new(CachedTenant::try_from(tenant.clone()).unwrap());
        let simulated = Simulated {
            tenant,
            cached,
            database: BTreeSet::new(),
            running: None,
            last_active_at: self.now,
            listed_active_at: None,
        };
        self.tenants.insert(number, simulated);
        self.queue.insert(number);
    }

    /// The nth Tenant, whichever exist.
    fn nth(&self, index: usize) -> Option<usize> {
        let count = self.tenants.len();
        self.tenants.keys().nth(index.checked_rem(count)?).copied()
    }

    fn assigned(&self, number: usize) -> SchemaTarget {
        let tenant = &self.tenants[&number].tenant;
        let meta = &tenant.metadata;
        let status = tenant.status.as_ref().unwrap();
        let recorded = status.schema.as_ref();
        let uid = TenantUid::parse(meta.uid.as_deref().unwrap()).unwrap();
        let input = AssignmentInput {
            uid,
            namespace: NAMESPACE,
            name: meta.name.as_deref().unwrap(),
            place: PlaceInput {
                order: uid.hash_order(),
                created_at: meta.creation_timestamp.as_ref().map(|time| time.0),
                labels: None,
            },
            recorded: recorded.filter(|schema| schema.project_id.as_deref() == Some(PROJECT)),
            now: self.now,
        };
        assign(&self.content(), &self.rollouts, input)
    }

    /// Starts the migration that the Tenant needs, or ends the one that is running.
    fn reconcile_tenant(&mut self, number: usize) {
        if let Some((target, set)) = self.tenants.get_mut(&number).unwrap().running.take() {
            self.end_migration(number, &target, &set);
            return;
        }
        let target = self.assigned(number);
        let schema = self.tenants[&number].tenant.status.as_ref().unwrap();
        if target.is_reached(schema.schema.as_ref(), PROJECT) {
            self.write_status(number, &target, &StatusOutcome::Ready);
            self.queue.remove(&number);
            return;
        }
        let set = migrations_of(&target, &self.content(), &self.rollouts);
        let set = set.expect("a schema that has to be applied is available");
        self.check_order(number, &target);
        self.check_wave(number, &target);
        self.check_wake(number, &target);
        let issue = Issue::new(Component::Schema, Reason::Migrating, "migrating");
        self.write_status(number, &target, &StatusOutcome::InProgress(issue));
        let now = self.now;
        let simulated = self.tenants.get_mut(&number).unwrap();
        simulated.running = Some((target, set));
        simulated.last_active_at = now;
        self.check_concurrency();
    }

    fn end_migration(&mut self, number: usize, target: &SchemaTarget, set: &MigrationSet) {
        let mut failed = false;
        let simulated = self.tenants.get_mut(&number).unwrap();
        for version in set.selected().map(Migration::version) {
            if simulated.database.contains(&version) {
                continue;
            }
            let fails_in = self.broken.get(&version).copied().unwrap_or(0);
            if fails_in > 0 && number.is_multiple_of(fails_in) {
                failed = true;
                break;
            }
            simulated.database.insert(version);
        }
        let versions: Vec<i64> = simulated.database.iter().copied().collect();
        let version = versions.last().copied();
        let status = simulated.tenant.status.as_mut().unwrap();
        let rollout = status.schema.take().and_then(|schema| schema.rollout);
        status.schema = Some(SchemaStatus {
            version,
            target: Some(target.version),
            checksum: version.and_then(|_| set.digest_of(&versions)),
            applied_at: None,
            rollout: target.rollout.clone().or(rollout),
            project_id: version.map(|_| PROJECT.to_owned()),
        });
        if failed {
            let issue = Issue::new(Component::Schema, Reason::MigrationFailed, "failed");
            self.write_status(number, target, &StatusOutcome::Stalled(issue));
            // It is retried when something changes.
            self.queue.remove(&number);
        } else {
            self.queue.insert(number);
        }
    }

    fn write_status(&mut self, number: usize, target: &SchemaTarget, outcome: &StatusOutcome) {
        let now = self.now;
        let simulated = self.tenants.get_mut(&number).unwrap();
        let mut status = simulated.tenant.status.clone().unwrap();
        if let Some(schema) = &mut status.schema {
            follow_target(schema, target, Some(PROJECT), outcome);
        }
        let is_reached = target.is_reached(status.schema.as_ref(), PROJECT);
        let input = StatusInput {
            generation: Some(1),
            deleting: false,
            credentials: true,
            schema: is_reached,
            connected: true,
            now,
        };
        simulated.tenant.status = Some(build_status(status, outcome, input));
    }

    fn deliver(&mut self, number: usize) {
        let simulated = self.tenants.get_mut(&number).unwrap();
        simulated.cached = Arc::new(CachedTenant::try_from(simulated.tenant.clone()).unwrap());
    }

    fn list(&mut self) {
        self.listed_at = Some(self.now);
        for simulated in self.tenants.values_mut() {
            simulated.listed_active_at = Some(simulated.last_active_at);
        }
    }

    fn cached(&self) -> impl Iterator<Item = Arc<CachedTenant>> + '_ {
        self.tenants
            .values()
            .map(|simulated| simulated.cached.clone())
    }

    /// One step of the rollouts.
    fn step_rollouts(&mut self) -> Progress {
        let active = self
            .newest()
            .filter(|newest| !phase(newest).is_some_and(RolloutPhase::is_final));
        let observed = ObservedRollouts {
            now: self.now,
            class: self.class.clone(),
            content: Some(self.content()),
            members: active.map_or_else(Vec::new, |rollout| {
                let from = use_counts_from(rollout);
                let used = self
                    .tenants
                    .values()
                    .filter(|simulated| from.is_some() && simulated.listed_active_at >= from);
                let used: BTreeSet<_> = used.map(|one| one.cached.uid()).collect();
                let is_used = |tenant: &CachedTenant| used.contains(&tenant.uid());
                members(self.cached(), rollout, &is_used, self.now)
            }),
            rollouts: self.rollouts.clone(),
            limit: self.limit,
            use_unknown_from: active
                .and_then(|rollout| use_counts_from(rollout))
                .filter(|from| self.listed_at < Some(*from)),
            plan: None,
        };
        let describe = |failed: &[(&str, &str)]| {
            let failures = failed.iter().map(|(namespace, name)| RolloutFailure {
                namespace: (*namespace).to_owned(),
                name: (*name).to_owned(),
                reason: String::new(),
                message: String::new(),
            });
            failures.take(MAX_FAILURES).collect()
        };
        match plan(&observed, &describe) {
            RolloutStep::Create(rollout) => {
                let mut rollout = rollout;
                rollout.metadata.creation_timestamp = Some(Time(self.now));
                rollout.metadata.generation = Some(1);
                self.rollouts.push(Arc::new(rollout));
            }
            RolloutStep::Pause(rollout) => {
                let mut paused = (*rollout).clone();
                paused.spec.paused = true;
                self.store(paused);
            }
            RolloutStep::WriteStatus(rollout, status) => {
                let mut written = (*rollout).clone();
                let json = serde_json::to_value(status).unwrap();
                written.status = Some(serde_json::from_value(json).unwrap());
                self.check_window(&rollout, &written);
                self.enqueue_reached(&written);
                self.store(written);
                self.check_budget();
            }
            RolloutStep::Delete(rollout) => {
                self.rollouts.retain(|kept| !Arc::ptr_eq(kept, &rollout));
            }
            RolloutStep::Wait(until) => {
                if let Some(newest) = self.newest().cloned() {
                    self.enqueue_reached(&newest);
                }
                return Progress::Waits(until);
            }
        }
        Progress::Stepped
    }

    fn enqueue_reached(&mut self, rollout: &SchemaRollout) {
        if !may_begin(rollout, self.now) {
            return;
        }
        let names: BTreeSet<String> = reached(self.cached(), rollout)
            .map(|tenant| tenant.name_any())
            .collect();
        let numbers = self.tenants.iter().filter(|(_, simulated)| {
            names.contains(simulated.tenant.metadata.name.as_deref().unwrap())
        });
        let numbers: Vec<usize> = numbers.map(|(number, _)| *number).collect();
        self.queue.extend(numbers);
    }

    fn store(&mut self, mut rollout: SchemaRollout) {
        self.resource_version += 1;
        rollout.metadata.resource_version = Some(self.resource_version.to_string());
        let name = rollout.name_any();
        let stored = self.rollouts.iter_mut().find(|one| one.name_any() == name);
        *stored.unwrap() = Arc::new(rollout);
    }

    /// A user edits the newest rollout.
    fn edit(&mut self, edit: impl FnOnce(&mut SchemaRollout)) {
        let Some(newest) = self.newest() else { return };
        let mut edited = (**newest).clone();
        edit(&mut edited);
        edited.metadata.generation = edited.metadata.generation.map(|generation| generation + 1);
        self.store(edited);
        self.edited = true;
        self.queue.extend(self.tenants.keys());
    }

    fn handle(&mut self, event: &Event) {
        match event {
            Event::Tenant(index) => {
                let queued: Vec<usize> = self.queue.iter().copied().collect();
                if let Some(chosen) = index.checked_rem(queued.len()) {
                    self.reconcile_tenant(queued[chosen]);
                }
            }
            Event::Rollouts => {
                self.step_rollouts();
            }
            Event::Deliver(index) => {
                if let Some(number) = self.nth(*index) {
                    self.deliver(number);
                }
            }
            Event::Seconds(seconds) => self.now += SignedDuration::from_secs(i64::from(*seconds)),
            Event::Crash => {
                self.listed_at = None;
                for simulated in self.tenants.values_mut() {
                    simulated.running = None;
                }
                let all: Vec<usize> = self.tenants.keys().copied().collect();
                for number in &all {
                    self.deliver(*number);
                }
                self.queue.extend(all);
            }
            Event::Use(index) => {
                let now = self.now;
                if let Some(number) = self.nth(*index) {
                    self.tenants.get_mut(&number).unwrap().last_active_at = now;
                }
            }
            Event::List => self.list(),
            Event::Limit(limit) => self.limit = Some(*limit),
            Event::NewFile(fails_in) => self.add_file(*fails_in),
            Event::Pause(paused) => {
                self.edit(|rollout| rollout.spec.paused = *paused);
            }
            Event::Skip(index) => {
                let Some(number) = self.nth(*index) else {
                    return;
                };
                let skipped = TenantReference {
                    namespace: NAMESPACE.to_owned(),
                    name: format!("t{number}"),
                };
                self.edit(|rollout| rollout.spec.skip.push(skipped));
            }
            Event::Unskip => self.edit(|rollout| rollout.spec.skip.clear()),
            Event::AddTenant => {
                self.edited = true;
                self.add_tenant();
            }
            Event::DeleteTenant(index) => {
                self.edited = true;
                if let Some(number) = self.nth(*index) {
                    self.tenants.remove(&number);
                    self.queue.remove(&number);
                }
            }
            Event::ForgetSchema(index) => {
                self.edited = true;
                let Some(number) = self.nth(*index) else {
                    return;
                };
                let simulated = self.tenants.get_mut(&number).unwrap();
                if simulated.running.is_none() {
                    simulated.tenant.status.as_mut().unwrap().schema = None;
                    self.queue.insert(number);
                }
            }
        }
    }

    /// A Tenant starts before fewer of its predecessors than may be in progress.
    fn check_order(&self, number: usize, target: &SchemaTarget) {
        let Some(newest) = self.newest() else { return };
        let is_large = self.tenants.len() > 100;
        let on_use = newest.spec.rollout.wakes_on_use();
        if self.edited || is_large || on_use || target.rollout != newest.metadata.name {
            return;
        }
        let begun: BTreeSet<Box<str>> = self
            .tenants
            .values()
            .filter(|simulated| {
                let status = simulated.tenant.status.as_ref().unwrap();
                let schema = status.schema.as_ref();
                schema.is_some_and(|schema| schema.rollout == newest.metadata.name)
            })
            .map(|simulated| simulated.tenant.name_any().into())
            .collect();
        let all = self.fresh_members(newest);
        let name = format!("t{number}");
        let Some(own) = all.iter().position(|member| *member.name == *name) else {
            return;
        };
        let before = all[..own].iter();
        let waiting = before
            .filter(|member| member.state == MemberState::Pending)
            .filter(|member| !begun.contains(&member.name))
            .count();
        assert!(
            waiting < MAX_CONCURRENT,
            "{name} starts while {waiting} Tenants before it have not started"
        );
    }

    /// The Tenants as an up-to-date cache would show them, with none of them in use.
    fn fresh_members(&self, rollout: &SchemaRollout) -> Vec<Member> {
        let fresh = self
            .tenants
            .values()
            .map(|simulated| Arc::new(CachedTenant::try_from(simulated.tenant.clone()).unwrap()));
        members(fresh, rollout, &|_| false, self.now)
    }

    /// A Tenant starts in its wave or later.
    fn check_wave(&self, number: usize, target: &SchemaTarget) {
        let Some(newest) = self.newest() else { return };
        let is_large = self.tenants.len() > 100;
        if self.edited || is_large || target.rollout != newest.metadata.name {
            return;
        }
        let all = self.fresh_members(newest);
        let own = all
            .iter()
            .position(|member| *member.name == *format!("t{number}"));
        let Some(own) = own else { return };
        let wave = newest
            .status
            .as_ref()
            .and_then(|status| status.wave)
            .unwrap();
        let end = wave_ends(&newest.spec.rollout, &all)[usize::try_from(wave).unwrap()];
        assert!(
            own < end,
            "t{number} starts before its wave: wave {wave} ends at {end}"
        );
    }

    /// A Tenant is woken only in the canary or at the wake deadline.
    fn check_wake(&self, number: usize, target: &SchemaTarget) {
        let Some(newest) = self.newest() else { return };
        let Some(from) = use_counts_from(newest) else {
            return;
        };
        if self.edited || target.rollout != newest.metadata.name {
            return;
        }
        let settings = &newest.spec.rollout;
        let status = newest.status.as_ref().unwrap();
        let is_used = self.tenants[&number].last_active_at >= from;
        let is_wake_deadline = status
            .wake_by
            .as_ref()
            .is_some_and(|wake_by| self.now >= wake_by.0);
        let all = self.fresh_members(newest);
        let canary = &all[..canary_size(settings, &all)];
        let is_canary = canary
            .iter()
            .any(|member| *member.name == *format!("t{number}"));
        let has_schema = all
            .iter()
            .any(|member| *member.name == *format!("t{number}"));
        assert!(
            is_used || is_wake_deadline || is_canary || !has_schema,
            "t{number} is woken at {}",
            self.now
        );
    }

    /// No more Tenants are being migrated than allowed, besides one that failed and is retried.
    fn check_concurrency(&self) {
        let Some(newest) = self.newest() else { return };
        if self.edited {
            return;
        }
        let running = self.tenants.values().filter(|simulated| {
            let target = simulated.running.as_ref().map(|(target, _)| target);
            target.is_some_and(|target| target.rollout == newest.metadata.name)
        });
        let running = running.count();
        assert!(
            running <= MAX_CONCURRENT + 1,
            "{running} Tenants are being migrated"
        );
    }

    /// A rollout with pending Tenants moves only within its window.
    fn check_window(&self, before: &SchemaRollout, after: &SchemaRollout) {
        let pending = after.status.as_ref().map_or(0, |status| status.pending);
        if pending > 0 && reach(before) != reach(after) {
            let window = after.spec.rollout.window.as_ref();
            assert_eq!(window_state(window, self.now), WindowState::Open);
        }
    }

    /// A rollout that no user continued has no more failures than its budget and the Tenants that
    /// were in progress allow.
    fn check_budget(&self) {
        let Some(newest) = self.newest() else { return };
        let status = newest.status.clone().unwrap_or_default();
        if self.edited {
            return;
        }
        // A budget of one Tenant.
        let limit = i64::try_from(1 + MAX_CONCURRENT).unwrap();
        assert!(status.failed <= limit, "{} Tenants failed", status.failed);
        // A Tenant that failed is retried after a restart.
        assert!(
            status.in_progress <= limit,
            "{} Tenants are in progress",
            status.in_progress
        );
    }

    /// Lets everything happen that the controller does on its own.
    fn converge(&mut self) {
        for _ in 0..200_000 {
            if let Some(number) = self.queue.first().copied() {
                self.reconcile_tenant(number);
                if self.tenants.contains_key(&number) {
                    self.deliver(number);
                }
                // The rollouts are reconciled while Tenants are.
                if number.is_multiple_of(if self.tenants.len() > 100 { 50 } else { 5 }) {
                    self.step_rollouts();
                }
                continue;
            }
            let all: Vec<usize> = self.tenants.keys().copied().collect();
            for number in &all {
                self.deliver(*number);
            }
            self.list();
            match self.step_rollouts() {
                Progress::Stepped => {}
                Progress::Waits(Some(until)) if until > self.now => self.now = until,
                Progress::Waits(_) if !self.queue.is_empty() => {}
                Progress::Waits(_) => return,
            }
        }
        panic!(
            "not converged: {:?}",
            self.newest().map(|newest| &newest.status)
        );
    }

    /// Continues a paused rollout and replaces broken files by good ones, as users would.
    fn repair(&mut self) {
        self.broken.clear();
        self.edit(|rollout| {
            rollout.spec.paused = false;
            rollout.spec.skip.clear();
        });
        self.add_file(0);
        self.edited = true;
    }

    fn check_complete(&self) {
        let newest = self.newest().expect("a rollout");
        assert_eq!(
            phase(newest),
            Some(RolloutPhase::Completed),
            "{:?}",
            newest.status
        );
        let content = self.content();
        let versions: BTreeSet<i64> = content.versions().collect();
        for (number, simulated) in &self.tenants {
            assert_eq!(simulated.database, versions, "t{number}");
            let schema = simulated.tenant.status.as_ref().unwrap().schema.as_ref();
            assert_eq!(schema.unwrap().checksum.as_deref(), Some(content.digest()));
        }
        assert!(
            self.rollouts.len() <= 10,
            "{} rollouts",
            self.rollouts.len()
        );
        let active = self
            .rollouts
            .iter()
            .filter(|rollout| !phase(rollout).is_some_and(RolloutPhase::is_final));
        assert_eq!(active.count(), 0);
    }
}

fn settings(on_use: bool) -> Value {
    json!({
        "wake": if on_use { "OnUse" } else { "Eager" }, "wakeDeadlineSeconds": 10_000,
        "canary": { "count": 2 }, "waves": [{ "percent": 20 }], "soakSeconds": 30,
        "maxConcurrent": MAX_CONCURRENT, "failureBudget": { "count": 1 },
        // Time alone makes no Tenant fail.
        "progressDeadlineSeconds": 604_800,
    })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let index = 0..1_000_usize;
    let event = prop_oneof![
        20 => index.clone().prop_map(Event::Tenant),
        12 => Just(Event::Rollouts),
        12 => index.clone().prop_map(Event::Deliver),
        4 => (1..100_u16).prop_map(Event::Seconds),
        2 => Just(Event::Crash),
        2 => (0..4_usize).prop_map(Event::NewFile),
        1 => any::<bool>().prop_map(Event::Pause),
        1 => index.clone().prop_map(Event::Skip),
        1 => Just(Event::Unskip),
        2 => Just(Event::AddTenant),
        1 => index.clone().prop_map(Event::DeleteTenant),
        1 => index.clone().prop_map(Event::ForgetSchema),
        3 => index.prop_map(Event::Use),
        2 => Just(Event::List),
        1 => (1..=MAX_CONCURRENT + 1).prop_map(Event::Limit),
    ];
    proptest::collection::vec(event, 1..200)
}

/// Events without edits, so that the order and the budget are checked throughout.
fn undisturbed() -> impl Strategy<Value = Vec<Event>> {
    let index = 0..1_000_usize;
    let event = prop_oneof![
        20 => index.clone().prop_map(Event::Tenant),
        12 => Just(Event::Rollouts),
        12 => index.clone().prop_map(Event::Deliver),
        4 => (1..100_u16).prop_map(Event::Seconds),
        2 => Just(Event::Crash),
        3 => index.prop_map(Event::Use),
        2 => Just(Event::List),
        1 => (1..=MAX_CONCURRENT + 1).prop_map(Event::Limit),
    ];
    proptest::collection::vec(event, 50..400)
}

fn is_long() -> bool {
    std::env::var_os("TEST_LONG").is_some()
}

fn cases() -> u32 {
    if is_long() { 2_000 } else { 40 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_tenant_gets_the_schema_after_any_events(on_use in any::<bool>(), events in events()) {
        let mut fleet = Fleet::new(15, &settings(on_use));
        for event in &events {
            fleet.handle(event);
        }
        fleet.repair();
        fleet.converge();
        fleet.check_complete();
    }

    #[test]
    fn waves_are_in_order_and_failures_stop_a_rollout(
        fails_in in 0..6_usize,
        on_use in any::<bool>(),
        events in undisturbed(),
    ) {
        let mut fleet = Fleet::new(20, &settings(on_use));
        fleet.add_file(fails_in);
        for event in &events {
            fleet.handle(event);
        }
        fleet.converge();
        let newest = fleet.newest().unwrap().clone();
        let status = newest.status.clone().unwrap();
        if fails_in == 0 {
            fleet.check_complete();
        } else if phase(&newest) == Some(RolloutPhase::Paused) {
            prop_assert!(status.updated < 20);
        } else {
            prop_assert_eq!(phase(&newest), Some(RolloutPhase::Completed));
            prop_assert!(status.failed <= 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rollout_continues_in_each_window_until_it_is_completed(
        on_use in any::<bool>(),
        events in undisturbed(),
    ) {
        let mut settings = settings(on_use);
        settings["window"] = json!({ "days": ["Monday", "Wednesday"], "from": "23:59", "to": "00:01" });
        let mut fleet = Fleet::new(20, &settings);
        fleet.add_file(0);
        for event in &events {
            fleet.handle(event);
        }
        fleet.converge();
        fleet.check_complete();
    }
}

#[test]
fn a_large_fleet_follows_within_the_limits() {
    let tenants = if is_long() { 2_000 } else { 250 };
    let mut fleet = Fleet::new(tenants, &settings(false));
    fleet.add_file(0);
    fleet.converge();
    fleet.check_complete();
    let status = fleet.newest().unwrap().status.clone().unwrap();
    let all = tenants.try_into().unwrap();
    assert_eq!((status.total, status.updated, status.failed), (all, all, 0));
}

#[test]
fn tenants_that_nobody_uses_are_migrated_at_the_wake_deadline_within_the_limits() {
    let mut fleet = Fleet::new(30, &settings(true));
    fleet.now += SignedDuration::from_secs(10);
    fleet.add_file(0);
    let started = fleet.now;
    fleet.converge();
    fleet.check_complete();
    let status = fleet.newest().unwrap().status.clone().unwrap();
    let wake_by = status.wake_by.unwrap().0;
    assert!(wake_by > started && fleet.now >= wake_by, "{}", fleet.now);
    let canary = fleet
        .tenants
        .values()
        .filter(|one| one.last_active_at < wake_by);
    assert_eq!(canary.count(), 2);
}
