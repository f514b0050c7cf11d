//! Runs the command-line programs that users run: kubectl, helm, psql.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;

use crate::timeouts;

/// Runs a command and returns its standard output. The error of a failed command contains its
/// standard error.
pub async fn output(command: Command) -> Result<String> {
    output_with_input(command, "").await
}

/// Like [`output`], with text for the command's standard input.
pub async fn output_with_input(command: Command, input: &str) -> Result<String> {
    success(timeouts::COMMAND, command, input).await
}

/// Runs a script that is a test of its own, and returns its standard output. The error of a failed
/// script contains its standard error.
pub async fn script(timeout: Duration, command: Command) -> Result<String> {
    success(timeout, command, "").await
}

/// Runs a command that must fail, and returns its standard error.
pub async fn expect_failure(command: Command, input: &str) -> Result<String> {
    let shown = display(&command);
    let output = run(timeouts::COMMAND, command, input).await?;
    if output.status.success() {
        bail!(
            "{shown} must fail, but it succeeded: {}",
            String::from_utf8_lossy(&output.stdout).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn success(timeout: Duration, command: Command, input: &str) -> Result<String> {
    let shown = display(&command);
    let output = run(timeout, command, input).await?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{shown} exited with {}: {}", output.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn run(timeout: Duration, command: Command, input: &str) -> Result<Output> {
    let shown = display(&command);
    let mut child = tokio::process::Command::from(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("failed to run {shown}"))?;
    let work = async {
        if let Some(mut stdin) = child.stdin.take() {
            // If the program does not read its input, its own error is more useful.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    tokio::time::timeout(timeout, work)
        .await
        .with_context(|| format!("{shown} timed out after {} s", timeout.as_secs()))?
        .with_context(|| format!("failed to read the output of {shown}"))
}

/// The program's file name and its arguments, without connection strings, which contain passwords.
fn display(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut text = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args() {
        text.push(' ');
        let argument = argument.to_string_lossy();
        text.push_str(if argument.contains("://") {
            "<uri>"
        } else {
            &argument
        });
    }
    text
}
