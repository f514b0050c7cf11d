//! The replicas of a cluster's controller: started, killed, asked to end, and what they tell of themselves.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use xtask::controller::{ControllerOptions, ControllerProcess};

use super::{Cluster, RELEASE};

impl Cluster {
    /// How a controller of this cluster is started: with what the chart rendered.
    pub fn controller_options(&self, name: &str) -> ControllerOptions {
        let mut options = self.controller.clone();
        options
            .environment
            .push(("POD_NAME".into(), format!("{RELEASE}-{name}").into()));
        options.log = self.log(name);
        options
    }

    /// Where the output of that controller is appended.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder().join(format!("controller-{name}.log"))
    }

    /// Starts a replica and waits until it is ready.
    pub async fn start_controller(&self, name: &str) -> Result<()> {
        self.start_controller_with(name, &self.controller_options(name))
            .await
    }

    /// Starts a replica in another way than the chart says.
    pub async fn start_controller_with(
        &self,
        name: &str,
        options: &ControllerOptions,
    ) -> Result<()> {
        let mut controllers = self.controllers.lock().await;
        ensure!(
            !controllers.contains_key(name),
            "a controller {name} runs already"
        );
        let mut controller = ControllerProcess::spawn(options)?;
        if let Err(error) = controller.wait_until_ready().await {
            let log = std::fs::read_to_string(&options.log).unwrap_or_default();
            let said: Vec<&str> = log
                .lines()
                .filter(|line| !line.contains("\"DEBUG\""))
                .collect();
            bail!(
                "{error:#}\nwhat it said apart from debug lines:\n{}",
                said.join("\n")
            );
        }
        controllers.insert(name.to_owned(), controller);
        Ok(())
    }

    /// Takes a replica out, to kill it or to ask it to end.
    pub async fn take_controller(&self, name: &str) -> Result<ControllerProcess> {
        let taken = self.controllers.lock().await.remove(name);
        taken.with_context(|| format!("no controller {name} runs"))
    }

    /// Ends a replica as a power cut would.
    pub async fn kill_controller(&self, name: &str) -> Result<()> {
        self.take_controller(name).await?.kill().await
    }

    /// Asks a replica to end, and waits until it has.
    pub async fn terminate_controller(&self, name: &str) -> Result<()> {
        self.take_controller(name).await?.terminate().await;
        Ok(())
    }

    /// Whether a replica runs.
    pub async fn runs(&self, name: &str) -> Result<bool> {
        match self.controllers.lock().await.get_mut(name) {
            Some(controller) => Ok(!controller.ended()?),
            None => Ok(false),
        }
    }

    /// `/metrics` of every replica that runs.
    pub async fn metrics(&self) -> Result<String> {
        let mut all = String::new();
        for controller in self.controllers.lock().await.values() {
            all.push_str(&controller.metrics().await?);
        }
        Ok(all)
    }

    /// The logs of all controllers there ever were.
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
