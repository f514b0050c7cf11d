//! Settings of projects and computes. In an update, fields that are `None` are not changed.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ComputeUnits;

/// Settings of a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectSettings {
    /// Consumption limits per billing period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// IP allow list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_ips: Option<AllowedIps>,
    /// Whether `wal_level` is `logical`. It cannot be disabled again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_logical_replication: Option<bool>,
    /// Time window in which Neon may restart the computes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance_window: Option<MaintenanceWindow>,
    /// Whether connections over the public internet are rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_public_connections: Option<bool>,
    /// Whether connections from private networks are rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_vpc_connections: Option<bool>,
    /// Audit log level: `base`, `extended` or `full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_log_level: Option<String>,
    /// Whether the project is HIPAA compliant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hipaa: Option<bool>,
    /// Libraries that PostgreSQL preloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preload_libraries: Option<PreloadLibraries>,
}

/// Consumption limits of a project per billing period. Neon suspends the computes when a limit is
/// reached. `0` or `None` means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quota {
    /// Active compute time, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_time_seconds: Option<u64>,
    /// CPU time, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_time_seconds: Option<u64>,
    /// Bytes written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_data_bytes: Option<u64>,
    /// Bytes transferred to clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_transfer_bytes: Option<u64>,
    /// Logical size of each branch, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logical_size_bytes: Option<u64>,
}

/// IP allow list. If it is empty, every address may connect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllowedIps {
    /// Addresses, CIDR blocks and address ranges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ips: Option<Vec<String>>,
    /// Whether the list applies to protected branches only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_branches_only: Option<bool>,
}

impl AllowedIps {
    /// Returns an allow list that applies to all branches. An empty list allows every address.
    pub fn from_networks(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let ips = networks
            .into_iter()
            .map(|network| network.to_string())
            .collect();
        Self {
            ips: Some(ips),
            protected_branches_only: Some(false),
        }
    }

    /// Returns the list in a canonical form that ignores spelling and order, to compare two lists:
    /// `10.0.0.1` becomes `10.0.0.1/32` and `10.0.0.7/8` becomes `10.0.0.0/8`. Entries that are
    /// neither an address nor a CIDR block are kept unchanged.
    pub fn canonical(&self) -> BTreeSet<String> {
        self.ips
            .iter()
            .flatten()
            .map(|text| canonical_network(text.trim()))
            .collect()
    }
}

fn canonical_network(text: &str) -> String {
    let network = text
        .parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.map_or_else(|| text.to_owned(), |network| network.trunc().to_string())
}

/// Default settings of new computes. Changing them does not change existing computes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DefaultEndpointSettings {
    /// PostgreSQL settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pg_settings: Option<Map<String, Value>>,
    /// PgBouncer settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pgbouncer_settings: Option<Map<String, Value>>,
    /// Minimum autoscaling size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_min_cu: Option<ComputeUnits>,
    /// Maximum autoscaling size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_max_cu: Option<ComputeUnits>,
    /// Idle time in seconds before a compute is suspended: 60 to 604,800. `0` means Neon's default,
    /// `-1` never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend_timeout_seconds: Option<i64>,
}

/// Settings of one compute.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSettings {
    /// PostgreSQL settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pg_settings: Option<Map<String, Value>>,
    /// PgBouncer settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pgbouncer_settings: Option<Map<String, Value>>,
    /// Libraries that PostgreSQL preloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preload_libraries: Option<PreloadLibraries>,
}

/// Libraries that PostgreSQL preloads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PreloadLibraries {
    /// Whether Neon's default libraries are loaded too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_defaults: Option<bool>,
    /// Names of the libraries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled_libraries: Option<Vec<String>>,
}

/// Time window, in UTC, in which Neon may restart the computes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceWindow {
    /// Days of the week, from 1 (Monday) to 7 (Sunday).
    pub weekdays: Vec<u8>,
    /// Start time as `HH:MM`.
    pub start_time: String,
    /// End time as `HH:MM`.
    pub end_time: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equivalent_allow_lists_are_equal_in_canonical_form() {
        let actual = AllowedIps {
            ips: Some(vec![
                "10.0.0.1".into(),
                " 192.168.7.9/16 ".into(),
                "1.1.1.1-1.1.1.9".into(),
                "2001:DB8::1".into(),
            ]),
            protected_branches_only: None,
        };
        let networks: Vec<IpNet> = ["2001:db8::1/128", "192.168.0.0/16", "10.0.0.1/32"]
            .iter()
            .map(|n| n.parse().unwrap())
            .collect();
        let mut expected = AllowedIps::from_networks(networks).canonical();
        expected.insert("1.1.1.1-1.1.1.9".into());
        assert_eq!(actual.canonical(), expected);
    }

    #[test]
    fn settings_that_are_not_set_are_not_serialized() {
        assert_eq!(
            serde_json::to_string(&ProjectSettings::default()).unwrap(),
            "{}"
        );
        let quota = Quota {
            active_time_seconds: Some(0),
            ..Quota::default()
        };
        assert_eq!(
            serde_json::to_string(&quota).unwrap(),
            r#"{"active_time_seconds":0}"#
        );
    }

    #[test]
    fn an_empty_allow_list_is_serialized_because_it_allows_every_address() {
        let allow_all = AllowedIps::from_networks([]);
        assert_eq!(
            serde_json::to_string(&allow_all).unwrap(),
            r#"{"ips":[],"protected_branches_only":false}"#
        );
    }
}
