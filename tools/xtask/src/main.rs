//! `dev`: installs and runs the local servers, and the demo.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::control_plane::{ControlPlane, Options};
use xtask::install::Server;
use xtask::progress::say;
use xtask::signals::interrupted;
use xtask::{demo, run_folder};

/// Local servers for db-per-tenant: a real Kubernetes API, PostgreSQL and a Neon emulator, without Docker.
#[derive(Debug, Parser)]
#[command(name = "xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install the servers into the user's cache; what is there already is left as it is.
    Install {
        /// Only this one.
        #[arg(long)]
        only: Option<Server>,
    },
    /// Print shell lines that tell tests and scripts where the installed programs are.
    Env,
    /// Run a Kubernetes API (no Pods) until Ctrl-C; prints its kubeconfig and the process ids of its servers.
    ControlPlane,
    /// Three tenants, from nothing to psql, and the chat app; keeps running until Ctrl-C.
    Demo {
        /// Take everything down as soon as it has proved itself; the verdict is the exit code.
        #[arg(long)]
        once: bool,
    },
    /// Stop demos that are running, and remove what dead runs left behind.
    Down,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(run(arguments.command));
    // After Ctrl-C nobody waits for an install that still runs: its commands end with this process.
    runtime.shutdown_background();
    Ok(result.unwrap_or_else(|error| {
        say(&format!("error: {error:#}"));
        ExitCode::FAILURE
    }))
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Install { only } => {
            for server in only.map_or_else(|| Server::ALL.to_vec(), |server| vec![server]) {
                let found = tokio::task::spawn_blocking(move || server.install()).await??;
                for (name, path) in found {
                    say(&format!("{name} {}", path.display()));
                }
            }
        }
        Command::Env => {
            for server in Server::FOR_TESTS {
                let found = tokio::task::spawn_blocking(move || server.install()).await??;
                for (name, path) in found {
                    writeln!(std::io::stdout(), "export {name}='{}'", path.display())?;
                }
            }
        }
        Command::ControlPlane => {
            let plane = ControlPlane::start(Options::default()).await?;
            let pids: Vec<String> = plane.pids().iter().map(ToString::to_string).collect();
            writeln!(
                std::io::stdout(),
                "KUBECONFIG={}\nPIDS={}",
                plane.kubeconfig().display(),
                pids.join(" ")
            )?;
            interrupted().await?;
            plane.stop().await;
        }
        Command::Demo { once } => return demo::run(once).await,
        Command::Down => {
            let stopped = run_folder::stop_living(demo::PURPOSE)?;
            let removed = run_folder::remove_dead()?;
            say(&format!(
                "{stopped} running demos stopped, {removed} folders of dead runs removed."
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}
