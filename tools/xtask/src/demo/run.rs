//! Commands of the demo: run to their end, with a limit, and what they say when they fail.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// No command of the demo takes longer.
const COMMAND_LIMIT: Duration = Duration::from_mins(3);

/// Runs a command and gives its standard output; a failure carries its standard error.
pub(super) async fn output(command: Command) -> Result<String> {
    output_with_input(command, String::new()).await
}

/// The same, with text on its standard input.
pub(super) async fn output_with_input(mut command: Command, input: String) -> Result<String> {
    let shown = format!("{command:?}");
    let work = tokio::task::spawn_blocking(move || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        child.wait_with_output()
    });
    let limited = tokio::time::timeout(COMMAND_LIMIT, work).await;
    let output = limited
        .with_context(|| format!("{shown} does not end"))??
        .with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{shown} ended with {}: {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
