//! Runs commands to completion with a timeout.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

const COMMAND_TIMEOUT: Duration = Duration::from_mins(3);

/// Runs a command and returns its standard output. The error of a failed command contains its
/// standard error.
pub(crate) async fn output(command: Command) -> Result<String> {
    output_with_input(command, String::new()).await
}

/// Like [`output`], with text for the command's standard input.
pub(crate) async fn output_with_input(mut command: Command, input: String) -> Result<String> {
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
    let result = tokio::time::timeout(COMMAND_TIMEOUT, work).await;
    let output = result
        .with_context(|| format!("{shown} timed out after {} s", COMMAND_TIMEOUT.as_secs()))??
        .with_context(|| format!("failed to run {shown}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{shown} exited with {}: {}", output.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
