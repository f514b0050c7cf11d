//! Tests the binary: it reports when it is ready, and leaves nothing behind.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{WAIT_TIMEOUT, folder_for_all};

const POLL_INTERVAL: Duration = Duration::from_millis(10);

fn serve(folder: &Path, flags: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_neon-emulator"))
        .args(["serve", "--embedded", "--api-key", "key-1", "--ready-file"])
        .arg(folder.join("ready.json"))
        .arg("--ca-file")
        .arg(folder.join("ca.crt"))
        .args(flags)
        // Keeps the environment of the developer from affecting the test.
        .env_remove("NEON_EMULATOR_POSTGRES")
        .env("TMPDIR", folder)
        .stderr(Stdio::null())
        .spawn()
        .expect("starts")
}

async fn ready(folder: &Path, child: &mut Child) -> Value {
    let limit = Instant::now() + WAIT_TIMEOUT;
    loop {
        // The file is written atomically, so it is complete if it exists.
        if let Ok(text) = std::fs::read(folder.join("ready.json")) {
            return serde_json::from_slice(&text).expect("JSON");
        }
        assert!(
            child.try_wait().expect("can be asked").is_none(),
            "the emulator exited"
        );
        assert!(Instant::now() < limit, "the emulator did not become ready");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn wait_until_missing(path: &Path) {
    let limit = Instant::now() + WAIT_TIMEOUT;
    while path.exists() {
        assert!(Instant::now() < limit, "{} still exists", path.display());
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The data folder and the process ID of the PostgreSQL server whose temporary files are in this
/// folder.
fn postgres_in(folder: &Path) -> (std::path::PathBuf, String) {
    let entries = std::fs::read_dir(folder)
        .expect("reads")
        .flatten()
        .map(|entry| entry.path());
    let mut data = entries.filter(|path| path.join("cluster").is_dir());
    let data = data.next().expect("a data folder");
    let pid = std::fs::read_to_string(data.join("cluster/postmaster.pid")).expect("reads");
    (data, pid.lines().next().expect("a pid").to_owned())
}

#[tokio::test]
async fn sigterm_stops_the_emulator_and_everything_it_started() {
    let folder = folder_for_all();
    let mut child = serve(
        folder.path(),
        &["--fault", "getProject:503:times=1", "--latency", "instant"],
    );
    let ready_file = ready(folder.path(), &mut child).await;
    assert!(
        std::fs::read_to_string(folder.path().join("ca.crt"))
            .expect("reads")
            .contains("BEGIN CERTIFICATE")
    );
    let url = ready_file["api_url"].as_str().expect("text");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    let status = |path: String| {
        let request = http.get(path).bearer_auth("key-1");
        async move { request.send().await.expect("an answer").status().as_u16() }
    };
    assert_eq!(status(format!("{url}/projects")).await, 200);
    assert_eq!(
        status(format!("{url}/projects/no-such-1")).await,
        503,
        "the fault of the --fault flag"
    );
    assert_eq!(status(format!("{url}/projects/no-such-1")).await, 404);

    let (data, pid) = postgres_in(folder.path());
    let killed = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(killed.success());
    let ended = tokio::task::spawn_blocking(move || child.wait())
        .await
        .expect("joins")
        .expect("ends");
    assert!(ended.success(), "{ended}");
    assert!(
        !Path::new("/proc").join(&pid).exists(),
        "PostgreSQL exited first"
    );
    assert!(!data.exists() && !folder.path().join("ready.json").exists());
}

#[tokio::test]
async fn a_killed_emulator_leaves_no_postgres_process_and_no_data_behind() {
    let folder = folder_for_all();
    let mut child = serve(folder.path(), &[]);
    ready(folder.path(), &mut child).await;
    let (data, pid) = postgres_in(folder.path());
    assert!(Path::new("/proc").join(&pid).exists());
    child.kill().expect("SIGKILL");
    child.wait().expect("gone");
    wait_until_missing(&Path::new("/proc").join(&pid)).await;
    wait_until_missing(&data).await;
}

#[test]
fn invalid_flags_are_reported_before_anything_is_started() {
    for (flags, word) in [
        (&["serve", "--api-key", "k"][..], "--embedded"),
        (&["serve", "--embedded"], "--api-key"),
        (
            &[
                "serve",
                "--embedded",
                "--api-key",
                "k",
                "--fault",
                "createProject",
            ],
            "effect is missing",
        ),
        (
            &[
                "serve",
                "--embedded",
                "--api-key",
                "k",
                "--fault",
                "createProjct:503",
            ],
            "unknown operation createProjct",
        ),
        (
            &[
                "serve",
                "--embedded",
                "--postgres",
                "postgresql://x",
                "--api-key",
                "k",
            ],
            "cannot be combined with",
        ),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neon-emulator"));
        for name in [
            "NEON_EMULATOR_POSTGRES",
            "NEON_EMULATOR_EMBEDDED",
            "NEON_EMULATOR_API_KEY",
        ] {
            command.env_remove(name);
        }
        let output = command.args(flags).output().expect("runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && text.contains(word),
            "{flags:?}: {text}"
        );
    }
}
