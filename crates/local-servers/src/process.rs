//! Child processes that cannot outlive their owner.
//!
//! A server that a test or a demo started must go when its owner goes, also when the owner was killed and could run
//! nothing more. So each child is started by a small `sh` supervisor that reads a pipe whose only writer is the owner:
//! the kernel closes that pipe however the owner ends, the supervisor sees the end of the file and stops the child,
//! first with the signal asked for and, after a grace period, for good. Supervisor and child stand in a process group of
//! their own, so that Ctrl-C in a terminal reaches only the owner, which then stops its children in the order it wants.
//!
//! This module never kills by name and never signals a process that it did not start.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often an ending child is looked at.
const EXIT_POLL_MS: u64 = 5;
/// What the supervisor itself may need on top of the grace period before its end is no longer waited for.
const SUPERVISOR_MARGIN: Duration = Duration::from_secs(2);
/// How much of the end of a log is read for an error text, in bytes.
const LOG_TAIL_BYTES_MAX: u64 = 16 * 1024;

/// `$1` signal, `$2` grace in tenths of a second, `$3` a folder to remove at the end or nothing, then the program and its
/// arguments.
///
/// The inner subshells wait for the end of the owner's pipe with the builtin `read`, so that no further process is needed
/// and killing them leaves nothing. Output goes to standard error (the log); standard output only tells the child's
/// process id. The folder is removed only when the owner let go: after a crash of the child its log is still wanted.
const SUPERVISOR: &str = r#"
signal=$1; tenths=$2; remove=$3; shift 3
exec 3<&0 0</dev/null
"$@" 3<&- 1>&2 &
child=$!
echo "$child"
exec 1>&2
(
  while read -r _ <&3; do :; done
  kill -s "$signal" "$child" 2>/dev/null
  while [ "$tenths" -gt 0 ] && kill -0 "$child" 2>/dev/null; do sleep 0.1; tenths=$((tenths - 1)); done
  kill -s KILL "$child" 2>/dev/null
) &
watcher=$!
[ -z "$remove" ] || (
  while read -r _ <&3; do :; done
  while kill -0 "$child" 2>/dev/null; do sleep 0.1; done
  cd / && rm -rf -- "$remove"
) &
exec 3<&-
wait "$child"
code=$?
kill -s KILL "$watcher" 2>/dev/null
exit "$code"
"#;

/// Why a child could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The log could not be opened for appending.
    #[error("cannot open the log {path} of {name}")]
    Log {
        /// The program's name.
        name: String,
        /// Where the log was wanted.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The supervisor did not start.
    #[error("cannot start {name}")]
    Start {
        /// The program's name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The signal that asks a child to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM: what most servers end on.
    Terminate,
    /// SIGINT: a fast shutdown of PostgreSQL, which on SIGTERM waits for its clients.
    Interrupt,
    /// SIGQUIT: an immediate shutdown of PostgreSQL, for data that nobody needs any more.
    Quit,
}

impl StopSignal {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::Quit => "QUIT",
        }
    }
}

/// The user that a child runs as; only root may ask for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// How a child is run and stopped.
#[derive(Debug, Clone, Copy)]
pub struct Supervision {
    /// What asks it to end.
    pub stop_signal: StopSignal,
    /// How long it may take to end before it is killed (tenths of a second count).
    pub grace: Duration,
    /// Another user to run as.
    pub run_as: Option<RunAs>,
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            stop_signal: StopSignal::Terminate,
            grace: Duration::from_secs(10),
            run_as: None,
        }
    }
}

/// A running child with its supervisor. Dropping it stops the child and waits until it is gone.
#[derive(Debug)]
pub struct Supervised {
    name: String,
    supervisor: Child,
    lifeline: Option<ChildStdin>,
    pid: Option<u32>,
    log_file: PathBuf,
    grace: Duration,
}

impl Supervised {
    /// Starts `command` (program, arguments, environment and working directory are taken from it) with its output
    /// appended to `log_file`, to be stopped by SIGTERM and, ten seconds later, by SIGKILL.
    ///
    /// Returns at once; whether the program could be executed shows in [`Supervised::exited`] and in the log.
    pub fn spawn(command: &Command, log_file: &Path) -> Result<Self, ProcessError> {
        Self::spawn_with(command, log_file, Supervision::default())
    }

    /// [`Supervised::spawn`] with another signal, grace period or user.
    pub fn spawn_with(
        command: &Command,
        log_file: &Path,
        how: Supervision,
    ) -> Result<Self, ProcessError> {
        Self::spawn_in(command, log_file, how, None)
    }

    /// [`Supervised::spawn_with`] with a temporary folder of the child's that goes with it, also when the owner can no
    /// longer remove it. The child's user must be allowed to.
    pub(crate) fn spawn_in(
        command: &Command,
        log_file: &Path,
        how: Supervision,
        folder: Option<&Path>,
    ) -> Result<Self, ProcessError> {
        let Supervision {
            stop_signal,
            grace,
            run_as,
        } = how;
        let name = Path::new(command.get_program()).file_name().map_or_else(
            || "child".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log_file)
            .map_err(|source| ProcessError::Log {
                name: name.clone(),
                path: log_file.to_owned(),
                source,
            })?;

        let mut supervisor = Command::new("/bin/sh");
        supervisor
            .args(["-c", SUPERVISOR, "supervisor", stop_signal.name()])
            .arg((grace.as_millis() / 100).to_string())
            .arg(folder.unwrap_or(Path::new("")))
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0);
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => supervisor.env(key, value),
                None => supervisor.env_remove(key),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            supervisor.current_dir(folder);
        }
        if let Some(user) = run_as {
            supervisor.uid(user.uid).gid(user.gid);
        }

        let mut supervisor = supervisor.spawn().map_err(|source| ProcessError::Start {
            name: name.clone(),
            source,
        })?;
        let lifeline = supervisor.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = supervisor.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(|source| ProcessError::Start {
                    name: name.clone(),
                    source,
                })?;
        }
        let pid = line.trim().parse().ok();
        Ok(Self {
            name,
            supervisor,
            lifeline,
            pid,
            log_file: log_file.to_owned(),
            grace,
        })
    }

    /// The process id of the program itself (not of its supervisor), for measuring it or for tests that kill it.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The file name of the program.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its output goes.
    pub fn log_file(&self) -> &Path {
        &self.log_file
    }

    /// The exit status, once the program has ended by itself or was stopped.
    pub fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        self.supervisor.try_wait()
    }

    /// The last lines of its output (at most `lines`), for the text of an error.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log_file, lines).unwrap_or_default()
    }

    /// Asks the program to end and waits until it has; after the grace period it is killed.
    pub async fn stop(mut self) {
        self.lifeline = None;
        // The task owns `self`; its end, also by cancellation of this future, is the end of the child.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    fn wait_until_gone(&mut self) {
        let limit = Instant::now() + self.grace + SUPERVISOR_MARGIN;
        while Instant::now() < limit {
            if !matches!(self.supervisor.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(EXIT_POLL_MS));
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.lifeline = None;
        self.wait_until_gone();
    }
}

fn tail(path: &Path, lines: usize) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].join("\n"))
}
