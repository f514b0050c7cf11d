//! The chat app as a process, started as it would be in a cluster.

pub mod release;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use local_servers::process::Supervised;

use crate::control_plane::free_port;
use crate::program::{Binary, Program, without_options};

/// Overrides the path of the app's binary.
pub const CHAT_APP_BIN: &str = "CHAT_APP_BIN";
const BINARY: Binary = Binary {
    name: "chat-app",
    package: "app",
    variable: CHAT_APP_BIN,
};
/// From the start until `/readyz` succeeds.
const READY_TIMEOUT: Duration = Duration::from_mins(1);
/// The migrations of an empty database normally take a second.
const MIGRATE_TIMEOUT: Duration = Duration::from_mins(2);
const MIGRATE_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How many lines of a failed migration's log an error quotes.
const LOG_TAIL_LINES: usize = 30;
/// Options of the chart that a process on this machine overrides.
const OVERRIDDEN: [&str; 2] = ["--http-listen", "--operations-listen"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Serves pages, and runs jobs if it is configured to.
    Serve,
    /// Only runs jobs.
    Worker,
}

impl Role {
    fn command(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Worker => "worker",
        }
    }
}

#[derive(Debug, Clone)]
pub struct ChatAppOptions {
    pub kubeconfig: PathBuf,
    /// The port of the pages on loopback. It is part of the public URL, so it must be known before
    /// the app starts.
    pub port: u16,
    /// Arguments after the subcommand.
    pub arguments: Vec<OsString>,
    pub environment: Vec<(String, OsString)>,
    /// The file that the output is appended to.
    pub log: PathBuf,
}

/// A port for [`ChatAppOptions::port`] that is currently free.
pub fn port() -> Result<u16> {
    free_port()
}

/// The port of the app's pages, which differs from its operations port.
#[derive(Debug)]
pub struct PagesPort(u16);

/// A running app. Dropping it sends SIGTERM and waits for the process to exit.
pub type ChatApp = Program<PagesPort>;

impl Program<PagesPort> {
    /// Migrates the main database, as the chart's init container does.
    pub async fn migrate(options: &ChatAppOptions) -> Result<()> {
        // The other arguments are for the roles that serve or work.
        let config = options
            .arguments
            .iter()
            .filter(|argument| argument.to_string_lossy().starts_with("--config"));
        let mut command = BINARY
            .command(&options.kubeconfig, &options.environment)
            .context("failed to start the app")?;
        command.arg("migrate").args(config);
        let mut process = Supervised::spawn(&command, &options.log)?;
        let started = Instant::now();
        loop {
            match process.exited()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!(
                    "the app's migration exited with {status}:\n{}",
                    process.log_tail(LOG_TAIL_LINES)
                ),
                None if started.elapsed() > MIGRATE_TIMEOUT => bail!(
                    "the app's migration timed out after {} s",
                    MIGRATE_TIMEOUT.as_secs()
                ),
                None => tokio::time::sleep(MIGRATE_POLL_INTERVAL).await,
            }
        }
    }

    /// Starts the app; [`Program::wait_until_ready`] waits for it.
    pub fn spawn(options: &ChatAppOptions, role: Role) -> Result<Self> {
        let operations_port = free_port()?;
        let command = command(options, role.command(), operations_port)?;
        let description = match role {
            Role::Serve => "the app",
            Role::Worker => "the app's worker",
        };
        Self::spawn_as(
            description,
            command,
            &options.log,
            operations_port,
            READY_TIMEOUT,
            PagesPort(options.port),
        )
    }

    /// The URL of a page.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.data.0)
    }
}

fn command(options: &ChatAppOptions, name: &str, operations_port: u16) -> Result<Command> {
    let mut command = BINARY
        .command(&options.kubeconfig, &options.environment)
        .context("failed to start the app")?;
    command
        .arg(name)
        .args(without_options(&options.arguments, &OVERRIDDEN))
        .args(["--http-listen", &format!("127.0.0.1:{}", options.port)])
        .args([
            "--operations-listen",
            &format!("127.0.0.1:{operations_port}"),
        ]);
    Ok(command)
}
