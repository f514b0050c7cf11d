//! The demo restarts a program that exits, and says so.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use crds::{ConditionType, Tenant, TenantSpec, is_true};
use kube::Api;
use kube::api::PostParams;
use local_stack::control_plane::client_for;

/// From the start until the demo prints its instructions, which takes half a minute on an idle
/// machine.
const START_TIMEOUT: Duration = Duration::from_mins(5);
/// Until the demo has noticed that a program exited.
const RESTART_TIMEOUT: Duration = Duration::from_mins(1);
/// Until a restarted program does its work. The Lease of a killed controller has to expire first.
const WORKING_TIMEOUT: Duration = Duration::from_mins(3);
const STOP_TIMEOUT: Duration = Duration::from_mins(1);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_exit_are_restarted() -> Result<()> {
    let mut demo = Demo::start()?;
    let kubeconfig = demo.wait_for(START_TIMEOUT, |line| {
        let (path, _) = line.strip_prefix("(KUBECONFIG=")?.split_once(';')?;
        Some(path.to_owned())
    })?;
    let url = demo.wait_for(START_TIMEOUT, |line| {
        line.trim()
            .starts_with("http://")
            .then(|| line.trim().to_owned())
    })?;
    demo.wait_for(START_TIMEOUT, |line| {
        line.contains("Press Ctrl-C").then_some(())
    })?;

    demo.kill("tenant-controller")?;
    demo.wait_for_restart_of("the controller")?;
    let tenants: Api<Tenant> =
        Api::namespaced(client_for(Path::new(&kubeconfig)).await?, "tenants");
    let tenant = Tenant::new("after-restart", TenantSpec::default());
    tenants.create(&PostParams::default(), &tenant).await?;
    wait_until("the restarted controller provisions a Tenant", async || {
        let status = tenants.get("after-restart").await?.status;
        Ok(status.is_some_and(|status| is_true(&status.conditions, ConditionType::Ready)))
    })
    .await?;

    demo.kill("chat-app")?;
    demo.wait_for_restart_of("the app")?;
    wait_until("the restarted app serves its start page", async || {
        Ok(reqwest::get(&url).await?.status().is_success())
    })
    .await?;

    let status = demo.stop()?;
    ensure!(status.success(), "the demo exited with {status}");
    Ok(())
}

/// A running demo. Dropping it stops the demo.
struct Demo {
    process: Child,
    lines: Receiver<String>,
    output: String,
}

impl Demo {
    /// Starts the demo with servers of its own.
    fn start() -> Result<Self> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_demo"))
            .arg("run")
            .env_remove("KUBECONFIG")
            .env_remove("DATABASE_URL")
            .env_remove("S3_ENDPOINT")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(process.stdout.take().context("no standard output")?);
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            process,
            lines,
            output: String::new(),
        })
    }

    /// Reads the output until a line has what the caller looks for.
    fn wait_for<T>(&mut self, timeout: Duration, find: impl Fn(&str) -> Option<T>) -> Result<T> {
        let started = Instant::now();
        loop {
            let rest = timeout.saturating_sub(started.elapsed());
            match self.lines.recv_timeout(rest) {
                Ok(line) => {
                    self.output.push_str(&line);
                    self.output.push('\n');
                    if let Some(found) = find(&line) {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!(
                    "the demo did not print the expected line within {} s:\n{}",
                    timeout.as_secs(),
                    self.output
                ),
                Err(RecvTimeoutError::Disconnected) => bail!("the demo exited:\n{}", self.output),
            }
        }
    }

    fn wait_for_restart_of(&mut self, program: &str) -> Result<()> {
        let expected = format!("Restarting {program}, which exited");
        self.wait_for(RESTART_TIMEOUT, |line| {
            line.contains(&expected).then_some(())
        })
    }

    /// Kills a program of this demo with SIGKILL.
    fn kill(&self, program: &str) -> Result<()> {
        let pids = fs::read_dir("/proc")?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut of_this_demo = pids.filter(|pid| {
            // The demo is the parent of the program's supervisor.
            parent(*pid).and_then(parent) == Some(self.process.id())
        });
        let pid = of_this_demo
            .find(|pid| is_running(*pid, program))
            .with_context(|| format!("the demo does not run {program}"))?;
        signal("KILL", pid)
    }

    fn stop(&mut self) -> Result<ExitStatus> {
        signal("INT", self.process.id())?;
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            ensure!(
                started.elapsed() < STOP_TIMEOUT,
                "the demo is still running {} s after SIGINT",
                STOP_TIMEOUT.as_secs()
            );
            thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) && self.stop().is_err() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain spaces; the state and the parent's id follow.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn is_running(pid: u32, program: &str) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path.ends_with(program))
}

fn signal(name: &str, pid: u32) -> Result<()> {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status()?;
    ensure!(
        status.success(),
        "failed to send SIG{name} to process {pid}"
    );
    Ok(())
}

async fn wait_until(what: &str, condition: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    loop {
        let result = condition().await;
        if matches!(result, Ok(true)) {
            return Ok(());
        }
        if started.elapsed() > WORKING_TIMEOUT {
            result?;
            bail!("timed out after {} s: {what}", WORKING_TIMEOUT.as_secs());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
