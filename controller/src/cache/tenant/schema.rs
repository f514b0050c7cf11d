//! What rollouts read of a Tenant: its place among the Tenants, its schema, and whether it has a
//! problem.

use std::collections::BTreeMap;

use crds::{
    BackupStatus, ConditionType, Reason, SchemaStatus, Tenant, annotations, find_condition,
};
use jiff::Timestamp;

use crate::identity::TenantUid;

/// The schema of a Tenant, as its status reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CachedSchema {
    /// See [`TenantUid::hash_order`].
    pub order: u64,
    pub created_at: Option<Timestamp>,
    pub labels: Option<Box<BTreeMap<String, String>>>,
    pub suspended: bool,
    /// When the application last used the database, as an annotation says.
    pub used_at: Option<Timestamp>,
    /// Whether the schema of the Tenant's database is known: it has been migrated, or its class
    /// applied no migrations.
    pub is_known: bool,
    /// Digest of the migrations of the Tenant's database.
    pub checksum: Option<Box<str>>,
    /// The rollout for which the database was or is being migrated.
    pub rollout: Option<Box<str>>,
    pub problem: Option<SchemaProblem>,
    /// The rollout after whose failure the database was last restored.
    pub rolled_back: Option<Box<str>>,
}

/// Reasons of problems that all Tenants of an account have.
const ACCOUNT_REASONS: [Reason; 4] = [
    Reason::ApiKeyInvalid,
    Reason::Unauthorized,
    Reason::AccountMismatch,
    Reason::AccountUnreachable,
];

/// Reasons of problems that a change of the class can cause for many Tenants at once.
const CLASS_REASONS: [Reason; 2] = [Reason::ClassLimitExceeded, Reason::NamespaceNotAllowed];

/// Why a Tenant is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaProblem {
    /// Since when.
    pub since: Timestamp,
    /// Whether a person has to act.
    pub stalled: bool,
    pub subject: ProblemSubject,
}

/// What a problem concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemSubject {
    /// The schema of the Tenant's database.
    Schema,
    /// The account, so that all Tenants of the class have the problem.
    Account,
    /// What the class allows.
    Class,
    Other,
}

impl CachedSchema {
    pub(super) fn of(tenant: &Tenant) -> Self {
        let meta = &tenant.metadata;
        let status = tenant.status.as_ref();
        let project = status.and_then(|status| status.project.as_ref());
        let schema = status.and_then(|status| status.schema.as_ref());
        let recorded = schema.filter(|schema| {
            schema.project_id.as_deref() == project.map(|project| project.id.as_str())
        });
        let labels = meta.labels.clone().filter(|labels| !labels.is_empty());
        Self {
            order: meta
                .uid
                .as_deref()
                .and_then(TenantUid::parse)
                .map_or(0, TenantUid::hash_order),
            created_at: meta.creation_timestamp.as_ref().map(|time| time.0),
            labels: labels.map(Box::new),
            suspended: tenant.spec.suspend,
            used_at: used_at(tenant),
            is_known: recorded.is_some_and(SchemaStatus::is_known),
            checksum: recorded
                .and_then(|schema| schema.checksum.as_deref())
                .map(Into::into),
            rollout: schema
                .and_then(|schema| schema.rollout.as_deref())
                .map(Into::into),
            problem: problem(tenant),
            rolled_back: status
                .and_then(|status| rolled_back(status.backup.as_ref()?))
                .map(Into::into),
        }
    }
}

/// The rollout of a backup from which the database was restored.
fn rolled_back(backup: &BackupStatus) -> Option<&str> {
    backup.restore.as_ref()?.restored_at.as_ref()?;
    Some(&backup.rollout)
}

fn used_at(tenant: &Tenant) -> Option<Timestamp> {
    let all = tenant.metadata.annotations.as_ref()?;
    all.get(annotations::USED_AT)?.parse().ok()
}

fn problem(tenant: &Tenant) -> Option<SchemaProblem> {
    let conditions = &tenant.status.as_ref()?.conditions;
    let condition = |kind| find_condition(conditions, kind);
    let ready = condition(ConditionType::Ready).filter(|ready| ready.status == "False")?;
    let schema = condition(ConditionType::SchemaReady).filter(|schema| schema.status == "False");
    let stalled = condition(ConditionType::Stalled).is_some_and(|stalled| stalled.status == "True");
    let is_one_of = |reasons: &[Reason]| reasons.iter().any(|one| ready.reason == one.as_str());
    let subject = if is_one_of(&ACCOUNT_REASONS) {
        ProblemSubject::Account
    } else if is_one_of(&CLASS_REASONS) {
        ProblemSubject::Class
    } else if schema.is_some_and(|schema| schema.reason == ready.reason) {
        ProblemSubject::Schema
    } else {
        ProblemSubject::Other
    };
    Some(SchemaProblem {
        since: ready.last_transition_time.0,
        stalled,
        subject,
    })
}
