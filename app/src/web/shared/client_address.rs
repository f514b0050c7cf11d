//! The address of the client: the peer of the connection, or the address that a trusted proxy
//! forwards.
//!
//! Proxies append to the header, so it is read from its end: while an address belongs to a trusted
//! proxy, the address before it is reliable. The first address that belongs to no trusted proxy is
//! the client's. The client itself may have written anything further left.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

use crate::config::ForwardedHeader;

/// Upper bound of the hops that are evaluated.
const MAX_HOPS: usize = 32;
/// Host bits of an IPv6 address: providers assign at least a /64 to each customer.
const IPV6_HOST_BITS: u32 = 64;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the client, as a request extension.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) struct ClientAddress(pub(in crate::web) IpAddr);

/// Determines the client's address from the peer and the forwarding header.
pub fn resolve(
    peer: IpAddr,
    headers: &HeaderMap,
    header: ForwardedHeader,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    for hop in hops(headers, header).into_iter().rev().take(MAX_HOPS) {
        // An unreadable hop hides the client. Attribute the request to the proxy that forwarded it.
        let Some(address) = hop else { break };
        client = address;
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// The hops in the header, the client's first. `None` is a hop without a readable address.
fn hops(headers: &HeaderMap, header: ForwardedHeader) -> Vec<Option<IpAddr>> {
    let name = match header {
        ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
        ForwardedHeader::Forwarded => header::FORWARDED,
    };
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("malformed_request").split(','))
        .map(|hop| match header {
            ForwardedHeader::XForwardedFor => parse_address(hop),
            ForwardedHeader::Forwarded => forwarded_for(hop).and_then(parse_address),
        })
        .collect()
}

/// The `for` parameter of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })
}

/// Parses an address with or without a port, quotes and brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(text)
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .map(|address| address.to_canonical())
}

/// The unit that rate limits count as one client: an IPv4 address or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let mask = u128::MAX << (Ipv6Addr::BITS - IPV6_HOST_BITS);
                Self(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask)))
            }
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn resolve_from(peer: &str, header: ForwardedHeader, values: &[&str]) -> IpAddr {
        let name = match header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => header::FORWARDED,
        };
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), value.parse().expect("a header"));
        }
        let trusted = ["10.0.0.0/8".parse().expect("CIDR")];
        resolve(ip(peer), &headers, header, &trusted)
    }

    #[test]
    fn only_a_trusted_proxy_can_set_the_client_address() {
        let header = ForwardedHeader::XForwardedFor;
        assert_eq!(
            resolve_from("203.0.113.9", header, &["198.51.100.1"]),
            ip("203.0.113.9")
        );
        assert_eq!(
            resolve_from("10.0.0.1", header, &["198.51.100.1"]),
            ip("198.51.100.1")
        );
        assert_eq!(
            resolve_from("::ffff:10.0.0.1", header, &["198.51.100.1"]),
            ip("198.51.100.1")
        );
    }

    #[test]
    fn the_rightmost_hop_outside_the_trusted_networks_is_the_client() {
        let header = ForwardedHeader::XForwardedFor;
        let values = ["1.1.1.1, 198.51.100.1", "10.2.2.2:4711, 10.3.3.3"];
        assert_eq!(
            resolve_from("10.0.0.1", header, &values),
            ip("198.51.100.1")
        );
        assert_eq!(
            resolve_from("10.0.0.1", header, &["10.2.2.2"]),
            ip("10.2.2.2")
        );
        assert_eq!(
            resolve_from("10.0.0.1", header, &["1.1.1.1, unknown"]),
            ip("10.0.0.1")
        );
        assert_eq!(resolve_from("10.0.0.1", header, &[]), ip("10.0.0.1"));
    }

    #[test]
    fn the_forwarded_header_is_parsed_with_quotes_brackets_and_ports() {
        let header = ForwardedHeader::Forwarded;
        let value = r#"for=192.0.2.60;proto=http, For="[2001:db8:cafe::17]:4711";by=x"#;
        assert_eq!(
            resolve_from("10.0.0.1", header, &[value]),
            ip("2001:db8:cafe::17")
        );
        let value = r#"for="[2001:db8::1]""#;
        assert_eq!(
            resolve_from("10.0.0.1", header, &[value]),
            ip("2001:db8::1")
        );
        assert_eq!(
            resolve_from("10.0.0.1", header, &["for=_hidden"]),
            ip("10.0.0.1")
        );
    }

    #[test]
    fn ipv6_addresses_of_one_network_count_together() {
        assert_eq!(
            Network::of(ip("2001:db8:0:1::1")),
            Network::of(ip("2001:db8:0:1:ffff::9"))
        );
        assert_ne!(
            Network::of(ip("2001:db8:0:1::1")),
            Network::of(ip("2001:db8:0:2::1"))
        );
        assert_ne!(Network::of(ip("192.0.2.1")), Network::of(ip("192.0.2.2")));
    }

    proptest! {
        #[test]
        fn a_header_written_by_the_client_does_not_change_its_address(invented in "[0-9a-f:., \"\\[\\]]{0,60}") {
            let value = format!("{invented}, 198.51.100.1");
            prop_assert_eq!(
                resolve_from("10.0.0.1", ForwardedHeader::XForwardedFor, &[&value]),
                ip("198.51.100.1")
            );
        }
    }
}
