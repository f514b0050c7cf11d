//! Runs the endpoint until it is stopped, for the demo and for benchmarks.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use openai_stub::{Config, Stub};

/// A deterministic OpenAI-compatible endpoint without a model.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where it listens on the loopback interface; 0: anywhere.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The key that requests must bear.
    #[arg(long)]
    api_key: Option<String>,
    /// Milliseconds between two pieces of an answer.
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
    .context("the port cannot be listened on")?;
    writeln!(std::io::stdout(), "{}", stub.base_url())?;
    stub.serve().await;
    Ok(())
}
