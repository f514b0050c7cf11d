//! A child process that reports over HTTP when it is ready: the controller, the app, the S3 server,
//! the OpenID provider.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use local_servers::process::{StopSignal, Supervised, Supervision};

use crate::run_folder::signal;

const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// For one readiness request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the kernel may take to end a killed process.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);
/// How many lines of a failed process's log an error quotes.
const LOG_TAIL_LINES: usize = 30;

/// A running process. Dropping it sends SIGTERM and waits for the process to exit.
#[derive(Debug)]
pub(crate) struct HttpProcess {
    description: &'static str,
    command: Command,
    grace: Duration,
    process: Supervised,
}

impl HttpProcess {
    /// Starts the process. `description` names it in errors, such as `the controller`. A stopped
    /// process is killed after the grace period.
    pub(crate) fn spawn(
        description: &'static str,
        command: Command,
        log: &Path,
        grace: Duration,
    ) -> Result<Self> {
        Ok(Self {
            description,
            process: supervised(&command, log, grace)?,
            command,
            grace,
        })
    }

    /// Starts the process again, after it exited.
    pub(crate) fn restart(&mut self) -> Result<()> {
        let log = self.process.log_file().to_owned();
        self.process = supervised(&self.command, &log, self.grace)?;
        Ok(())
    }

    pub(crate) fn description(&self) -> &'static str {
        self.description
    }

    /// Waits until `url` responds with a success status. Fails with the end of the log if the
    /// process exits first.
    pub(crate) async fn wait_until_ready(&mut self, url: &str, timeout: Duration) -> Result<()> {
        let client = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .build()?;
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.exited()? {
                bail!(
                    "{} exited with {status} before it was ready:\n{}",
                    self.description,
                    self.log_tail(LOG_TAIL_LINES)
                );
            }
            let response = client.get(url).send().await;
            if response.is_ok_and(|response| response.status().is_success()) {
                return Ok(());
            }
            if started.elapsed() > timeout {
                bail!(
                    "{} is not ready after {} s:\n{}",
                    self.description,
                    timeout.as_secs(),
                    self.log_tail(LOG_TAIL_LINES)
                );
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    pub(crate) fn has_exited(&mut self) -> Result<bool> {
        Ok(self.process.exited()?.is_some())
    }

    pub(crate) fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }

    pub(crate) fn log_file(&self) -> &Path {
        self.process.log_file()
    }

    /// Kills the process (SIGKILL), as a power failure would, and waits until it has exited.
    pub(crate) async fn kill(mut self) -> Result<()> {
        if let Some(pid) = self.process.pid()
            && self.process.exited()?.is_none()
        {
            signal("KILL", pid)?;
        }
        let started = Instant::now();
        while self.process.exited()?.is_none() {
            if started.elapsed() > KILL_TIMEOUT {
                bail!("{} is still running after SIGKILL", self.description);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Sends SIGTERM, as a rollout does, and waits until the process has exited.
    pub(crate) async fn terminate(self) {
        self.process.stop().await;
    }
}

fn supervised(command: &Command, log: &Path, grace: Duration) -> Result<Supervised> {
    let supervision = Supervision {
        stop_signal: StopSignal::Terminate,
        grace,
        run_as: None,
    };
    Ok(Supervised::spawn_with(command, log, supervision)?)
}

/// The body of a URL, such as `/metrics`.
pub(crate) async fn get_text(url: &str) -> Result<String> {
    let client = reqwest::Client::builder()
        .timeout(REQUEST_TIMEOUT)
        .build()?;
    let response = client.get(url).send().await?.error_for_status()?;
    Ok(response.text().await?)
}
