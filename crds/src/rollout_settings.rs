//! How new migrations reach the Tenants of a class: `spec.rollout` of a TenantClass, of which each
//! SchemaRollout has a copy.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct, with its `pub`, into a function"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rollout_window::RolloutWindow;
use crate::selector::selects;
use crate::validation;

/// How new migrations reach the Tenants of a class.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(
    validation = Rule::new("self.onFailure != 'RestoreAndPause' || self.backup != 'None'")
        .message("onFailure RestoreAndPause requires a backup: set backup to Branch or Snapshot"),
    validation = Rule::new("self.onFailure != 'RestoreAndPause' || self.strategy == 'Waves'")
        .message("onFailure RestoreAndPause requires the strategy Waves, because AllAtOnce does not pause"),
    validation = Rule::new("self.wake != 'OnUse' || self.strategy == 'Waves'")
        .message("wake OnUse requires the strategy Waves")
)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSettings {
    /// `Waves` migrates a canary first and then one wave after the other. `AllAtOnce` migrates all
    /// Tenants as soon as possible, and failures do not stop it. Defaults to `Waves`.
    #[serde(default)]
    pub strategy: RolloutStrategy,
    /// The first Tenants. If one of them fails, the rollout pauses. Defaults to one Tenant. Tenants
    /// are ordered by a hash of their UID, so each rollout has the same canary unless `selector`
    /// chooses it.
    #[serde(default)]
    pub canary: Canary,
    /// Sizes of the waves after the canary. After the last one, all other Tenants follow. Defaults to
    /// one wave of 10 percent.
    #[serde(default = "default_waves")]
    #[schemars(length(max = 32))]
    pub waves: Vec<TenantShare>,
    /// Seconds between the end of a wave and the start of the next one. Defaults to 60.
    #[serde(default = "default_soak_seconds")]
    #[schemars(with = "validation::SecondsUpToAWeek")]
    pub soak_seconds: i64,
    /// Largest number of Tenants that are migrated at the same time. While databases are slow or Neon
    /// limits the account's calls, the controller migrates fewer. Defaults to 32.
    #[serde(default = "default_max_concurrent")]
    #[schemars(with = "validation::PositiveCount")]
    pub max_concurrent: i64,
    /// How many Tenants may fail before the rollout pauses. A percentage allows at least one Tenant.
    /// In the canary, no Tenant may fail. Defaults to 1 percent.
    #[serde(default = "default_failure_budget")]
    pub failure_budget: TenantShare,
    /// Seconds after which a Tenant counts as failed if its migration has neither succeeded nor been
    /// rejected, for example because its compute does not start. The controller keeps retrying.
    /// Defaults to 600.
    #[serde(default = "default_progress_deadline_seconds")]
    #[schemars(with = "validation::DeadlineSeconds")]
    pub progress_deadline_seconds: i64,
    /// `Manual` waits until a user sets `spec.approved` of the SchemaRollout. Defaults to
    /// `Automatic`.
    #[serde(default)]
    pub approval: Approval,
    /// Schema of new Tenants during a rollout: that of the newest completed rollout (`Completed`,
    /// the default), or that of the running one once it is approved (`Latest`).
    #[serde(default)]
    pub new_tenants: NewTenants,
    /// Backup of a Tenant's database before a rollout migrates it. `Branch` creates a branch of the
    /// Neon project. It has no compute, and Neon charges only the storage of what changes afterwards.
    /// `Snapshot` creates a snapshot, of which a project can have one on Neon's Free plan and ten on
    /// paid plans. The Tenant's `status.backup` names the backup. Defaults to `None`.
    #[serde(default)]
    pub backup: RolloutBackup,
    /// Seconds after which Neon deletes a backup. Defaults to 604,800, which is a week.
    #[serde(default = "default_backup_expiry_seconds")]
    #[schemars(with = "validation::BackupExpirySeconds")]
    pub backup_expiry_seconds: i64,
    /// What happens when a migration fails for good. `Pause` pauses the rollout if too many Tenants
    /// failed. `RestoreAndPause`, which requires a backup, also restores the database of each Tenant
    /// that had applied some of the new migrations. What was written since the backup is then only in
    /// a branch that `status.backup.restore` names. Defaults to `Pause`.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// When Tenants that are not in use are migrated. `Eager`, the default: like all others, so that
    /// the rollout starts their computes. `OnUse`: when they are next used, or `wakeDeadlineSeconds`
    /// after the start of the rollout at the latest. The canary is always migrated first. `OnUse`
    /// requires the strategy `Waves`.
    #[serde(default)]
    pub wake: Wake,
    /// Seconds from the start of a rollout with `wake: OnUse` until it migrates the Tenants that have
    /// not been used. Defaults to 604,800, which is a week.
    #[serde(default = "default_wake_deadline_seconds")]
    #[schemars(with = "validation::SecondsUpToAMonth")]
    pub wake_deadline_seconds: i64,
    /// When Tenants are migrated. Defaults to any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<RolloutWindow>,
}

impl Default for RolloutSettings {
    fn default() -> Self {
        Self {
            strategy: RolloutStrategy::default(),
            canary: Canary::default(),
            waves: default_waves(),
            soak_seconds: default_soak_seconds(),
            max_concurrent: default_max_concurrent(),
            failure_budget: default_failure_budget(),
            progress_deadline_seconds: default_progress_deadline_seconds(),
            approval: Approval::default(),
            new_tenants: NewTenants::default(),
            backup: RolloutBackup::default(),
            backup_expiry_seconds: default_backup_expiry_seconds(),
            on_failure: OnFailure::default(),
            wake: Wake::default(),
            wake_deadline_seconds: default_wake_deadline_seconds(),
            window: None,
        }
    }
}

impl RolloutSettings {
    /// Largest number of Tenants that are migrated at the same time.
    pub fn max_concurrent(&self) -> usize {
        usize::try_from(self.max_concurrent).unwrap_or(usize::MAX)
    }

    /// Whether Tenants that are not in use are migrated when they are next used.
    pub fn wakes_on_use(&self) -> bool {
        self.wake == Wake::OnUse && self.strategy == RolloutStrategy::Waves
    }
}

fn default_waves() -> Vec<TenantShare> {
    vec![TenantShare::percent(10)]
}

fn default_soak_seconds() -> i64 {
    60
}

fn default_max_concurrent() -> i64 {
    32
}

fn default_failure_budget() -> TenantShare {
    TenantShare::percent(1)
}

fn default_progress_deadline_seconds() -> i64 {
    600
}

fn default_backup_expiry_seconds() -> i64 {
    604_800
}

fn default_wake_deadline_seconds() -> i64 {
    604_800
}

/// Order in which the Tenants are migrated.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum RolloutStrategy {
    /// A canary, then waves.
    #[default]
    Waves,
    /// All Tenants as soon as possible.
    AllAtOnce,
}

/// Who starts a rollout.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Approval {
    /// The controller.
    #[default]
    Automatic,
    /// A user, with `spec.approved` of the SchemaRollout.
    Manual,
}

/// Schema of new Tenants during a rollout.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum NewTenants {
    /// That of the newest completed rollout.
    #[default]
    Completed,
    /// That of the running rollout.
    Latest,
}

/// Backup of a database before its migration.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum RolloutBackup {
    /// No backup.
    #[default]
    None,
    /// A branch of the project.
    Branch,
    /// A snapshot of the project's branch.
    Snapshot,
}

/// What happens when a migration fails for good.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum OnFailure {
    /// The rollout pauses if too many Tenants failed.
    #[default]
    Pause,
    /// The same, and the databases of the failed Tenants are restored from their backups.
    RestoreAndPause,
}

/// Which Tenants are migrated although they are not in use.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Wake {
    /// All Tenants.
    #[default]
    Eager,
    /// Those of the canary, and all others at the end of `wakeDeadlineSeconds`.
    OnUse,
}

/// The first Tenants of a rollout.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[x_kube(
    validation = Rule::new("[has(self.count), has(self.percent), has(self.selector)].filter(set, set).size() == 1")
        .message("set exactly one of count, percent and selector of the canary")
)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// Number of Tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::TenantCount>")]
    pub count: Option<i64>,
    /// Share of the class's Tenants in percent, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::Percent>")]
    pub percent: Option<i64>,
    /// Selects Tenants by their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::ObjectSelector>")]
    pub selector: Option<LabelSelector>,
}

impl Default for Canary {
    fn default() -> Self {
        Self {
            count: Some(1),
            percent: None,
            selector: None,
        }
    }
}

impl Canary {
    /// Whether the selector selects a Tenant with these labels. Without a selector, it selects none.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.selector
            .as_ref()
            .is_some_and(|selector| selects(selector, labels))
    }
}

/// A number of Tenants, or their share of all Tenants of the class.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[x_kube(
    validation = Rule::new("has(self.count) != has(self.percent)")
        .message("set either count or percent")
)]
#[serde(rename_all = "camelCase")]
pub struct TenantShare {
    /// Number of Tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::TenantCount>")]
    pub count: Option<i64>,
    /// Share of the class's Tenants in percent, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<validation::Percent>")]
    pub percent: Option<i64>,
}

impl TenantShare {
    /// A share in percent.
    pub fn percent(percent: i64) -> Self {
        Self {
            count: None,
            percent: Some(percent),
        }
    }

    /// The number of Tenants out of `total`.
    pub fn of(self, total: usize) -> usize {
        share_of(self.count, self.percent, total)
    }
}

impl Canary {
    /// The number of Tenants out of `total`, unless the canary is chosen by a selector.
    pub fn of(&self, total: usize) -> usize {
        share_of(self.count, self.percent, total)
    }
}

fn share_of(count: Option<i64>, percent: Option<i64>, total: usize) -> usize {
    let number = |value: i64| usize::try_from(value).unwrap_or_default();
    match (count, percent) {
        (Some(count), _) => number(count).min(total),
        (None, Some(percent)) => total
            .saturating_mul(number(percent))
            .div_ceil(100)
            .min(total),
        (None, None) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up_and_never_more_than_all() {
        let percent = TenantShare::percent;
        let count = |count| TenantShare {
            count: Some(count),
            percent: None,
        };
        for (share, total, expected) in [
            (percent(10), 0, 0),
            (percent(10), 1, 1),
            (percent(10), 101, 11),
            (percent(100), 7, 7),
            (percent(0), 7, 0),
            (count(3), 2, 2),
            (count(0), 2, 0),
        ] {
            assert_eq!(share.of(total), expected, "{share:?} of {total}");
        }
    }

    #[test]
    fn the_settings_of_an_empty_object_are_the_defaults() {
        let settings: RolloutSettings = serde_json::from_str("{}").expect("settings");
        assert_eq!(settings, RolloutSettings::default());
    }
}
