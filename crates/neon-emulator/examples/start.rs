//! Measures how long an emulator takes to start on a running PostgreSQL server:
//!
//! ```sh
//! cargo run -p neon-emulator --example start
//! ```

#![expect(clippy::print_stdout, reason = "the example prints its results")]

use std::time::{Duration, Instant};

use neon_emulator::Emulator;

/// Number of measured starts.
const STARTS: usize = 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let begun = Instant::now();
    // This emulator keeps the shared server running for the following starts.
    let first = Emulator::start().await?;
    println!(
        "including the start of PostgreSQL: {} ms",
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
        "on a running server: median {} ms, slowest of {STARTS} {} ms",
        ms(took.get(STARTS / 2)),
        ms(took.last())
    );
    first.shutdown().await;
    Ok(())
}
