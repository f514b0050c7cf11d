//! The addresses that may connect to a Tenant's project, checked against the class's limit.

use std::net::IpAddr;

use crds::{TenantClassSpec, TenantSpec};

use super::exceeded;
use crate::issue::Issue;

/// Addresses that may connect; empty allows all. `None` keeps the list of an adopted project.
pub(super) fn allowed_ips(
    spec: &TenantSpec,
    class: &TenantClassSpec,
) -> Result<Option<Vec<String>>, Issue> {
    let limit = class
        .limits
        .allowed_ips
        .as_ref()
        .filter(|limit| !limit.is_empty());
    let chosen = spec
        .allowed_ips
        .clone()
        .or_else(|| class.defaults.allowed_ips.clone());
    let Some(limit) = limit else {
        return Ok(chosen.or_else(|| spec.adopt.is_none().then(Vec::new)));
    };
    let Some(chosen) = chosen else {
        return Ok(Some(limit.clone()));
    };
    let within_limit = |entry: &String| limit.iter().any(|outer| contains(outer, entry));
    let outside = chosen.iter().find(|entry| !within_limit(entry));
    let problem = match outside {
        None if !chosen.is_empty() => return Ok(Some(chosen)),
        None => "allowedIPs is empty, which allows every address".to_owned(),
        Some(entry) => format!("allowedIPs contains {entry}"),
    };
    Err(exceeded(format!(
        "{problem}, but TenantClass {} allows only addresses in {}: use addresses, blocks and ranges within these",
        spec.class_name,
        limit.join(", ")
    )))
}

/// Whether every address of `inner` is one of `outer`.
fn contains(outer: &str, inner: &str) -> bool {
    match (bounds(outer), bounds(inner)) {
        (Some((first, last)), Some((inner_first, inner_last))) => {
            first.is_ipv4() == inner_first.is_ipv4() && first <= inner_first && inner_last <= last
        }
        _ => false,
    }
}

/// The first and the last address of an address, a CIDR block or a range. `None` if it is invalid,
/// which the API server prevents.
fn bounds(entry: &str) -> Option<(IpAddr, IpAddr)> {
    if let Some((first, last)) = entry.split_once('-') {
        let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
        return (first.is_ipv4() == last.is_ipv4()).then_some((first, last));
    }
    let Some((address, prefix)) = entry.split_once('/') else {
        let address = entry.parse().ok()?;
        return Some((address, address));
    };
    let prefix: u32 = prefix.parse().ok()?;
    match address.parse().ok()? {
        IpAddr::V4(address) => {
            let hosts = u32::MAX.checked_shr(prefix).unwrap_or(0);
            let bits = address.to_bits();
            (prefix <= u32::BITS).then(|| {
                (
                    IpAddr::V4((bits & !hosts).into()),
                    IpAddr::V4((bits | hosts).into()),
                )
            })
        }
        IpAddr::V6(address) => {
            let hosts = u128::MAX.checked_shr(prefix).unwrap_or(0);
            let bits = address.to_bits();
            (prefix <= u128::BITS).then(|| {
                (
                    IpAddr::V6((bits & !hosts).into()),
                    IpAddr::V6((bits | hosts).into()),
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containment_is_decided_by_the_first_and_the_last_address() {
        for (outer, inner, expected) in [
            ("203.0.113.0/24", "203.0.113.7", true),
            ("203.0.113.0/24", "203.0.113.128/25", true),
            ("203.0.113.0/24", "203.0.113.0/23", false),
            ("203.0.113.0/24", "203.0.113.250-203.0.114.1", false),
            ("203.0.113.0/24", "203.0.113.250-203.0.113.255", true),
            ("198.51.100.20-198.51.100.50", "198.51.100.32/28", true),
            ("198.51.100.20-198.51.100.50", "198.51.100.48/28", false),
            ("0.0.0.0/0", "192.0.2.1/32", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::/48", true),
            ("2001:db8::/48", "2001:db8:1::/48", false),
            ("::/0", "2001:db8::1-2001:db8::ff", true),
            ("192.0.2.1", "192.0.2.1/32", true),
            ("192.0.2.1", "192.0.2.1/0", false),
        ] {
            assert_eq!(contains(outer, inner), expected, "{outer} {inner}");
        }
    }
}
