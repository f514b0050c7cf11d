//! Finds statements in migrations that deserve attention before they run: those that lose data, that
//! break queries of the running application, that block other queries, or that fail.
//!
//! squawk parses the SQL and has most of the rules; [`statements`] has those that it lacks. [`rules`]
//! names all of them, with their severities. A comment in the file silences a finding ([`ignores`]).
//!
//! SQL can be anything, and the parser is recursive. So the files are read on a thread with a large
//! stack and a time limit, statements that may be nested too deeply are left out, and a file
//! on which the linter fails has a finding that says so.

mod file;
mod idempotence;
mod ignores;
mod lines;
mod rules;
mod statements;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crds::MigrationFinding;

use self::file::lint_file;
use super::set::Migration;

pub use self::rules::{RULES, RuleInfo, invalid_migration};

/// Stack of the thread that parses. Only what is used takes memory. In a build without optimizations,
/// a level of nesting takes up to 20 KiB; see [`file::MAX_NESTING`].
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// Longest time for one file.
const FILE_TIMEOUT: Duration = Duration::from_secs(20);

/// A file to lint.
#[derive(Clone, Debug)]
pub struct LintFile {
    pub name: String,
    pub sql: String,
    /// See [`Migration::no_transaction`].
    pub no_transaction: bool,
}

impl From<&Migration> for LintFile {
    fn from(migration: &Migration) -> Self {
        Self {
            name: migration.file_name().to_owned(),
            sql: migration.sql().to_owned(),
            no_transaction: migration.no_transaction(),
        }
    }
}

/// The findings in the order of the files and lines. Blocks: call it on a blocking thread.
pub fn lint(files: Vec<LintFile>) -> Vec<MigrationFinding> {
    let files: Arc<[LintFile]> = files.into();
    let mut findings = Vec::new();
    let mut next = 0;
    while next < files.len() {
        let results = read_on_thread(files.clone(), next);
        let stop = match results {
            Ok(results) => receive(&results, files.len(), &mut next, &mut findings),
            Err(error) => Some(Stop::NoThread(error)),
        };
        let Some(stop) = stop else { continue };
        let unread = match stop {
            Stop::Panicked => 1,
            // A thread that does not finish occupies a core, so no other thread is started.
            Stop::TimedOut | Stop::NoThread(_) => files.len() - next,
        };
        let message = stop.message();
        for file in &files[next..next + unread] {
            findings.push(rules::not_analyzed(&file.name, 1, &message));
        }
        next += unread;
    }
    findings
}

/// Why a file was not read.
enum Stop {
    Panicked,
    TimedOut,
    NoThread(io::Error),
}

impl Stop {
    fn message(&self) -> String {
        match self {
            Self::Panicked => {
                "the linter failed on this file, which is a bug; review the file yourself"
                    .to_owned()
            }
            Self::TimedOut => format!(
                "the linter stopped after {} s without a result; review the file yourself",
                FILE_TIMEOUT.as_secs()
            ),
            Self::NoThread(error) => {
                format!("the linter failed to start a thread ({error}); review the file yourself")
            }
        }
    }
}

/// Reads the files from `first` on a thread of its own, and sends the findings of each.
fn read_on_thread(
    files: Arc<[LintFile]>,
    first: usize,
) -> io::Result<Receiver<Vec<MigrationFinding>>> {
    let (sender, results) = channel();
    let read = move || {
        for file in &files[first..] {
            if sender.send(lint_file(file)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("lint".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(read)?;
    Ok(results)
}

/// Receives the findings of the files up to `end`, and counts them in `next`. Returns why the file at
/// `next` was not read.
fn receive(
    results: &Receiver<Vec<MigrationFinding>>,
    end: usize,
    next: &mut usize,
    findings: &mut Vec<MigrationFinding>,
) -> Option<Stop> {
    while *next < end {
        match results.recv_timeout(FILE_TIMEOUT) {
            Ok(found) => findings.extend(found),
            Err(RecvTimeoutError::Timeout) => return Some(Stop::TimedOut),
            Err(RecvTimeoutError::Disconnected) => return Some(Stop::Panicked),
        }
        *next += 1;
    }
    None
}

#[cfg(test)]
mod tests;
