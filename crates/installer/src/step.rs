//! One command of an installation: supervised, so that it ends with its owner, with progress on the
//! terminal and its output in a log that errors quote.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use local_servers::process::Supervised;

use crate::progress::{Progress, elapsed, say};

const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How many lines of a failed command's output an error quotes.
const LOG_TAIL_LINES: usize = 25;

pub(crate) struct Step<'a> {
    /// Shown as progress and in errors, such as `Kubernetes 1.37.2`.
    pub(crate) title: String,
    pub(crate) command: Command,
    /// Receives the command's output; kept after a failure.
    pub(crate) log: &'a Path,
    pub(crate) timeout: Duration,
    /// Makes the progress detail from the number of lines in the log.
    pub(crate) describe: fn(usize) -> String,
}

impl Step<'_> {
    pub(crate) fn run(self) -> Result<()> {
        let _ = std::fs::remove_file(self.log);
        let program = self.command.get_program().to_string_lossy().into_owned();
        let mut process = Supervised::spawn(&self.command, self.log)?;
        let mut lines = LineCount::new(self.log.to_owned());
        let mut progress = Progress::new(self.title.clone());
        loop {
            if let Some(status) = process
                .exited()
                .with_context(|| format!("failed to wait for {program}"))?
            {
                if status.success() {
                    drop(progress);
                    return Ok(());
                }
                bail!(
                    "{}: {program} exited with {status} after {}; last lines of its output ({}):\n{}",
                    self.title,
                    elapsed(progress.elapsed()),
                    self.log.display(),
                    process.log_tail(LOG_TAIL_LINES)
                );
            }
            if progress.elapsed() > self.timeout {
                bail!(
                    "{}: {program} timed out after {}; last lines of its output ({}):\n{}",
                    self.title,
                    elapsed(self.timeout),
                    self.log.display(),
                    process.log_tail(LOG_TAIL_LINES)
                );
            }
            progress.tick(&(self.describe)(lines.read()));
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Checks that a program runs and that its version output contains `expected`.
pub(crate) fn verify_version(program: &Path, arguments: &[&str], expected: &str) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("failed to run {}", program.display()))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "{} {} exited with {}: {}",
            program.display(),
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    if !stdout.contains(expected) {
        bail!(
            "{} must be version {expected} (got {})",
            program.display(),
            stdout.trim()
        );
    }
    Ok(())
}

/// Announces an installation before it begins.
pub(crate) fn announce(what: &str, cost: &str, folder: &Path) {
    // The folder is the `.partial` one; its final name has no extension.
    let entry = folder.with_extension("");
    say(&format!(
        "Installing {what} into {} (once): {cost}.",
        entry.display()
    ));
}

/// Counts the lines of a growing file and reads each byte once.
struct LineCount {
    path: PathBuf,
    reader: Option<BufReader<File>>,
    lines: usize,
}

impl LineCount {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            reader: None,
            lines: 0,
        }
    }

    fn read(&mut self) -> usize {
        if self.reader.is_none() {
            self.reader = File::open(&self.path).ok().map(BufReader::new);
        }
        if let Some(reader) = &mut self.reader {
            let mut bytes = Vec::new();
            while reader
                .read_until(b'\n', &mut bytes)
                .is_ok_and(|count| count > 0)
            {
                self.lines += usize::from(bytes.ends_with(b"\n"));
                bytes.clear();
            }
        }
        self.lines
    }
}
