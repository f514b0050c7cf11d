//! Runs the stub until it is stopped, for the demo and for benchmarks.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use openai_stub::{Config, Stub};

/// A deterministic OpenAI-compatible endpoint without a model.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port on the loopback interface; 0 selects a free port.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// API key that requests must contain.
    #[arg(long)]
    api_key: Option<String>,
    /// Delay between two pieces of an answer, in milliseconds.
    #[arg(long, default_value_t = 20)]
    piece_delay_ms: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let stub = Stub::start(Config {
        api_key: arguments.api_key,
        piece_delay: Duration::from_millis(arguments.piece_delay_ms),
        port: arguments.port,
        ..Config::default()
    })
    .await
    .context("failed to listen on the port")?;
    writeln!(std::io::stdout(), "{}", stub.base_url())?;
    stub.serve().await;
    Ok(())
}
