//! How long an emulator takes to be ready over a PostgreSQL server that runs:
//!
//! ```sh
//! cargo run -p neon-emulator --example start
//! ```

#![expect(clippy::print_stdout, reason = "its figures are what it is for")]

use std::time::{Duration, Instant};

use neon_emulator::Emulator;

/// Starts that are measured.
const STARTS: usize = 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let begun = Instant::now();
    // Keeps the server that it starts, so that the others find it running.
    let first = Emulator::start().await?;
    println!(
        "with a server of its own: {} ms",
        begun.elapsed().as_millis()
    );
    let mut took = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let begun = Instant::now();
        let emulator = Emulator::start().await?;
        took.push(begun.elapsed());
        emulator.shutdown().await;
    }
    took.sort_unstable();
    let ms = |took: Option<&Duration>| took.map_or(0, Duration::as_millis);
    println!(
        "over a running server: median {} ms, slowest of {STARTS} {} ms",
        ms(took.get(STARTS / 2)),
        ms(took.last())
    );
    first.shutdown().await;
    Ok(())
}
