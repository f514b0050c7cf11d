//! The chat app as a process of its own, as it runs in a cluster: migrated, started, killed, asked to end, looked at.

pub mod release;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use local_servers::process::Supervised;

use crate::control_plane::free_port;
use crate::program::{Binary, Program, without};

/// Names another binary of the app than the one built beside this program.
pub const CHAT_APP_BIN: &str = "CHAT_APP_BIN";
const BINARY: Binary = Binary {
    name: "chat-app",
    variable: CHAT_APP_BIN,
};
/// From start to `/readyz`.
const READY_LIMIT: Duration = Duration::from_mins(1);
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

/// What only the app has: pages on a port of their own.
#[derive(Debug)]
pub struct Pages {
    port: u16,
}

/// A running app. Dropping it asks it to end and waits.
pub type ChatApp = Program<Pages>;

impl Program<Pages> {
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

    /// Starts it; see [`Program::wait_until_ready`].
    pub fn spawn(options: &ChatAppOptions, role: Role) -> Result<Self> {
        let operations_port = free_port()?;
        let command = command(options, role.command(), operations_port)?;
        let what = match role {
            Role::Serve => "the app",
            Role::Worker => "the app's worker",
        };
        let pages = Pages { port: options.port };
        Self::spawn_as(
            what,
            &command,
            &options.log,
            operations_port,
            READY_LIMIT,
            pages,
        )
    }

    /// Where its pages are.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.particular.port)
    }
}

fn command(options: &ChatAppOptions, name: &str, operations_port: u16) -> Result<Command> {
    let mut command = BINARY
        .command(&options.kubeconfig, &options.environment)
        .context("the app cannot be started")?;
    command
        .arg(name)
        .args(without(&options.arguments, &SET_HERE))
        .args(["--http-listen", &format!("127.0.0.1:{}", options.port)])
        .args([
            "--operations-listen",
            &format!("127.0.0.1:{operations_port}"),
        ]);
    Ok(command)
}
