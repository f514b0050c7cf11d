//! The controller as a process of its own, as it runs in a cluster: started, killed, asked to end, looked at.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::control_plane::free_port;
use crate::program::{Binary, Program, without};
pub use crate::rendered::Rendered;

/// Names another binary of the controller than the one built beside this program.
pub const CONTROLLER_BIN: &str = "TENANT_CONTROLLER_BIN";
const BINARY: Binary = Binary {
    name: "tenant-controller",
    variable: CONTROLLER_BIN,
};
/// From start to `/readyz`; well under a second when nothing is wrong.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// What is set anew for a process of this machine, whatever the chart says.
const SET_HERE: [&str; 2] = ["--http-listen", "--namespace"];

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

/// What only controllers have: nothing.
#[derive(Debug)]
pub struct Controller(());

/// A running controller. Dropping it asks it to end and waits.
pub type ControllerProcess = Program<Controller>;

impl Program<Controller> {
    /// Starts it; see [`Program::wait_until_ready`].
    pub fn spawn(options: &ControllerOptions) -> Result<Self> {
        let port = free_port()?;
        let mut command = BINARY.command(&options.kubeconfig, &options.environment)?;
        command
            .args(without(&options.arguments, &SET_HERE))
            .args(["--namespace", &options.namespace])
            .args(["--http-listen", &format!("127.0.0.1:{port}")]);
        let what = "the controller";
        Self::spawn_as(
            what,
            &command,
            &options.log,
            port,
            READY_LIMIT,
            Controller(()),
        )
    }

    /// Where it serves `/livez`, `/readyz` and `/metrics`: it has no other port.
    pub fn url(&self, path: &str) -> String {
        self.operations_url(path)
    }
}
