//! Runs Neon's own tools unmodified: with another base URL, they work with the emulator as with the
//! service.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::common::TestEmulator;

/// Maximum duration of one tool run.
pub(crate) const TOOL_TIMEOUT: Duration = Duration::from_mins(2);
const ORGANIZATION: &str = "org-emulator-00000001";

/// The folder where the tools are installed.
pub(crate) fn tools() -> PathBuf {
    std::env::var_os("NEON_TOOLS").map(PathBuf::from).expect(
        "Neon's tools are missing: run `make test`, or `eval \"$(target/debug/xtask env)\"` first",
    )
}

pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/neon-tools")
        .join(name)
}

async fn world() -> TestEmulator {
    TestEmulator::start_with(|emulator| emulator.host_template("{endpoint}.localhost")).await
}

/// Runs a command with the environment that it needs to find the emulator.
async fn run(world: &TestEmulator, folder: &Path, mut command: Command) -> Output {
    let ca_file = folder.join("ca.pem");
    std::fs::write(&ca_file, world.emulator.ca_pem()).expect("writes");
    let port = world.emulator.data_addr().port().to_string();
    command
        .env("API_URL", world.emulator.api_url())
        .env("API_KEY", world.emulator.api_key())
        .env("DATA_PORT", &port)
        .env("NEON_API_HOST", world.emulator.api_url())
        .env("NEON_API_KEY", world.emulator.api_key())
        .env("CI", "1")
        .env("HOME", folder)
        .env("NODE_EXTRA_CA_CERTS", &ca_file)
        .env("PYTHONPATH", tools().join("python"))
        .env("PGHOSTADDR", "127.0.0.1")
        .env("PGPORT", &port)
        .env("NEON_TOOLS", tools())
        .kill_on_drop(true);
    let output = tokio::time::timeout(TOOL_TIMEOUT, command.output()).await;
    output.expect("it exits in time").expect("it can be run")
}

async fn succeeds(world: &TestEmulator, folder: &Path, command: Command) -> String {
    let what = format!("{:?}", command.as_std());
    let output = run(world, folder, command).await;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{what} ended with {}:\n{stdout}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

struct Cli {
    world: TestEmulator,
    folder: tempfile::TempDir,
}

impl Cli {
    async fn neon(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(tools().join("node_modules/.bin/neon"));
        command
            .args(["--no-analytics", "--config-dir"])
            .arg(self.folder.path())
            .args(["--output", "json"])
            .args(arguments);
        succeeds(&self.world, self.folder.path(), command).await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let stdout = self.neon(arguments).await;
        serde_json::from_str(&stdout).unwrap_or_else(|error| unreadable(arguments, &stdout, &error))
    }

    /// Runs a statement with psql and the unmodified connection string.
    async fn psql(&self, uri: &str, statement: &str) -> String {
        let program = std::env::var_os("PSQL").unwrap_or_else(|| "psql".into());
        let mut command = Command::new(program);
        command
            .args(["--no-psqlrc", "--tuples-only", "--no-align", "--command"])
            .args([statement, uri.trim()]);
        succeeds(&self.world, self.folder.path(), command).await
    }
}

#[expect(clippy::panic, reason = "the test ends here")]
fn unreadable(arguments: &[&str], stdout: &str, error: &serde_json::Error) -> Value {
    panic!("{arguments:?} did not print JSON ({error}):\n{stdout}")
}

#[tokio::test]
async fn the_command_line_creates_lists_gets_branches_connects_resets_and_deletes() {
    let cli = Cli {
        world: world().await,
        folder: tempfile::tempdir().expect("a folder"),
    };
    let created = cli
        .json(&[
            "projects",
            "create",
            "--name",
            "by-cli",
            "--org-id",
            ORGANIZATION,
        ])
        .await;
    let id = created["project"]["id"].as_str().expect("an id");
    let listed = cli
        .json(&["projects", "list", "--org-id", ORGANIZATION])
        .await;
    assert!(listed.to_string().contains(id), "{listed}");
    assert_eq!(cli.json(&["projects", "get", id]).await["name"], "by-cli");
    let main_uri = cli
        .neon(&["connection-string", "main", "--project-id", id])
        .await;
    cli.psql(&main_uri, "CREATE TABLE notes AS SELECT 'of main' AS text")
        .await;

    let of_project = ["--project-id", id];
    cli.json(
        &[
            &["branches", "create", "--name", "preview"][..],
            &of_project,
        ]
        .concat(),
    )
    .await;
    let branch_uri = cli
        .neon(&[&["connection-string", "preview"][..], &of_project].concat())
        .await;
    assert!(
        branch_uri.contains("channel_binding=require"),
        "{branch_uri}"
    );
    cli.psql(&branch_uri, "UPDATE notes SET text = 'of the branch'")
        .await;
    assert_eq!(
        cli.psql(&main_uri, "SELECT text FROM notes").await,
        "of main\n"
    );
    cli.json(
        &[
            &["branches", "reset", "preview", "--parent"][..],
            &of_project,
        ]
        .concat(),
    )
    .await;
    assert_eq!(
        cli.psql(&branch_uri, "SELECT text FROM notes").await,
        "of main\n"
    );
    let roles = cli
        .json(&[&["roles", "list", "--branch", "preview"][..], &of_project].concat())
        .await;
    assert_eq!(roles[0]["name"], "neondb_owner");
    cli.json(
        &[
            &[
                "databases",
                "create",
                "--name",
                "second",
                "--owner-name",
                "neondb_owner",
            ][..],
            &of_project,
        ]
        .concat(),
    )
    .await;
    cli.json(&[&["branches", "delete", "preview"][..], &of_project].concat())
        .await;
    cli.json(&["projects", "delete", id]).await;
    assert!(
        cli.world.emulator.projects().await.expect("projects")[0]
            .deleted_at
            .is_some()
    );
}

async fn node(name: &str) {
    let (world, folder) = (world().await, tempfile::tempdir().expect("a folder"));
    let mut command = Command::new("node");
    command.arg(script(name));
    succeeds(&world, folder.path(), command).await;
}

#[tokio::test]
async fn the_sdk_creates_branches_connects_resets_and_deletes() {
    node("sdk.mjs").await;
}

#[tokio::test]
async fn the_older_client_creates_branches_connects_resets_and_deletes() {
    node("api-client.mjs").await;
}

#[tokio::test]
async fn the_client_for_python_creates_branches_connects_resets_and_deletes() {
    let (world, folder) = (world().await, tempfile::tempdir().expect("a folder"));
    let mut command = Command::new("python3");
    command.arg(script("neon_api_client.py"));
    succeeds(&world, folder.path(), command).await;
}
