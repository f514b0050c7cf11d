//! The controller as a process of its own, as it runs in a cluster: started, killed, asked to end, looked at.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::control_plane::free_port;
use crate::http_process::{self, HttpProcess};
use crate::install::variable;
pub use crate::rendered::Rendered;

/// Names another binary of the controller than the one built beside this program.
pub const CONTROLLER_BIN: &str = "TENANT_CONTROLLER_BIN";
const BINARY: &str = "tenant-controller";
/// From start to `/readyz`; well under a second when nothing is wrong.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to finish its steps after it was asked to end.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// How a controller is started.
#[derive(Debug, Clone)]
pub struct ControllerOptions {
    /// Whose rights it has.
    pub kubeconfig: PathBuf,
    /// The namespace it takes for its own: the Lease and the API keys are there.
    pub namespace: String,
    /// Further arguments, such as those that the chart renders.
    pub arguments: Vec<OsString>,
    /// Further environment.
    pub environment: Vec<(String, OsString)>,
    /// Where its output is appended.
    pub log: PathBuf,
}

impl ControllerOptions {
    /// With no further arguments or environment.
    pub fn new(kubeconfig: impl Into<PathBuf>, namespace: &str, log: impl Into<PathBuf>) -> Self {
        Self {
            kubeconfig: kubeconfig.into(),
            namespace: namespace.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            log: log.into(),
        }
    }
}

/// A running controller. Dropping it asks it to end and waits.
#[derive(Debug)]
pub struct ControllerProcess {
    process: HttpProcess,
    port: u16,
}

impl ControllerProcess {
    /// Starts it; see [`ControllerProcess::wait_until_ready`].
    pub fn spawn(options: &ControllerOptions) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(binary(BINARY, CONTROLLER_BIN)?);
        command
            .args(without(
                &options.arguments,
                &["--http-listen", "--namespace"],
            ))
            .args(["--namespace", &options.namespace])
            .args(["--http-listen", &format!("127.0.0.1:{port}")])
            // The controller takes every variable that begins like this for a setting of its own.
            .env_remove(CONTROLLER_BIN)
            .env("KUBECONFIG", &options.kubeconfig)
            .envs(
                options
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            );
        let process = HttpProcess::spawn("the controller", &command, &options.log, STOP_GRACE)?;
        Ok(Self { process, port })
    }

    /// Where it serves `/livez`, `/readyz` and `/metrics`.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Waits until `/readyz` says yes. An end before that is an error with the end of its log.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        let url = self.url("/readyz");
        self.process.wait_until_ready(&url, READY_LIMIT).await
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> Result<String> {
        http_process::text(&self.url("/metrics")).await
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

/// A binary of this workspace: that of `variable`, else the one that cargo built beside this program.
pub(crate) fn binary(name: &str, of_variable: &str) -> Result<PathBuf> {
    if let Some(path) = variable(of_variable) {
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
            "no {name} beside {}: build it with `cargo build -p {name}`, or set {of_variable}",
            program.display()
        )
    })
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
