//! The target schema of a Tenant: `(migrations of the class, its rollouts, Tenant) -> schema`.
//! Pure.
//!
//! The newest rollout of the class decides. A Tenant that it has reached gets its schema. A
//! Tenant that it has not reached keeps the schema that it has, whatever that is, so that neither a
//! later wave nor a newer rollout takes anything back. A Tenant without a schema gets that of the
//! newest completed rollout.
//!
//! While a rollout is paused, and outside its window, a Tenant that it has reached keeps its schema as
//! well, unless its migration has begun.
//!
//! The migrations of a class are cumulative, so the files of an earlier rollout are usually among
//! the current ones. Where they are not, because a file was changed or removed, a Tenant that keeps
//! its schema is left alone, and a new Tenant gets the current migrations: the class has no others.

pub mod window;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crds::{NewTenants, OnFailure, RolloutBackup, RolloutPhase, SchemaRollout, SchemaStatus};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use self::window::{WindowState, window_state};
use crate::identity::TenantUid;
use crate::migrations::MigrationSet;

/// Bits of a place that hold the Tenant's number; the others hold its group.
const ORDER_BITS: u32 = u64::BITS - 2;

/// A time that is later than the controller's by more than this is not that of a use.
const MAX_CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_mins(5);

/// A schema, identified by version and content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaTarget {
    /// Version of the last migration.
    pub version: i64,
    /// Digest of all migrations; empty if the class applies no migrations.
    pub digest: String,
    /// The rollout that assigns the schema; `None` if the Tenant keeps the one that it has.
    pub rollout: Option<String>,
    /// The backup that the rollout requires before the migration.
    pub backup: Option<RequiredBackup>,
    /// A Tenant that was last used before this time is asleep: the rollout suspends its compute again
    /// after the migration.
    pub asleep_before: Option<Timestamp>,
}

/// A backup that a rollout requires before it migrates a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequiredBackup {
    pub kind: BackupKind,
    /// Seconds after which Neon deletes it.
    pub expiry_seconds: i64,
    /// Whether the database is restored from it if the migration fails for good.
    pub restore_on_failure: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupKind {
    Branch,
    Snapshot,
}

impl SchemaTarget {
    /// Whether the class applies migrations.
    pub fn is_managed(&self) -> bool {
        !self.digest.is_empty()
    }

    /// Whether the recorded schema is that of this project and at the target. Without migrations,
    /// it suffices that the database was reached.
    pub fn is_reached(&self, schema: Option<&SchemaStatus>, project: &str) -> bool {
        schema.is_some_and(|schema| {
            let is_current = !self.is_managed()
                || schema.version == Some(self.version)
                    && schema.checksum.as_deref() == Some(self.digest.as_str());
            is_current && schema.project_id.as_deref() == Some(project)
        })
    }

    fn whole(content: &MigrationSet, rollout: Option<&SchemaRollout>) -> Self {
        Self {
            version: content.target_version(),
            digest: content.digest().to_owned(),
            rollout: rollout.map(kube::ResourceExt::name_any),
            backup: rollout.and_then(required_backup),
            asleep_before: rollout.and_then(use_counts_from),
        }
    }
}

fn required_backup(rollout: &SchemaRollout) -> Option<RequiredBackup> {
    let settings = &rollout.spec.rollout;
    let kind = match settings.backup {
        RolloutBackup::None => return None,
        RolloutBackup::Branch => BackupKind::Branch,
        RolloutBackup::Snapshot => BackupKind::Snapshot,
    };
    Some(RequiredBackup {
        kind,
        expiry_seconds: settings.backup_expiry_seconds,
        restore_on_failure: settings.on_failure == OnFailure::RestoreAndPause,
    })
}

/// The place of a Tenant in the order of a rollout: the canary's Tenants if they are selected by
/// labels, then the others, and last those that were created after the rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u64);

impl Place {
    /// Behind all Tenants.
    pub const LAST: Self = Self(u64::MAX);

    fn new(group: Group, order: u64) -> Self {
        Self(((group as u64) << ORDER_BITS) | (order >> (u64::BITS - ORDER_BITS)))
    }

    /// Parses `status.reach` of a rollout.
    pub fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }

    pub fn is_selected_canary(self) -> bool {
        self.0 >> ORDER_BITS == Group::SelectedCanary as u64
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[derive(Clone, Copy)]
enum Group {
    SelectedCanary = 0,
    Existing = 1,
    Later = 2,
}

/// What determines the place of a Tenant.
#[derive(Clone, Copy, Debug)]
pub struct PlaceInput<'a> {
    /// See [`TenantUid::hash_order`](crate::identity::TenantUid::hash_order).
    pub order: u64,
    pub created_at: Option<Timestamp>,
    pub labels: Option<&'a BTreeMap<String, String>>,
}

/// The place of a Tenant in the order of a rollout.
pub fn place(tenant: PlaceInput<'_>, rollout: &SchemaRollout) -> Place {
    let canary = &rollout.spec.rollout.canary;
    let created_at = rollout.metadata.creation_timestamp.as_ref();
    // The API server records whole seconds. In the second of the rollout, a Tenant counts as later, so
    // that no new Tenant is among the first.
    let is_later = tenant
        .created_at
        .zip(created_at)
        .is_some_and(|(tenant, rollout)| tenant >= rollout.0);
    let no_labels = BTreeMap::new();
    let group = if canary.selects(tenant.labels.unwrap_or(&no_labels)) {
        Group::SelectedCanary
    } else if is_later {
        Group::Later
    } else {
        Group::Existing
    };
    Place::new(group, tenant.order)
}

/// How far a rollout has come. `None` if no Tenant is to be migrated yet.
pub fn reach(rollout: &SchemaRollout) -> Option<Place> {
    Place::parse(rollout.status.as_ref()?.reach.as_deref()?)
}

pub fn phase(rollout: &SchemaRollout) -> Option<RolloutPhase> {
    rollout.status.as_ref().and_then(|status| status.phase)
}

/// Whether users exclude the Tenant from the rollout.
pub fn is_skipped(rollout: &SchemaRollout, namespace: &str, name: &str) -> bool {
    let skip = &rollout.spec.skip;
    skip.iter()
        .any(|skipped| skipped.namespace == namespace && skipped.name == name)
}

/// What determines whether a rollout has reached a Tenant.
#[derive(Clone, Copy, Debug)]
pub struct ReachInput<'a> {
    pub uid: TenantUid,
    pub place: PlaceInput<'a>,
    /// Whether the schema of the Tenant's database is recorded.
    pub has_schema: bool,
    /// The rollout that last began to migrate the database.
    pub begun: Option<&'a str>,
}

/// Whether the rollout has reached a Tenant, unless users skip it. With `wake: OnUse`, the rollout
/// lists the Tenants that may begin. A Tenant that has begun is reached without the list.
pub fn is_reached(tenant: ReachInput<'_>, rollout: &SchemaRollout) -> bool {
    let on_use = rollout.spec.rollout.wakes_on_use() && !is_ended(rollout);
    if on_use && has_begun(tenant.begun, rollout) {
        return true;
    }
    if on_use && tenant.has_schema {
        return is_admitted(tenant.uid, rollout);
    }
    reach(rollout).is_some_and(|reach| place(tenant.place, rollout) <= reach)
}

/// Whether the rollout, which has started, is the one that last began to migrate a Tenant's database.
pub fn has_begun(begun: Option<&str>, rollout: &SchemaRollout) -> bool {
    let status = rollout.status.as_ref();
    let is_started = status.is_some_and(|status| status.started_at.is_some());
    is_started && begun.is_some() && begun == rollout.metadata.name.as_deref()
}

/// Whether Tenants whose database has a schema may begin now. After its end, a rollout no longer waits
/// for its window.
pub fn may_begin(rollout: &SchemaRollout, now: Timestamp) -> bool {
    let window = rollout.spec.rollout.window.as_ref();
    is_ended(rollout) || !rollout.spec.paused && window_state(window, now) == WindowState::Open
}

/// Whether a rollout with `wake: OnUse` lists the Tenant as one that may begin.
pub fn is_admitted(tenant: TenantUid, rollout: &SchemaRollout) -> bool {
    rollout.status.as_ref().is_some_and(|status| {
        let mut admitted = status.admitted.iter();
        admitted.any(|uid| TenantUid::parse(uid) == Some(tenant))
    })
}

fn is_ended(rollout: &SchemaRollout) -> bool {
    phase(rollout).is_some_and(RolloutPhase::is_final)
}

/// Time from which use counts for a rollout with `wake: OnUse`. `None` for other rollouts, and before
/// the start.
pub fn use_counts_from(rollout: &SchemaRollout) -> Option<Timestamp> {
    let started_at = rollout.status.as_ref()?.started_at.as_ref()?;
    // The API server records whole seconds. A use in the second of the start counts as before.
    let on_use = rollout.spec.rollout.wakes_on_use();
    on_use.then_some(started_at.0 + SignedDuration::from_secs(1))
}

/// When the application last used a Tenant's database, as an annotation says. A time in the future,
/// which would prevent that the Tenant is ever asleep, does not count.
pub fn used_at(noted: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    noted.filter(|noted| noted.duration_since(now) <= MAX_CLOCK_DIFFERENCE)
}

/// What the target schema of a Tenant depends on, besides its class and the rollouts.
#[derive(Clone, Copy, Debug)]
pub struct AssignmentInput<'a> {
    pub uid: TenantUid,
    pub namespace: &'a str,
    pub name: &'a str,
    pub place: PlaceInput<'a>,
    /// The recorded schema, if it is that of the Tenant's project.
    pub recorded: Option<&'a SchemaStatus>,
    pub now: Timestamp,
}

/// The target schema of a Tenant. `rollouts` are those of its class, oldest first.
pub fn assign(
    content: &MigrationSet,
    rollouts: &[Arc<SchemaRollout>],
    tenant: AssignmentInput<'_>,
) -> SchemaTarget {
    if content.is_empty() {
        return SchemaTarget::default();
    }
    // The rollout of changed migrations is created within a moment.
    let newest = rollouts.last();
    let current = newest.filter(|newest| newest.spec.target.digest == content.digest());
    let kept = kept(tenant.recorded);
    let begun = tenant.recorded.and_then(|schema| schema.rollout.as_deref());
    let reach_input = ReachInput {
        uid: tenant.uid,
        place: tenant.place,
        has_schema: tenant.recorded.is_some_and(SchemaStatus::is_known),
        begun,
    };
    if let Some(rollout) = current
        && !is_skipped(rollout, tenant.namespace, tenant.name)
        && is_reached(reach_input, rollout)
        && (kept.is_none() || has_begun(begun, rollout) || may_begin(rollout, tenant.now))
    {
        return SchemaTarget::whole(content, Some(rollout));
    }
    if let Some(kept) = kept {
        return kept;
    }
    if let Some(rollout) = current
        && rollout.spec.rollout.new_tenants == NewTenants::Latest
        && !rollout.spec.paused
        && phase(rollout).is_some_and(|phase| phase != RolloutPhase::AwaitingApproval)
    {
        return SchemaTarget::whole(content, Some(rollout));
    }
    let completed = rollouts
        .iter()
        .rev()
        .find(|rollout| phase(rollout) == Some(RolloutPhase::Completed));
    completed
        .and_then(|completed| {
            let target = &completed.spec.target;
            content.select(&target.versions, &target.digest)?;
            Some(SchemaTarget {
                version: target.version,
                digest: target.digest.clone(),
                rollout: Some(completed.name_any()),
                backup: required_backup(completed),
                asleep_before: None,
            })
        })
        .unwrap_or_else(|| SchemaTarget::whole(content, current.map(|rollout| &**rollout)))
}

/// The schema that a Tenant has, if it is known: migrations, or none because its class applied none.
fn kept(recorded: Option<&SchemaStatus>) -> Option<SchemaTarget> {
    let recorded = recorded?;
    match (recorded.version, &recorded.checksum) {
        (Some(version), Some(digest)) => Some(SchemaTarget {
            version,
            digest: digest.clone(),
            rollout: None,
            backup: None,
            asleep_before: None,
        }),
        (None, None) if recorded.is_known() => Some(SchemaTarget::default()),
        _ => None,
    }
}

/// The migrations of a schema. `None` if the class no longer has them, so that the database can be
/// opened but not migrated.
pub fn migrations_of(
    target: &SchemaTarget,
    content: &MigrationSet,
    rollouts: &[Arc<SchemaRollout>],
) -> Option<MigrationSet> {
    if target.digest == content.digest() {
        return Some(content.clone());
    }
    let of_rollout = |rollout: &Arc<SchemaRollout>| {
        let of = &rollout.spec.target;
        (of.digest == target.digest).then(|| content.select(&of.versions, &of.digest))?
    };
    content
        .select_up_to(target.version, &target.digest)
        .or_else(|| rollouts.iter().rev().find_map(of_rollout))
}

#[cfg(test)]
mod tests;
