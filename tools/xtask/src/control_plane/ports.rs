//! Free ports on loopback.

use std::hash::{BuildHasher as _, Hasher as _};
use std::net::TcpListener;
use std::ops::Range;

use anyhow::{Result, bail};

/// Where ports are looked for.
const PORTS: Range<u16> = 20_000..32_000;
/// How many are looked at.
const PORT_PROBES_MAX: usize = 100;

/// A port on loopback that is free now. It lies below those that systems hand out for outgoing connections, so that
/// a server which is restarted on it will not find it taken by one.
pub(crate) fn free_port() -> Result<u16> {
    for _ in 0..PORT_PROBES_MAX {
        let random = std::hash::RandomState::new().build_hasher().finish();
        let port = PORTS.start + u16::try_from(random % u64::from(PORTS.end - PORTS.start))?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!(
        "none of {PORT_PROBES_MAX} ports between {} and {} on 127.0.0.1 is free",
        PORTS.start,
        PORTS.end
    )
}
