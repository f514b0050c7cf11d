//! The tests of the charts against a real API server: it accepts every object, and each
//! service account has exactly the expected permissions.

use std::process::Command;

use anyhow::{Context as _, Result};
use local_stack::control_plane::{ControlPlane, Options};
use local_stack::repository;
use test_support::suite::{Trial, test_alone};
use test_support::{command, timeouts};

pub(crate) fn tests() -> Vec<Trial> {
    vec![test_alone(
        concat!(
            module_path!(),
            "::the_charts_pass_their_tests_on_an_api_server"
        ),
        timeouts::TEST,
        the_charts_pass_their_tests_on_an_api_server,
    )]
}

async fn the_charts_pass_their_tests_on_an_api_server() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    for chart in ["tenant-controller", "chat-app"] {
        let mut script = Command::new(repository().join(format!("charts/{chart}/tests/run.sh")));
        script
            .env("KUBECONFIG", plane.kubeconfig())
            .env("KUBECTL", plane.kubectl().get_program())
            .env("HELM", plane.helm().get_program());
        command::script(timeouts::TEST, script)
            .await
            .with_context(|| format!("the tests of chart {chart}"))?;
    }
    plane.stop().await;
    Ok(())
}
