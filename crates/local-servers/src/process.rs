//! Child processes that cannot outlive their owner.
//!
//! A server started by a test or a demo must stop when its owner stops, even if the owner is killed
//! and cannot run any cleanup code. Each child is therefore started by a small `sh` supervisor that
//! reads from a pipe whose only writer is the owner. The kernel closes that pipe no matter how the owner
//! ends. The supervisor then sees end-of-file and stops the child: first with the configured signal
//! and, after a grace period, with SIGKILL. Supervisor and child have their own process group, so
//! Ctrl-C in a terminal reaches only the owner, which stops its children in the order it chooses.
//!
//! This module never kills by name and never signals a process that it did not start.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often to check whether a stopping child has exited.
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Extra time, on top of the grace period, that the supervisor may need to exit.
const SUPERVISOR_MARGIN: Duration = Duration::from_secs(2);
/// Maximum number of bytes read from the end of a log for an error message.
const MAX_LOG_TAIL_BYTES: u64 = 16 * 1024;

/// Arguments: `$1` the stop signal, `$2` the grace period in tenths of a second, `$3` a folder to
/// remove at the end or an empty string, then the program and its arguments.
///
/// The inner subshells wait for end-of-file on the owner's pipe with the builtin `read`, so they
/// need no further process and killing them leaves nothing behind. All output goes to standard
/// error (the log), except for the child's process ID, which goes to standard output. The folder is
/// removed only after the owner has ended: after a crash of the child alone, its log is still
/// needed.
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

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("failed to open the log file {path} of {name}")]
    Log {
        name: String,
        path: PathBuf,
        source: io::Error,
    },
    #[error("failed to start {name}")]
    Start { name: String, source: io::Error },
}

/// The signal that asks a child to exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM, which most servers handle as a graceful shutdown.
    Terminate,
    /// SIGINT: a fast shutdown of PostgreSQL. On SIGTERM, PostgreSQL would wait for its clients to
    /// disconnect.
    Interrupt,
    /// SIGQUIT: an immediate shutdown of PostgreSQL, for data that is about to be removed.
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

/// The user that a child runs as. Only root can select another user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    pub uid: u32,
    pub gid: u32,
}

/// How a child is run and stopped.
#[derive(Debug, Clone, Copy)]
pub struct Supervision {
    /// The signal that asks the child to exit.
    pub stop_signal: StopSignal,
    /// How long the child may take to exit before it is killed, at a resolution of 0.1 seconds.
    pub grace: Duration,
    /// The user to run as; `None` for the current user.
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

/// A running child with its supervisor. Dropping this value stops the child and waits until it has
/// exited.
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
    /// Starts `command` (program, arguments, environment and working directory) and appends its
    /// output to `log_file`. It is stopped with SIGTERM and, ten seconds later, with SIGKILL.
    ///
    /// This function does not wait for the program: use [`Supervised::exited`] and the log to find
    /// out whether the program could be executed.
    pub fn spawn(command: &Command, log_file: &Path) -> Result<Self, ProcessError> {
        Self::spawn_with(command, log_file, Supervision::default())
    }

    /// Like [`Supervised::spawn`], with another signal, grace period or user.
    pub fn spawn_with(
        command: &Command,
        log_file: &Path,
        supervision: Supervision,
    ) -> Result<Self, ProcessError> {
        Self::spawn_in(command, log_file, supervision, None)
    }

    /// Like [`Supervised::spawn_with`], and removes `folder` after the child has exited, even if
    /// the owner was killed. The child's user must have permission to remove it.
    pub(crate) fn spawn_in(
        command: &Command,
        log_file: &Path,
        supervision: Supervision,
        folder: Option<&Path>,
    ) -> Result<Self, ProcessError> {
        let Supervision {
            stop_signal,
            grace,
            run_as,
        } = supervision;
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

    /// The process ID of the program itself (not of its supervisor), for measurements and for tests
    /// that kill it.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that receives the child's output.
    pub fn log_file(&self) -> &Path {
        &self.log_file
    }

    /// The exit status, if the program has exited.
    pub fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        self.supervisor.try_wait()
    }

    /// The last lines of the child's output (at most `lines`), for error messages.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log_file, lines).unwrap_or_default()
    }

    /// Asks the program to exit and waits until it has. After the grace period it is killed.
    pub async fn stop(mut self) {
        self.lifeline = None;
        // The task owns `self`, so the child is stopped even if this future is cancelled.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    fn wait_for_exit(&mut self) {
        let deadline = Instant::now() + self.grace + SUPERVISOR_MARGIN;
        while Instant::now() < deadline {
            if !matches!(self.supervisor.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(EXIT_POLL_INTERVAL);
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.lifeline = None;
        self.wait_for_exit();
    }
}

fn tail(path: &Path, lines: usize) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_LOG_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].join("\n"))
}
