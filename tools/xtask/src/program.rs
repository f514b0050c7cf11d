//! A program of this workspace as a process of its own, as it runs in a cluster: found, started, looked at through its operations port,
//! killed, asked to end. The controller and the chat app are such programs.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::http_process::{self, HttpProcess};
use crate::install::variable;

/// How long it may take to finish what it does after it was asked to end.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// A running program; `P` is what only programs of its kind have. Dropping it asks it to end and waits.
#[derive(Debug)]
pub struct Program<P> {
    process: HttpProcess,
    operations_port: u16,
    ready_limit: Duration,
    pub(crate) particular: P,
}

impl<P> Program<P> {
    /// Starts it. `what` names it in errors, as in `the controller`; from start to `/readyz` it may take `ready_limit`.
    pub(crate) fn spawn_as(
        what: &'static str,
        command: &Command,
        log: &Path,
        operations_port: u16,
        ready_limit: Duration,
        particular: P,
    ) -> Result<Self> {
        Ok(Self {
            process: HttpProcess::spawn(what, command, log, STOP_GRACE)?,
            operations_port,
            ready_limit,
            particular,
        })
    }

    /// Where it serves `/livez`, `/readyz` and `/metrics`.
    pub fn operations_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.operations_port)
    }

    /// Waits until `/readyz` says yes. An end before that is an error with the end of its log.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        let url = self.operations_url("/readyz");
        self.process.wait_until_ready(&url, self.ready_limit).await
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

/// A binary of this workspace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binary {
    /// The name of its file and of its package.
    pub(crate) name: &'static str,
    /// The variable that names another than the one built beside this program.
    pub(crate) variable: &'static str,
}

impl Binary {
    /// A command that runs it with these rights and this environment, and no arguments yet.
    pub(crate) fn command(
        self,
        kubeconfig: &Path,
        environment: &[(String, OsString)],
    ) -> Result<Command> {
        let mut command = Command::new(self.find()?);
        command
            // Programs take every variable that begins like theirs for a setting.
            .env_remove(self.variable)
            .env("KUBECONFIG", kubeconfig)
            .envs(environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// That of the variable, else the one that cargo built beside this program.
    fn find(self) -> Result<PathBuf> {
        let Self { name, variable: of } = self;
        if let Some(path) = variable(of) {
            return Ok(path.into());
        }
        let program = env::current_exe().context("this program does not know where it is")?;
        // Tests lie in `deps/`, one below the binaries.
        let found = program
            .ancestors()
            .skip(1)
            .take(2)
            .map(|folder| folder.join(name))
            .find(|file| file.is_file());
        found.with_context(|| {
            format!(
                "no {name} beside {}: build it with `cargo build -p {name}`, or set {of}",
                program.display()
            )
        })
    }
}

/// `arguments` without these options, which are set anew: `--name value` and `--name=value`.
pub(crate) fn without<'a>(arguments: &'a [OsString], names: &[&str]) -> Vec<&'a OsStr> {
    let mut kept = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy();
        if names.iter().any(|name| text == *name) {
            rest.next();
        } else if !names.iter().any(|name| {
            text.strip_prefix(name)
                .is_some_and(|value| value.starts_with('='))
        }) {
            kept.push(argument.as_os_str());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_are_set_anew_are_taken_out_in_both_forms() {
        let arguments = [
            "--http-listen",
            "0.0.0.0:80",
            "--log-format",
            "json",
            "--namespace=x",
            "--namespaces=y",
        ]
        .map(OsString::from);
        assert_eq!(
            without(&arguments, &["--http-listen", "--namespace"]),
            ["--log-format", "json", "--namespaces=y"]
        );
    }
}
