//! The binary without a cluster: messages, exit codes, probes and signals. The end-to-end tests run
//! it with a cluster.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "test helpers fail the test by panicking"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// For each step that a test waits for.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// The binary with an empty environment.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenant-controller"));
    command.env_clear().env("HOME", "/nonexistent");
    command
}

fn output(command: &mut Command) -> Output {
    command.output().expect("ran the binary")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A kubeconfig for an API server that does not exist, in a temporary directory.
fn kubeconfig_of_missing_server() -> (tempfile::TempDir, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound a port");
    let address = listener.local_addr().expect("the listener has an address");
    drop(listener);
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u, namespace: platform}}}}]\n\
         users: [{{name: u, user: {{token: not-a-secret}}}}]\n"
    );
    let folder = tempfile::tempdir().expect("created a directory");
    let path = folder.path().join("kubeconfig");
    fs::write(&path, config).expect("written");
    (folder, path.display().to_string())
}

/// A running controller, killed on drop.
struct RunningController {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl RunningController {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("started the binary");
        let lines = follow(child.stderr.take().expect("piped"));
        Self {
            child,
            lines,
            seen: vec![],
        }
    }

    /// Waits for the next log line that contains `text`.
    fn wait_for_line(&mut self, text: &str) -> String {
        let until = Instant::now() + STEP_TIMEOUT;
        while let Ok(line) = self
            .lines
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
        panic!("no line contains {text:?}:\n{}", self.seen.join("\n"));
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

impl Drop for RunningController {
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
    let mut response = String::new();
    stream
        .read_to_string(&mut response)
        .expect("read the response");
    response
}

#[test]
fn help_is_printed_to_stdout_with_exit_code_0() {
    let output = output(command().arg("--help"));
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("--lease-duration <DURATION>"));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn all_invalid_settings_are_reported_with_exit_code_2() {
    let output = output(
        command()
            .args(["--concurrency", "0"])
            .env("TENANT_CONTROLLER_LOG_FORMAT", "xml"),
    );
    assert_eq!(output.status.code(), Some(2));
    let errors = text(&output.stderr);
    assert!(
        errors.contains(
            "concurrency is `0` (from the command line): must be a whole number from 1 to 10000"
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
fn an_unknown_flag_is_rejected_with_exit_code_2() {
    assert_eq!(
        output(command().arg("--no-leader-election")).status.code(),
        Some(2)
    );
}

#[test]
fn without_a_cluster_the_error_names_the_setting() {
    let output = output(command().args(["--namespace", "platform"]));
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    assert!(
        errors.contains("failed to find a Kubernetes cluster") && errors.contains("Set KUBECONFIG"),
        "{errors}"
    );
}

#[test]
fn a_port_in_use_is_reported_with_exit_code_1() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound a port");
    let address = listener
        .local_addr()
        .expect("the listener has an address")
        .to_string();
    let (_folder, kubeconfig) = kubeconfig_of_missing_server();
    let output = output(
        command()
            .env("KUBECONFIG", kubeconfig)
            .args(["--http-listen", &address]),
    );
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    assert!(
        errors.contains(&format!(
            "failed to listen on {address} (setting `http-listen`)"
        )),
        "{errors}"
    );
}

#[test]
fn without_an_api_server_it_is_alive_but_not_ready_and_stops_on_sigterm() {
    let (_folder, kubeconfig) = kubeconfig_of_missing_server();
    let mut running = RunningController::start(
        command()
            .env("KUBECONFIG", kubeconfig)
            .args(["--http-listen", "127.0.0.1:0"]),
    );
    let line = running.wait_for_line("operations.address");
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let address = line["operations.address"]
        .as_str()
        .expect("text")
        .to_owned();
    let line = running.wait_for_line("failed to read the lease");
    assert!(line.to_lowercase().contains("connection refused"), "{line}");
    assert!(
        running
            .seen
            .iter()
            .any(|l| l.contains(r#""kube.namespace":"platform""#)),
        "the namespace comes from the kubeconfig"
    );
    assert!(get(&address, "/livez").starts_with("HTTP/1.1 200"));
    let response = get(&address, "/readyz");
    assert!(
        response.starts_with("HTTP/1.1 503") && response.contains("waiting for the Kubernetes API"),
        "{response}"
    );
    assert!(get(&address, "/metrics").contains(r#"resource="leases",outcome="unreachable""#));
    running.terminate();
    running.wait_for_line("stopped while standing by");
    assert_eq!(running.exit_code(), Some(0));
}
