//! The demo: three Tenants on this machine, from an empty cluster to psql, and the chat app; and schema
//! rollouts to 30 Tenants.

mod app;
mod cluster;
mod command;
mod manifests;
mod output;
mod rollout;
mod runner;
mod smoke_test;
mod table;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use installer::progress::say;
use local_stack::run_folder;

use crate::runner::Show;

/// Runs the controller and the chat app on this machine: with a real Kubernetes API, PostgreSQL and
/// a Neon emulator, without Docker.
#[derive(Debug, Parser)]
#[command(name = "demo", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create three Tenants and start the chat app; runs until Ctrl-C.
    Run {
        /// Test the demo, stop it, and report the result in the exit code.
        #[arg(long)]
        once: bool,
    },
    /// Roll schemas out to 30 Tenants: a good change, one that the canary stops, and its correction.
    Rollout {
        /// Stop the demo afterwards, and report the result in the exit code.
        #[arg(long)]
        once: bool,
    },
    /// Stop running demos and remove the folders of killed ones.
    Down,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()?;
    let result = match arguments.command {
        Command::Run { once } => runtime.block_on(runner::run(Show::App, once)),
        Command::Rollout { once } => runtime.block_on(runner::run(Show::Rollouts, once)),
        Command::Down => down(),
    };
    // After Ctrl-C, do not wait for an installation: its commands end with this process.
    runtime.shutdown_background();
    Ok(result.unwrap_or_else(|error| {
        say(&format!("error: {error:#}"));
        ExitCode::FAILURE
    }))
}

fn down() -> Result<ExitCode> {
    let stopped = run_folder::stop_running(runner::PURPOSE)?;
    let removed = run_folder::remove_dead()?;
    say(&format!(
        "Stopped {stopped} running demos and removed the folders of {removed} killed runs."
    ));
    Ok(ExitCode::SUCCESS)
}
