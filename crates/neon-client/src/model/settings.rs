//! Settings of projects and computes. In an update, what is `None` stays as it is.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ComputeUnits;

/// Settings of a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectSettings {
    /// What the project may use in one billing period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// From where its databases can be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_ips: Option<AllowedIps>,
    /// Whether `wal_level` is `logical`. Once on, it cannot be turned off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_logical_replication: Option<bool>,
    /// When the platform may restart the computes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance_window: Option<MaintenanceWindow>,
    /// Whether connections over the public internet are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_public_connections: Option<bool>,
    /// Whether connections from private networks are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_vpc_connections: Option<bool>,
    /// How much is audited: `base`, `extended` or `full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_log_level: Option<String>,
    /// Whether the project is run under HIPAA's rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hipaa: Option<bool>,
    /// Libraries that PostgreSQL loads at its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preload_libraries: Option<PreloadLibraries>,
}

/// What a project may use in one billing period. A limit that is reached suspends its computes; `0` or `None` means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quota {
    /// Wall-clock seconds with an active compute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_time_seconds: Option<u64>,
    /// CPU seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_time_seconds: Option<u64>,
    /// Bytes written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_data_bytes: Option<u64>,
    /// Bytes sent to clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_transfer_bytes: Option<u64>,
    /// Bytes of data in each branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logical_size_bytes: Option<u64>,
}

/// The addresses that may connect. None named means all may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllowedIps {
    /// Addresses, CIDRs, or ranges of addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ips: Option<Vec<String>>,
    /// Whether the list holds for protected branches only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_branches_only: Option<bool>,
}

impl AllowedIps {
    /// A list of networks, for all branches. An empty list lets everybody in.
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

    /// The list with each network in one spelling and without regard to order, to compare a wish with what is there: `10.0.0.1`
    /// is `10.0.0.1/32`, and `10.0.0.7/8` is `10.0.0.0/8`. What is neither address nor CIDR stays as it is.
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

/// What every compute of a project starts with. Changing it does not change the computes that exist.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DefaultEndpointSettings {
    /// Settings of PostgreSQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pg_settings: Option<Map<String, Value>>,
    /// Settings of the pooler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pgbouncer_settings: Option<Map<String, Value>>,
    /// The smallest size that autoscaling uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_min_cu: Option<ComputeUnits>,
    /// The largest size that autoscaling uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling_limit_max_cu: Option<ComputeUnits>,
    /// Idle seconds before a compute is suspended: 60 to 604,800; `0` is the platform's default, `-1` is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend_timeout_seconds: Option<i64>,
}

/// Settings of one compute.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSettings {
    /// Settings of PostgreSQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pg_settings: Option<Map<String, Value>>,
    /// Settings of the pooler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pgbouncer_settings: Option<Map<String, Value>>,
    /// Libraries that PostgreSQL loads at its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preload_libraries: Option<PreloadLibraries>,
}

/// Libraries that PostgreSQL loads at its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PreloadLibraries {
    /// Whether the platform's own set is loaded too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_defaults: Option<bool>,
    /// Names of libraries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled_libraries: Option<Vec<String>>,
}

/// When the platform may restart the computes, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceWindow {
    /// Days of the week, 1 is Monday.
    pub weekdays: Vec<u8>,
    /// `HH:MM`.
    pub start_time: String,
    /// `HH:MM`.
    pub end_time: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allow_lists_that_mean_the_same_are_equal_in_canonical_form() {
        let theirs = AllowedIps {
            ips: Some(vec![
                "10.0.0.1".into(),
                " 192.168.7.9/16 ".into(),
                "1.1.1.1-1.1.1.9".into(),
                "2001:DB8::1".into(),
            ]),
            protected_branches_only: None,
        };
        let ours: Vec<IpNet> = ["2001:db8::1/128", "192.168.0.0/16", "10.0.0.1/32"]
            .iter()
            .map(|n| n.parse().unwrap())
            .collect();
        let mut expected = AllowedIps::from_networks(ours).canonical();
        expected.insert("1.1.1.1-1.1.1.9".into());
        assert_eq!(theirs.canonical(), expected);
    }

    #[test]
    fn settings_that_are_not_named_are_not_written() {
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
    fn an_empty_allow_list_is_written_because_it_lets_everybody_in_again() {
        let everybody = AllowedIps::from_networks([]);
        assert_eq!(
            serde_json::to_string(&everybody).unwrap(),
            r#"{"ips":[],"protected_branches_only":false}"#
        );
    }
}
