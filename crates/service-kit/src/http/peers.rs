//! Counts the open connections of each peer.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// Host bits of an IPv6 address: providers assign at least a /64 to each customer.
const IPV6_HOST_BITS: u32 = 64;

/// The open connections by peer. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One open connection of a peer, which ends when it is dropped.
#[derive(Debug)]
pub(super) struct PeerConnection {
    /// An IPv4 address, or the first address of an IPv6 /64.
    network: IpAddr,
    peers: Peers,
}

impl Peers {
    /// Counts a connection. `None` if the peer has reached `max`.
    pub(super) fn connect(&self, peer: IpAddr, max: usize) -> Option<PeerConnection> {
        let network = network(peer);
        let mut open = self.0.lock();
        let count = open.entry(network).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        drop(open);
        Some(PeerConnection {
            network,
            peers: self.clone(),
        })
    }
}

impl Drop for PeerConnection {
    fn drop(&mut self) {
        let mut open = self.peers.0.lock();
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let mask = u128::MAX << IPV6_HOST_BITS;
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_peer_can_connect_again_after_it_has_closed_a_connection() {
        let peers = Peers::default();
        let first = peers.connect(ip("192.0.2.1"), 2).expect("room");
        let _second = peers.connect(ip("::ffff:192.0.2.1"), 2).expect("room");
        assert!(peers.connect(ip("192.0.2.1"), 2).is_none());
        assert!(peers.connect(ip("192.0.2.2"), 2).is_some());
        drop(first);
        assert!(peers.connect(ip("192.0.2.1"), 2).is_some());
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let peers = Peers::default();
        let _first = peers.connect(ip("2001:db8:0:1::1"), 1).expect("room");
        assert!(peers.connect(ip("2001:db8:0:1:ffff::9"), 1).is_none());
        assert!(peers.connect(ip("2001:db8:0:2::1"), 1).is_some());
    }

    #[test]
    fn closed_connections_leave_nothing_behind() {
        let peers = Peers::default();
        drop(peers.connect(ip("192.0.2.1"), 1));
        assert!(peers.0.lock().is_empty());
    }
}
