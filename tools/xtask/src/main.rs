//! Installs the servers that the demo and the tests run, and builds the programs of the demo.
//!
//! This program has few dependencies, so that `make demo` can build it first.

mod demo_setup;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use installer::Component;
use installer::progress::say;

/// Installs the servers that the demo and the tests run: a Kubernetes API server, PostgreSQL and
/// others, without Docker.
#[derive(Debug, Parser)]
#[command(name = "xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install missing components into the user's cache, and print their paths.
    Install {
        /// Install only this component.
        #[arg(long)]
        only: Option<Component>,
    },
    /// Print shell commands that export the paths of the installed programs, for tests and scripts.
    Env,
    /// Build the demo's programs and install its servers at the same time.
    DemoSetup,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<()> {
    match command {
        Command::Install { only } => {
            let components = only.map_or_else(|| Component::ALL.to_vec(), |one| vec![one]);
            for component in components {
                for (name, path) in component.install()? {
                    say(&format!("{name} {}", path.display()));
                }
            }
        }
        Command::Env => {
            for component in Component::FOR_TESTS {
                for (name, path) in component.install()? {
                    writeln!(std::io::stdout(), "export {name}='{}'", path.display())?;
                }
            }
        }
        Command::DemoSetup => demo_setup::run()?,
    }
    Ok(())
}
