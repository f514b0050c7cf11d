//! The chat app as a process of its own, as it runs in a cluster: migrated, started, killed, asked to end, looked at.

pub mod release;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use neon_emulator::process::Supervised;

use crate::control_plane::free_port;
use crate::controller::{binary, without};
use crate::http_process::{self, HttpProcess};

/// Names another binary of the app than the one built beside this program.
pub const CHAT_APP_BIN: &str = "CHAT_APP_BIN";
const BINARY: &str = "chat-app";
/// From start to `/readyz`.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// How long it may take to finish requests and jobs after it was asked to end.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// Migrations of an empty database; a second when nothing is wrong.
const MIGRATE_LIMIT: Duration = Duration::from_mins(2);
/// How often a migration is looked at.
const MIGRATE_POLL: Duration = Duration::from_millis(20);
/// How much of a failed migration's log an error quotes.
const LOG_TAIL_LINES: usize = 30;
/// What is set anew for a process of this machine, whatever the chart says.
const SET_HERE: [&str; 2] = ["--http-listen", "--operations-listen"];

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Pages, and jobs as configured.
    Serve,
    /// Jobs alone.
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

/// How the app is started.
#[derive(Debug, Clone)]
pub struct ChatAppOptions {
    /// Whose rights it has.
    pub kubeconfig: PathBuf,
    /// The port of its pages on loopback: the public URL, which others have to know before, names it.
    pub port: u16,
    /// Arguments behind the command, such as those that the chart renders.
    pub arguments: Vec<OsString>,
    /// Further environment.
    pub environment: Vec<(String, OsString)>,
    /// Where its output is appended.
    pub log: PathBuf,
}

/// A port for [`ChatAppOptions::port`] that is free now.
pub fn port() -> Result<u16> {
    free_port()
}

/// A running app. Dropping it asks it to end and waits.
#[derive(Debug)]
pub struct ChatApp {
    process: HttpProcess,
    port: u16,
    operations_port: u16,
}

impl ChatApp {
    /// Brings the main database to the app's schema, as the chart's init container does.
    pub async fn migrate(options: &ChatAppOptions) -> Result<()> {
        let command = command(options, "migrate", free_port()?)?;
        let mut process = Supervised::spawn(&command, &options.log)?;
        let started = Instant::now();
        loop {
            match process.exited()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!(
                    "the app's migration ended with {status}:\n{}",
                    process.log_tail(LOG_TAIL_LINES)
                ),
                None if started.elapsed() > MIGRATE_LIMIT => {
                    bail!("the app's migration does not end")
                }
                None => tokio::time::sleep(MIGRATE_POLL).await,
            }
        }
    }

    /// Starts it; see [`ChatApp::wait_until_ready`].
    pub fn spawn(options: &ChatAppOptions, role: Role) -> Result<Self> {
        let operations_port = free_port()?;
        let command = command(options, role.command(), operations_port)?;
        let what = match role {
            Role::Serve => "the app",
            Role::Worker => "the app's worker",
        };
        Ok(Self {
            process: HttpProcess::spawn(what, &command, &options.log, STOP_GRACE)?,
            port: options.port,
            operations_port,
        })
    }

    /// Where its pages are.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Where it serves `/livez`, `/readyz` and `/metrics`.
    pub fn operations_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.operations_port)
    }

    /// Waits until `/readyz` says yes. An end before that is an error with the end of its log.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        let url = self.operations_url("/readyz");
        self.process.wait_until_ready(&url, READY_LIMIT).await
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> Result<String> {
        http_process::text(&self.operations_url("/metrics")).await
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> Result<bool> {
        self.process.ended()
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }

    /// Where its log is.
    pub fn log_file(&self) -> &Path {
        self.process.log_file()
    }

    /// Ends it as a power cut would (SIGKILL), at once, and waits until it is gone.
    pub async fn kill(self) -> Result<()> {
        self.process.kill().await
    }

    /// Asks it to end (SIGTERM), as a roll-out does, and waits until it has.
    pub async fn terminate(self) {
        self.process.terminate().await;
    }
}

fn command(options: &ChatAppOptions, name: &str, operations_port: u16) -> Result<Command> {
    let program = binary(BINARY, CHAT_APP_BIN).context("the app cannot be started")?;
    let mut command = Command::new(program);
    command
        .arg(name)
        .args(without(&options.arguments, &SET_HERE))
        .args(["--http-listen", &format!("127.0.0.1:{}", options.port)])
        .args([
            "--operations-listen",
            &format!("127.0.0.1:{operations_port}"),
        ])
        // The app takes every variable that begins like this for a setting of its own.
        .env_remove(CHAT_APP_BIN)
        .env("KUBECONFIG", &options.kubeconfig)
        .envs(
            options
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        );
    Ok(command)
}
