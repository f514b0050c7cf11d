//! The app's processes: one that serves pages and, if configured, a worker.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, ensure};
use local_stack::chat_app::{ChatApp, ChatAppOptions, Role};

use super::Site;
use crate::cluster::EXIT_POLL_INTERVAL;

impl Site {
    /// Starts the process that serves pages, and runs jobs unless there is a worker. Waits until it
    /// is ready.
    pub async fn start_app(&self) -> Result<()> {
        let mut options = self.options.clone();
        if self.separate_worker {
            options
                .arguments
                .retain(|argument| !argument.to_string_lossy().starts_with("--workers"));
            options.arguments.push("--workers=0".into());
        }
        self.start_process("app", &options, Role::Serve).await
    }

    pub async fn start_worker(&self) -> Result<()> {
        let mut options = self.options.clone();
        options.log = self.worker_log();
        self.start_process("worker", &options, Role::Worker).await
    }

    async fn start_process(
        &self,
        name: &'static str,
        options: &ChatAppOptions,
        role: Role,
    ) -> Result<()> {
        let mut processes = self.processes.lock().await;
        ensure!(
            !processes.contains_key(name),
            "the process {name} is already running"
        );
        let mut process = ChatApp::spawn(options, role)?;
        process.wait_until_ready().await?;
        processes.insert(name, process);
        Ok(())
    }

    async fn take(&self, name: &str) -> Result<ChatApp> {
        let taken = self.processes.lock().await.remove(name);
        taken.with_context(|| format!("the process {name} is not running"))
    }

    pub async fn kill_worker(&self) -> Result<()> {
        self.take("worker").await?.kill().await
    }

    /// Kills the process that serves pages (SIGKILL).
    pub async fn kill_app(&self) -> Result<()> {
        self.take("app").await?.kill().await
    }

    /// Waits until a process exits that no test stopped: of the app, or of the cluster. Returns the
    /// error to report.
    pub(crate) async fn unexpected_exit(&self) -> anyhow::Error {
        tokio::select! {
            error = self.cluster.unexpected_exit() => error,
            error = self.app_exit() => error,
        }
    }

    async fn app_exit(&self) -> anyhow::Error {
        loop {
            tokio::time::sleep(EXIT_POLL_INTERVAL).await;
            for (name, process) in &mut *self.processes.lock().await {
                match process.has_exited() {
                    Ok(false) => {}
                    // The report contains its log.
                    Ok(true) => return anyhow!("the process {name} exited during the test"),
                    Err(error) => return error,
                }
            }
        }
    }

    /// `/metrics` of the process that serves pages.
    pub async fn metrics(&self) -> Result<String> {
        let processes = self.processes.lock().await;
        let app = processes.get("app").context("the app is not running")?;
        app.metrics().await
    }

    /// The id of the process that serves pages.
    pub async fn pid(&self) -> Option<u32> {
        self.processes.lock().await.get("app")?.pid()
    }

    fn worker_log(&self) -> PathBuf {
        self.cluster.folder().join("chat-app-worker.log")
    }

    /// The last lines of the app's logs, for a failure report.
    pub async fn log_tails(&self, lines: usize) -> String {
        let processes = self.processes.lock().await;
        let tails = processes
            .iter()
            .map(|(name, process)| format!("--- {name}\n{}\n", process.log_tail(lines)));
        tails.collect::<Vec<_>>().concat()
    }

    /// All logs of the app.
    pub fn logs(&self) -> Vec<PathBuf> {
        let logs = [self.options.log.clone(), self.worker_log()];
        logs.into_iter().filter(|log| log.exists()).collect()
    }
}
