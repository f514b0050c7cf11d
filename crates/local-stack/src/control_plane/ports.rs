//! Free ports on loopback.

use std::hash::{BuildHasher as _, Hasher as _};
use std::net::TcpListener;
use std::ops::Range;

use anyhow::{Result, bail};

/// Below the range of ephemeral ports, so that an outgoing connection cannot take the port of a
/// server that restarts.
const PORTS: Range<u16> = 20_000..32_000;
const MAX_PROBES: usize = 100;

/// A port on loopback that is currently free.
pub(crate) fn free_port() -> Result<u16> {
    for _ in 0..MAX_PROBES {
        let random = std::hash::RandomState::new().build_hasher().finish();
        let port = PORTS.start + u16::try_from(random % u64::from(PORTS.end - PORTS.start))?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!(
        "no free port on 127.0.0.1: tried {MAX_PROBES} ports between {} and {}",
        PORTS.start,
        PORTS.end
    )
}
