//! When a rollout may migrate Tenants.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies each struct, with its `pub`, into a function"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validation;

/// Hours on days of the week in which a rollout migrates Tenants. Outside the window, the rollout
/// starts no further Tenant. Tenants in progress finish, and Tenants that failed are retried.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[x_kube(
    validation = Rule::new("self.from != self.to")
        .message("from and to of the window must differ; leave the window out to migrate at any time")
)]
#[serde(rename_all = "camelCase")]
pub struct RolloutWindow {
    /// Time zone of the IANA database, such as `Europe/Berlin`. Defaults to `UTC`.
    #[serde(default = "utc")]
    #[schemars(with = "validation::TimeZoneName")]
    pub time_zone: String,
    /// Days on which the window opens. Defaults to all days.
    #[serde(default = "all_days")]
    #[schemars(length(min = 1, max = 7))]
    pub days: Vec<Weekday>,
    /// Time at which the window opens, such as `22:00`.
    #[schemars(with = "validation::TimeOfDay")]
    pub from: String,
    /// Time at which the window closes, such as `04:00`. If it is before `from`, the window closes on
    /// the next day.
    #[schemars(with = "validation::TimeOfDay")]
    pub to: String,
}

/// A day of the week.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];
}

fn utc() -> String {
    "UTC".to_owned()
}

fn all_days() -> Vec<Weekday> {
    Weekday::ALL.to_vec()
}
