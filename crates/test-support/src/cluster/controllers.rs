//! The controllers of a cluster: starting and stopping them, and their logs and metrics.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use local_stack::controller::{ControllerOptions, ControllerProcess};

use super::{Cluster, RELEASE};

/// How often a test checks that the processes it depends on are running.
pub(crate) const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How many lines of the log of an exited controller an error quotes.
const EXIT_LOG_LINES: usize = 30;

impl Cluster {
    /// How to start a controller with the chart's arguments and permissions.
    pub fn controller_options(&self, name: &str) -> ControllerOptions {
        let mut options = self.controller.clone();
        options
            .environment
            .push(("POD_NAME".into(), format!("{RELEASE}-{name}").into()));
        options.log = self.log(name);
        options
    }

    /// The log of a controller.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder().join(format!("controller-{name}.log"))
    }

    /// Starts a controller and waits until it is ready.
    pub async fn start_controller(&self, name: &str) -> Result<()> {
        self.start_controller_with(name, &self.controller_options(name))
            .await
    }

    /// Like [`Cluster::start_controller`], with other options.
    pub async fn start_controller_with(
        &self,
        name: &str,
        options: &ControllerOptions,
    ) -> Result<()> {
        let mut controllers = self.controllers.lock().await;
        ensure!(
            !controllers.contains_key(name),
            "the controller {name} is already running"
        );
        let mut controller = ControllerProcess::spawn(options)?;
        if let Err(error) = controller.wait_until_ready().await {
            let log = std::fs::read_to_string(&options.log).unwrap_or_default();
            let lines: Vec<&str> = log
                .lines()
                .filter(|line| !line.contains("\"DEBUG\""))
                .collect();
            bail!(
                "{error:#}\nits log without debug lines:\n{}",
                lines.join("\n")
            );
        }
        controllers.insert(name.to_owned(), controller);
        Ok(())
    }

    /// Hands a controller to the caller, who kills or terminates it.
    pub async fn take_controller(&self, name: &str) -> Result<ControllerProcess> {
        let taken = self.controllers.lock().await.remove(name);
        taken.with_context(|| format!("the controller {name} is not running"))
    }

    pub async fn kill_controller(&self, name: &str) -> Result<()> {
        self.take_controller(name).await?.kill().await
    }

    /// Sends SIGTERM to a controller and waits until it has exited.
    pub async fn terminate_controller(&self, name: &str) -> Result<()> {
        self.take_controller(name).await?.terminate().await;
        Ok(())
    }

    pub async fn is_running(&self, name: &str) -> Result<bool> {
        match self.controllers.lock().await.get_mut(name) {
            Some(controller) => Ok(!controller.has_exited()?),
            None => Ok(false),
        }
    }

    /// Waits until a controller or a server exits that no test stopped. Returns the error to report.
    pub async fn unexpected_exit(&self) -> anyhow::Error {
        loop {
            tokio::time::sleep(EXIT_POLL_INTERVAL).await;
            if let Err(error) = self.check_processes().await {
                return error;
            }
        }
    }

    /// Fails if a controller or a server has exited that no test stopped.
    async fn check_processes(&self) -> Result<()> {
        for (name, controller) in &mut *self.controllers.lock().await {
            if controller.has_exited()? {
                let log = controller.log_tail(EXIT_LOG_LINES);
                bail!("the controller {name} exited during the test:\n{log}");
            }
        }
        if let Some(server) = self.plane.exited_server()? {
            let logs = self.plane.log_tails(EXIT_LOG_LINES);
            bail!("{server} exited during the test:\n{logs}");
        }
        ensure!(
            !self.postgres.has_exited()?,
            "PostgreSQL exited during the test"
        );
        Ok(())
    }

    /// Whether the readiness probe of a controller succeeds.
    pub async fn is_ready(&self, name: &str) -> Result<bool> {
        let controllers = self.controllers.lock().await;
        let controller = controllers.get(name);
        let url = controller
            .with_context(|| format!("the controller {name} is not running"))?
            .url("/readyz");
        Ok(reqwest::get(url).await?.status().is_success())
    }

    /// The concatenated `/metrics` of all running controllers.
    pub async fn metrics(&self) -> Result<String> {
        let mut all = String::new();
        for controller in self.controllers.lock().await.values_mut() {
            // With short Leases, a controller on a busy machine can have lost its leadership.
            if !controller.has_exited()? {
                all.push_str(&controller.metrics().await?);
            }
        }
        Ok(all)
    }

    /// The process ids of all running controllers.
    pub async fn controller_pids(&self) -> Vec<u32> {
        let controllers = self.controllers.lock().await;
        controllers
            .values()
            .filter_map(ControllerProcess::pid)
            .collect()
    }

    /// The logs of all controllers, including stopped ones.
    pub fn logs(&self) -> Result<Vec<PathBuf>> {
        let mut logs = Vec::new();
        for entry in std::fs::read_dir(self.folder())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("controller-") && name.ends_with(".log") {
                logs.push(path);
            }
        }
        Ok(logs)
    }
}
