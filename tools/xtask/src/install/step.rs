//! One command of an install: run under supervision, so that it ends with its owner, with progress for people and its
//! output in a log that the error quotes.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use local_servers::process::Supervised;

use crate::progress::{Progress, elapsed, say};

/// How often a running command is looked at.
const POLL: Duration = Duration::from_millis(100);
/// How much of a failed command's output the error quotes.
const LOG_TAIL_LINES: usize = 25;

/// A command with what people are told about it.
pub(super) struct Step<'a> {
    /// What is being done, as in `kubernetes 1.37.2 [1/2] compile`.
    pub(super) title: String,
    /// The command itself.
    pub(super) command: Command,
    /// Where its output goes; it is kept after a failure.
    pub(super) log: &'a Path,
    /// No install takes longer than this.
    pub(super) limit: Duration,
    /// Says how far it is, from the number of lines it has written so far.
    pub(super) describe: fn(usize) -> String,
}

impl Step<'_> {
    /// Runs it to its end.
    pub(super) fn run(self) -> Result<()> {
        let _ = std::fs::remove_file(self.log);
        let program = self.command.get_program().to_string_lossy().into_owned();
        let mut process = Supervised::spawn(&self.command, self.log)?;
        let mut lines = LineCount::new(self.log.to_owned());
        let mut progress = Progress::new(self.title.clone());
        loop {
            if let Some(status) = process
                .exited()
                .with_context(|| format!("cannot wait for {program}"))?
            {
                if status.success() {
                    drop(progress);
                    return Ok(());
                }
                bail!(
                    "{}: {program} ended with {status} after {}; the end of its output ({}):\n{}",
                    self.title,
                    elapsed(progress.elapsed()),
                    self.log.display(),
                    process.log_tail(LOG_TAIL_LINES)
                );
            }
            if progress.elapsed() > self.limit {
                bail!(
                    "{}: {program} was stopped after {}; the end of its output ({}):\n{}",
                    self.title,
                    elapsed(self.limit),
                    self.log.display(),
                    process.log_tail(LOG_TAIL_LINES)
                );
            }
            progress.tick(&(self.describe)(lines.now()));
            std::thread::sleep(POLL);
        }
    }
}

/// The version that a program says it has: its output must hold `expected`.
pub(super) fn verify_version(program: &Path, arguments: &[&str], expected: &str) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("{} cannot be run", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "{} {} ended with {}: {}",
            program.display(),
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    if !said.contains(expected) {
        bail!(
            "{} is not version {expected}: it says {}",
            program.display(),
            said.trim()
        );
    }
    Ok(())
}

/// Announces an install before it begins.
pub(super) fn announce(what: &str, duration: &str, place: &Path) {
    let place = place.with_extension(""); // the entry, not the `.partial` that it is made as
    say(&format!(
        "Installing {what} into {}: {duration}, once.",
        place.display()
    ));
}

/// Counts the lines of a growing file, reading only what is new.
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

    fn now(&mut self) -> usize {
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
