//! A child that says over HTTP when it is ready: the controller, the app, the S3 server, the OpenID provider.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use local_servers::process::{StopSignal, Supervised, Supervision};

use crate::run_folder::signal;

/// How often readiness, or the end, is asked for.
const POLL: Duration = Duration::from_millis(20);
/// One question for readiness.
const READY_REQUEST_LIMIT: Duration = Duration::from_secs(2);
/// How long the kernel may take to end a process that was killed.
const KILL_LIMIT: Duration = Duration::from_secs(30);
/// How much of a dead child's log an error quotes.
const LOG_TAIL_LINES: usize = 30;

/// A running child. Dropping it asks it to end and waits.
#[derive(Debug)]
pub(crate) struct HttpProcess {
    what: &'static str,
    process: Supervised,
}

impl HttpProcess {
    /// Starts it. `what` names it in errors, as in `the controller`; after `grace` it is not asked any more, but killed.
    pub(crate) fn spawn(
        what: &'static str,
        command: &Command,
        log: &Path,
        grace: Duration,
    ) -> Result<Self> {
        let how = Supervision {
            stop_signal: StopSignal::Terminate,
            grace,
            run_as: None,
        };
        Ok(Self {
            what,
            process: Supervised::spawn_with(command, log, how)?,
        })
    }

    /// Waits until `url` answers with success. An end before that is an error with the end of its log.
    pub(crate) async fn wait_until_ready(&mut self, url: &str, limit: Duration) -> Result<()> {
        let client = reqwest::Client::builder()
            .timeout(READY_REQUEST_LIMIT)
            .build()?;
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.exited()? {
                bail!(
                    "{} ended with {status} before it was ready:\n{}",
                    self.what,
                    self.log_tail(LOG_TAIL_LINES)
                );
            }
            let answer = client.get(url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if started.elapsed() > limit {
                bail!(
                    "{} is not ready after {} s:\n{}",
                    self.what,
                    limit.as_secs(),
                    self.log_tail(LOG_TAIL_LINES)
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    pub(crate) fn ended(&mut self) -> Result<bool> {
        Ok(self.process.exited()?.is_some())
    }

    pub(crate) fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }

    pub(crate) fn log_file(&self) -> &Path {
        self.process.log_file()
    }

    /// Ends it as a power cut would (SIGKILL), at once, and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result<()> {
        if let Some(pid) = self.process.pid()
            && self.process.exited()?.is_none()
        {
            signal("KILL", pid)?;
        }
        let started = Instant::now();
        while self.process.exited()?.is_none() {
            if started.elapsed() > KILL_LIMIT {
                bail!("{} runs on after SIGKILL", self.what);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Asks it to end (SIGTERM), as a roll-out does, and waits until it has.
    pub(crate) async fn terminate(self) {
        self.process.stop().await;
    }
}

/// The text of an URL, as in `/metrics`.
pub(crate) async fn text(url: &str) -> Result<String> {
    let client = reqwest::Client::builder()
        .timeout(READY_REQUEST_LIMIT)
        .build()?;
    let answer = client.get(url).send().await?.error_for_status()?;
    Ok(answer.text().await?)
}
