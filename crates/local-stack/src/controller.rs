//! The controller as a process, started as it would be in a cluster.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::control_plane::free_port;
pub use crate::helm_template::ContainerSpec;
use crate::program::{Binary, Program, without_options};

/// Overrides the path of the controller's binary.
pub const CONTROLLER_BIN: &str = "TENANT_CONTROLLER_BIN";
const BINARY: Binary = Binary {
    name: "tenant-controller",
    package: "controller",
    variable: CONTROLLER_BIN,
};
/// From the start until `/readyz` succeeds, which normally takes less than a second.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Options of the chart that a process on this machine overrides.
const OVERRIDDEN: [&str; 2] = ["--http-listen", "--namespace"];

#[derive(Debug, Clone)]
pub struct ControllerOptions {
    pub kubeconfig: PathBuf,
    /// The controller's own namespace, which contains the Lease and the API keys.
    pub namespace: String,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(String, OsString)>,
    /// The file that the output is appended to.
    pub log: PathBuf,
}

impl ControllerOptions {
    /// Options without arguments and environment.
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

/// The path of the controller's binary.
pub fn controller_binary() -> Result<PathBuf> {
    BINARY.find()
}

/// Marks a [`Program`] as the controller.
#[derive(Debug)]
pub struct Controller(());

/// A running controller. Dropping it sends SIGTERM and waits for the process to exit.
pub type ControllerProcess = Program<Controller>;

impl Program<Controller> {
    /// Starts the controller; [`Program::wait_until_ready`] waits for it.
    pub fn spawn(options: &ControllerOptions) -> Result<Self> {
        let port = free_port()?;
        let mut command = BINARY.command(&options.kubeconfig, &options.environment)?;
        command
            .args(without_options(&options.arguments, &OVERRIDDEN))
            .args(["--namespace", &options.namespace])
            .args(["--http-listen", &format!("127.0.0.1:{port}")]);
        Self::spawn_as(
            "the controller",
            command,
            &options.log,
            port,
            READY_TIMEOUT,
            Controller(()),
        )
    }

    /// A URL of the controller, which has only the operations port.
    pub fn url(&self, path: &str) -> String {
        self.operations_url(path)
    }
}
