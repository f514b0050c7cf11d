//! The binary as an operator meets it, where there is no cluster: words, exit codes, probes, signals. With a cluster it is met in the
//! end-to-end tests.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, also in the functions it calls"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Limit on anything that the process does here.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// The binary with an environment of the test's own.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenant-controller"));
    command.env_clear().env("HOME", "/nonexistent");
    command
}

fn output(command: &mut Command) -> Output {
    command.output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A kubeconfig for an API server that nobody runs, in a folder of its own.
fn kubeconfig_for_nobody() -> (tempfile::TempDir, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u, namespace: platform}}}}]\n\
         users: [{{name: u, user: {{token: not-a-secret}}}}]\n"
    );
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("kubeconfig");
    fs::write(&path, config).expect("written");
    (folder, path.display().to_string())
}

/// A running controller; killed when the test ends.
struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("starts");
        let lines = follow(child.stderr.take().expect("piped"));
        Self {
            child,
            lines,
            seen: vec![],
        }
    }

    /// The next log line with this text.
    fn line(&mut self, part: &str) -> String {
        let until = Instant::now() + STEP_TIMEOUT;
        while let Ok(line) = self
            .lines
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            self.seen.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
        panic!("no line with {part:?} in:\n{}", self.seen.join("\n"));
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill");
        assert!(killed.success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        let until = Instant::now() + STEP_TIMEOUT;
        while self
            .lines
            .recv_timeout(until.saturating_duration_since(Instant::now()))
            .is_ok()
        {}
        self.child.wait().expect("waited").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(STEP_TIMEOUT)).expect("set");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

#[test]
fn help_goes_to_stdout_and_succeeds() {
    let output = output(command().arg("--help"));
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("--lease-duration <DURATION>"));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn wrong_settings_are_all_told_on_stderr_and_end_it_with_2() {
    let output = output(
        command()
            .args(["--concurrency", "0"])
            .env("TENANT_CONTROLLER_LOG_FORMAT", "xml"),
    );
    assert_eq!(output.status.code(), Some(2));
    let errors = text(&output.stderr);
    assert!(
        errors.contains(
            "concurrency is `0` (from the command line): write a whole number from 1 to 10000"
        ),
        "{errors}"
    );
    assert!(
        errors.contains(
            "log-format is `xml` (from the environment variable TENANT_CONTROLLER_LOG_FORMAT)"
        ),
        "{errors}"
    );
    assert_eq!(output.stdout, b"");
}

#[test]
fn an_unknown_flag_ends_it_with_2() {
    assert_eq!(
        output(command().arg("--no-leader-election")).status.code(),
        Some(2)
    );
}

#[test]
fn without_any_cluster_it_says_what_to_set() {
    let output = output(command().args(["--namespace", "platform"]));
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    assert!(
        errors.contains("the Kubernetes API cannot be found") && errors.contains("Set KUBECONFIG"),
        "{errors}"
    );
}

#[test]
fn a_port_that_is_taken_is_told_and_ends_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("address").to_string();
    let (_folder, kubeconfig) = kubeconfig_for_nobody();
    let output = output(
        command()
            .env("KUBECONFIG", kubeconfig)
            .args(["--http-listen", &address]),
    );
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    assert!(
        errors.contains(&format!("failed to listen on {address} (http-listen)")),
        "{errors}"
    );
}

#[test]
fn while_the_api_server_is_away_it_says_so_is_alive_but_not_ready_and_stops_when_asked() {
    let (_folder, kubeconfig) = kubeconfig_for_nobody();
    let mut running = Running::start(
        command()
            .env("KUBECONFIG", kubeconfig)
            .args(["--http-listen", "127.0.0.1:0"]),
    );
    let line = running.line("http.address");
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let address = line["http.address"].as_str().expect("text").to_owned();
    let line = running.line("The Lease cannot be read");
    assert!(line.to_lowercase().contains("connection refused"), "{line}");
    assert!(
        running
            .seen
            .iter()
            .any(|l| l.contains(r#""kube.namespace":"platform""#)),
        "from the kubeconfig"
    );
    assert!(get(&address, "/livez").starts_with("HTTP/1.1 200"));
    let answer = get(&address, "/readyz");
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("Kubernetes API was not reached"),
        "{answer}"
    );
    assert!(get(&address, "/metrics").contains(r#"resource="leases",outcome="Unreachable""#));
    running.terminate();
    running.line("stopped while standing by");
    assert_eq!(running.exit_code(), Some(0));
}
