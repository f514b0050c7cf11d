//! A program of this workspace, the controller or the chat app, as a process that is started as it
//! would be in a cluster and observed through its operations port.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::http_process::{self, HttpProcess};
use installer::environment_variable;

/// How long a program may take to finish its work after SIGTERM.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// A running program. `D` is data that only this kind of program has. Dropping it sends SIGTERM and
/// waits for the process to exit.
#[derive(Debug)]
pub struct Program<D> {
    process: HttpProcess,
    operations_port: u16,
    ready_timeout: Duration,
    pub(crate) data: D,
}

impl<D> Program<D> {
    /// Starts the program. `description` names it in errors, such as `the controller`.
    pub(crate) fn spawn_as(
        description: &'static str,
        command: Command,
        log: &Path,
        operations_port: u16,
        ready_timeout: Duration,
        data: D,
    ) -> Result<Self> {
        Ok(Self {
            process: HttpProcess::spawn(description, command, log, STOP_GRACE)?,
            operations_port,
            ready_timeout,
            data,
        })
    }

    /// A URL on the port that serves `/livez`, `/readyz` and `/metrics`.
    pub fn operations_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.operations_port)
    }

    /// Waits until `/readyz` succeeds. Fails with the end of the log if the process exits first.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        let url = self.operations_url("/readyz");
        self.process
            .wait_until_ready(&url, self.ready_timeout)
            .await
    }

    /// The body of `/metrics`.
    pub async fn metrics(&self) -> Result<String> {
        http_process::get_text(&self.operations_url("/metrics")).await
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Names the program in messages, such as `the controller`.
    pub fn description(&self) -> &'static str {
        self.process.description()
    }

    /// Starts the program again with the same arguments, after it exited.
    pub fn restart(&mut self) -> Result<()> {
        self.process.restart()
    }

    pub fn has_exited(&mut self) -> Result<bool> {
        self.process.has_exited()
    }

    /// The last lines of the log.
    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }

    pub fn log_file(&self) -> &Path {
        self.process.log_file()
    }

    /// Kills the process (SIGKILL), as a power failure would, and waits until it has exited.
    pub async fn kill(self) -> Result<()> {
        self.process.kill().await
    }

    /// Sends SIGTERM, as a rollout does, and waits until the process has exited.
    pub async fn terminate(self) {
        self.process.terminate().await;
    }
}

/// A binary of this workspace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binary {
    /// The binary's file name.
    pub(crate) name: &'static str,
    /// The package that cargo builds it from.
    pub(crate) package: &'static str,
    /// The environment variable that overrides its path.
    pub(crate) variable: &'static str,
}

impl Binary {
    /// A command that runs the binary with a kubeconfig and an environment, without arguments.
    pub(crate) fn command(
        self,
        kubeconfig: &Path,
        environment: &[(String, OsString)],
    ) -> Result<Command> {
        let mut command = Command::new(self.find()?);
        command
            // The programs read every variable with their prefix as a setting.
            .env_remove(self.variable)
            .env("KUBECONFIG", kubeconfig)
            .envs(environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// The path from the environment variable, or the binary that cargo built next to this program.
    pub(crate) fn find(self) -> Result<PathBuf> {
        let Self {
            name,
            package,
            variable,
        } = self;
        if let Some(path) = environment_variable(variable) {
            return Ok(path.into());
        }
        let program = env::current_exe().context("failed to find the path of this program")?;
        // Test binaries are in `deps/`, below the other binaries.
        let found = program
            .ancestors()
            .skip(1)
            .take(2)
            .map(|folder| folder.join(name))
            .find(|file| file.is_file());
        found.with_context(|| {
            format!(
                "no {name} next to {}: build it with `cargo build -p {package}`, or set {variable}",
                program.display()
            )
        })
    }
}

/// Removes options from `arguments`, in the forms `--name value` and `--name=value`.
pub(crate) fn without_options<'a>(arguments: &'a [OsString], names: &[&str]) -> Vec<&'a OsStr> {
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
    fn options_are_removed_in_both_forms() {
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
            without_options(&arguments, &["--http-listen", "--namespace"]),
            ["--log-format", "json", "--namespaces=y"]
        );
    }
}
