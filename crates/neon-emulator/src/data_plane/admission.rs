//! Checks a client's address against the allow list, and the project's usage against its quota.

use std::net::IpAddr;

use ipnet::IpNet;
use neon_client::model::{AllowedIps, Quota};

use crate::clock::SECOND;
use crate::store::{EndpointRoute, Usage};

pub(super) fn is_address_allowed(route: &EndpointRoute, peer: IpAddr) -> bool {
    let Some(allowed) = &route.project_settings.allowed_ips else {
        return true;
    };
    if allowed.protected_branches_only == Some(true) && !route.branch_protected {
        return true;
    }
    allows(allowed, peer)
}

/// An empty list allows all addresses.
fn allows(allowed: &AllowedIps, peer: IpAddr) -> bool {
    let mut entries = allowed.ips.iter().flatten().peekable();
    entries.peek().is_none() || entries.any(|entry| covers(entry.trim(), peer.to_canonical()))
}

fn covers(entry: &str, peer: IpAddr) -> bool {
    if let Ok(address) = entry.parse::<IpAddr>() {
        return address == peer;
    }
    if let Ok(network) = entry.parse::<IpNet>() {
        return network.contains(&peer);
    }
    let range = entry.split_once('-').and_then(|(first, last)| {
        let first: IpAddr = first.trim().parse().ok()?;
        let last: IpAddr = last.trim().parse().ok()?;
        Some((first, last))
    });
    range.is_some_and(|(first, last)| {
        first.is_ipv4() == peer.is_ipv4()
            && last.is_ipv4() == peer.is_ipv4()
            && first <= peer
            && peer <= last
    })
}

/// The quota limit that a project has exceeded. A limit of 0 means unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    ActiveTime,
    ComputeTime,
    DataTransfer,
}

impl Exhausted {
    /// Neon's error message for new connections.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::ActiveTime => {
                "Your project has exceeded the active time quota. Upgrade your plan to increase limits."
            }
            Self::ComputeTime => {
                "Your account or project has exceeded the compute time quota. Upgrade your plan to increase limits."
            }
            Self::DataTransfer => {
                "Your project has exceeded the data transfer quota. Upgrade your plan to increase limits."
            }
        }
    }
}

/// Whether a quota has limits that suspend computes. The size limit only rejects writes.
pub(crate) fn has_limits(quota: &Quota) -> bool {
    [
        quota.active_time_seconds,
        quota.compute_time_seconds,
        quota.data_transfer_bytes,
    ]
    .iter()
    .any(|limit| limit.is_some_and(|limit| limit > 0))
}

/// The first limit that the usage of this billing period has reached.
pub(crate) fn exhausted(quota: &Quota, used: Usage) -> Option<Exhausted> {
    let reached = |limit: Option<u64>, used: i64| {
        limit.is_some_and(|limit| limit > 0 && used.unsigned_abs() >= limit)
    };
    if reached(quota.active_time_seconds, used.active_us / SECOND) {
        Some(Exhausted::ActiveTime)
    } else if reached(quota.compute_time_seconds, used.compute_us / SECOND) {
        Some(Exhausted::ComputeTime)
    } else if reached(quota.data_transfer_bytes, used.transferred_bytes) {
        Some(Exhausted::DataTransfer)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(ips: &[&str]) -> AllowedIps {
        AllowedIps {
            ips: Some(ips.iter().map(ToString::to_string).collect()),
            protected_branches_only: None,
        }
    }

    #[test]
    fn addresses_cidr_blocks_and_ranges_allow_the_addresses_they_contain() {
        let peer = |text: &str| text.parse::<IpAddr>().unwrap();
        let list = allowed(&[
            "10.0.0.1",
            "192.168.0.0/16",
            "172.16.0.5 - 172.16.0.9",
            "2001:db8::/32",
        ]);
        for inside in [
            "10.0.0.1",
            "192.168.9.9",
            "172.16.0.7",
            "2001:db8::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(allows(&list, peer(inside)), "{inside}");
        }
        for outside in ["10.0.0.2", "192.169.0.1", "172.16.0.10", "2001:db9::1"] {
            assert!(!allows(&list, peer(outside)), "{outside}");
        }
        assert!(allows(&allowed(&[]), peer("8.8.8.8")));
        assert!(allows(&AllowedIps::default(), peer("8.8.8.8")));
    }

    #[test]
    fn a_quota_is_exhausted_when_its_limit_is_reached_and_zero_is_unlimited() {
        let used = Usage {
            active_us: 60 * SECOND,
            compute_us: 15 * SECOND,
            transferred_bytes: 100,
        };
        let quota = |active, compute| Quota {
            active_time_seconds: active,
            compute_time_seconds: compute,
            ..Quota::default()
        };
        assert_eq!(exhausted(&quota(None, None), used), None);
        assert_eq!(exhausted(&quota(Some(0), Some(16)), used), None);
        assert_eq!(
            exhausted(&quota(Some(60), None), used),
            Some(Exhausted::ActiveTime)
        );
        assert_eq!(
            exhausted(&quota(Some(61), Some(15)), used),
            Some(Exhausted::ComputeTime)
        );
    }
}
