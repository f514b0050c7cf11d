//! Programs that tests run as people do: kubectl, helm, psql.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;

use crate::limits;

/// Runs a command to its end and gives its standard output; a failure carries its standard error.
pub async fn output(command: Command) -> Result<String> {
    output_with_input(command, "").await
}

/// The same, with text on its standard input.
pub async fn output_with_input(command: Command, input: &str) -> Result<String> {
    let shown = shown(&command);
    let output = run(command, input).await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{shown} ended with {}: {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a story in a browser to its end and gives its standard output; a failure carries its standard error.
pub async fn story(command: Command) -> Result<String> {
    let shown = shown(&command);
    let output = run_within(limits::STORY, command, "").await?;
    if !output.status.success() {
        bail!(
            "{shown} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command that has to fail, and gives what it said on standard error.
pub async fn refusal(command: Command, input: &str) -> Result<String> {
    let shown = shown(&command);
    let output = run(command, input).await?;
    if output.status.success() {
        bail!(
            "{shown} succeeded, but had to be refused: {}",
            String::from_utf8_lossy(&output.stdout).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn run(command: Command, input: &str) -> Result<Output> {
    run_within(limits::COMMAND, command, input).await
}

async fn run_within(limit: Duration, command: Command, input: &str) -> Result<Output> {
    let shown = shown(&command);
    let mut child = tokio::process::Command::from(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {shown}"))?;
    let work = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read its input says itself what is wrong.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    tokio::time::timeout(limit, work)
        .await
        .with_context(|| format!("{shown} does not end within {} s", limit.as_secs()))?
        .with_context(|| format!("cannot read what {shown} says"))
}

/// The program's name and its arguments, without its folder and its environment.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut text = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args() {
        text.push(' ');
        let argument = argument.to_string_lossy();
        // Connection strings hold passwords.
        text.push_str(if argument.contains("://") {
            "<uri>"
        } else {
            &argument
        });
    }
    text
}
