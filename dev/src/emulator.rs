//! The emulator that answers in Neon's place.

use anyhow::Result;
use neon_emulator::{Config, Latency};

pub use neon_emulator::Emulator;

/// The API key that it accepts. It opens nothing but this emulator.
pub const API_KEY: &str = neon_emulator::DEFAULT_API_KEY;

/// Starts one over this PostgreSQL, within this process, on free loopback ports, at Neon's pace.
pub async fn start(postgres_uri: &str) -> Result<Emulator> {
    let config = Config {
        latency: Latency::neon(),
        ..Config::new(postgres_uri)
    };
    Ok(Emulator::start(config).await?)
}
