//! Runs a Kubernetes API, without Pods, until it is interrupted. Prints its kubeconfig and the
//! process ids of its servers.

use std::io::Write as _;

use anyhow::Result;
use local_stack::control_plane::{ControlPlane, Options};
use local_stack::signals::interrupted;

#[tokio::main]
async fn main() -> Result<()> {
    let control_plane = ControlPlane::start(Options::default()).await?;
    let pids: Vec<String> = control_plane
        .pids()
        .iter()
        .map(ToString::to_string)
        .collect();
    writeln!(
        std::io::stdout(),
        "KUBECONFIG={}\nPIDS={}",
        control_plane.kubeconfig().display(),
        pids.join(" ")
    )?;
    interrupted().await?;
    control_plane.stop().await;
    Ok(())
}
