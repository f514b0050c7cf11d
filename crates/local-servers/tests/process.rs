//! Tests supervised children with real processes: they end with their owner, however the owner
//! ends.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use local_servers::process::{StopSignal, Supervised, Supervision};

const EXIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Set for the copy of this test binary that acts as the owner.
const OWNER_LOG: &str = "NEON_EMULATOR_TEST_OWNER_LOG";

fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
    })
}

fn wait_for_exit(pid: u32) {
    let deadline = Instant::now() + EXIT_TIMEOUT;
    while alive(pid) {
        assert!(
            Instant::now() < deadline,
            "process {pid} is still running after {EXIT_TIMEOUT:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("600");
    command
}

#[test]
fn dropping_the_owner_value_ends_the_child() {
    let folder = tempfile::tempdir().expect("a folder");
    let child = Supervised::spawn(&sleeper(), &folder.path().join("log")).expect("starts");
    let pid = child.pid().expect("a pid");
    assert!(alive(pid));
    drop(child);
    assert!(!alive(pid), "drop waits until the child has exited");
}

#[test]
fn a_child_that_ignores_the_signal_is_killed_after_the_grace_period() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap '' TERM; echo ready; while :; do sleep 0.05; done",
    ]);
    let log = folder.path().join("log");
    let supervision = Supervision {
        grace: Duration::from_millis(300),
        ..Supervision::default()
    };
    let child = Supervised::spawn_with(&command, &log, supervision).expect("starts");
    let pid = child.pid().expect("a pid");
    wait_for_log(&log, "ready");
    let before = Instant::now();
    drop(child);
    assert!(
        before.elapsed() >= Duration::from_millis(300),
        "the child had its grace period"
    );
    assert!(!alive(pid));
}

#[test]
fn the_exit_code_and_output_of_a_child_that_exits_are_available() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo one; echo two >&2; echo \"$WORD\"; exit 7"])
        .env("WORD", "three");
    let mut child = Supervised::spawn(&command, &folder.path().join("log")).expect("starts");
    let deadline = Instant::now() + EXIT_TIMEOUT;
    let status = loop {
        if let Some(status) = child.exited().expect("try_wait succeeds") {
            break status;
        }
        assert!(Instant::now() < deadline, "the child did not exit");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(7));
    assert_eq!(child.log_tail(2), "two\nthree");
}

#[test]
fn a_child_ends_when_its_owner_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut owner = Command::new(std::env::current_exe().expect("this binary"))
        .args([
            "--exact",
            "owner_that_waits_to_be_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(OWNER_LOG, folder.path().join("log"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the owner starts");
    let stdout = BufReader::new(owner.stdout.take().expect("piped"));
    let pid: u32 = stdout
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            line.split("child=")
                .nth(1)
                .and_then(|pid| pid.trim().parse().ok())
        })
        .expect("the owner prints its child's PID");
    assert!(alive(pid));
    owner.kill().expect("SIGKILL");
    owner.wait().expect("the owner exits");
    wait_for_exit(pid);
}

/// Not a test: the process that [`a_child_ends_when_its_owner_is_killed`] kills.
#[test]
#[ignore = "acts as the owner in another process"]
fn owner_that_waits_to_be_killed() {
    let Ok(log) = std::env::var(OWNER_LOG) else {
        return;
    };
    let supervision = Supervision {
        stop_signal: StopSignal::Interrupt,
        grace: Duration::from_secs(1),
        ..Supervision::default()
    };
    let mut command = Command::new("sh");
    // A non-interactive shell starts background jobs with SIGINT ignored. Servers install their own
    // handler, as this script does.
    command.args(["-c", "trap 'exit 0' INT TERM; while :; do sleep 0.05; done"]);
    let child = Supervised::spawn_with(&command, Path::new(&log), supervision).expect("starts");
    let mut stdout = std::io::stdout();
    writeln!(stdout, "child={}", child.pid().expect("a pid")).expect("the test reads it");
    stdout.flush().expect("the test reads it");
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
}

fn wait_for_log(path: &Path, word: &str) {
    let deadline = Instant::now() + EXIT_TIMEOUT;
    while !std::fs::read_to_string(path).is_ok_and(|text| text.contains(word)) {
        assert!(
            Instant::now() < deadline,
            "{word} did not appear in the log"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
