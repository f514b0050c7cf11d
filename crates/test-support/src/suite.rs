//! Runs tests on a shared cluster, which is checked and stopped after the last of them.
//!
//! ```no_run
//! use anyhow::Result;
//! use test_support::{Scenario, suite};
//!
//! async fn a_tenant_becomes_ready(scenario: &Scenario) -> Result<()> {
//!     scenario.apply("acme", serde_json::json!({})).await?;
//!     scenario.wait_until_ready("acme").await?;
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     suite::run(vec![suite::test("a_tenant_becomes_ready", a_tenant_becomes_ready)])
//! }
//! ```
//!
//! All tests run on one runtime, so they can share clients and connections.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use futures::FutureExt as _;
pub use libtest_mimic::Trial;
use libtest_mimic::{Arguments, Failed};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Mutex;

use crate::report::KEEP_FOLDERS;
use crate::shared_site::SharedSite;
use crate::{Cluster, ClusterOptions, Scenario, Site, checks, timeouts};

pub use crate::report::say;

/// Tests that run in parallel, unless `--test-threads` is given. They mostly wait.
const TEST_THREADS: usize = 10;
/// Threads of the runtime, which also runs the emulator.
const WORKER_THREADS: usize = 4;
/// How many lines of the app's logs a failed test prints.
const SITE_LOG_LINES: usize = 60;

/// The shared cluster. The first test starts it.
static SHARED: Mutex<SharedCluster> = Mutex::const_new(SharedCluster::NotStarted);

enum SharedCluster {
    NotStarted,
    Running(Arc<Cluster>),
    Failed(String),
}

/// Defines `tests()`, which returns a list of test functions, named by module and function.
#[macro_export]
macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        pub(crate) fn tests() -> Vec<$crate::suite::Trial> {
            vec![$($crate::suite::test(concat!(module_path!(), "::", stringify!($test)), $test)),+]
        }
    };
}

/// A test on the shared cluster. `name` is the test's path; its first part, the name of the binary,
/// is omitted.
pub fn test<F>(name: &'static str, test: F) -> Trial
where
    F: AsyncFnOnce(&Scenario) -> Result<()> + Send + 'static,
{
    let short = without_binary(name);
    Trial::test(short, move || {
        on_runtime(async { run_scenario(short, shared_cluster().await?, test).await })
    })
}

/// A test with its own cluster, which is checked and stopped after the test.
pub fn test_on<F>(name: &'static str, options: ClusterOptions, test: F) -> Trial
where
    F: AsyncFnOnce(&Scenario) -> Result<()> + Send + 'static,
{
    let short = without_binary(name);
    Trial::test(short, move || {
        on_runtime(async {
            let cluster = Arc::new(Cluster::start(options).await?);
            let result = run_scenario(short, Arc::clone(&cluster), test).await;
            let checked = check_and_stop(cluster).await;
            result.and(checked)
        })
    })
}

/// A test that starts its own servers and has its own timeout.
pub fn test_alone<F>(name: &'static str, timeout: Duration, test: F) -> Trial
where
    F: AsyncFnOnce() -> Result<()> + Send + 'static,
{
    Trial::test(without_binary(name), move || {
        on_runtime(async {
            let result = tokio::time::timeout(timeout, test()).await;
            result.with_context(|| format!("the test timed out after {} s", timeout.as_secs()))?
        })
    })
}

/// A test on a shared site. Tests on a serial site run one at a time.
pub fn test_site<F>(name: &'static str, shared: &'static SharedSite, test: F) -> Trial
where
    F: AsyncFnOnce(&Site) -> Result<()> + Send + 'static,
{
    let short = without_binary(name);
    Trial::test(short, move || {
        on_runtime(async {
            let guard = shared.acquire().await?;
            let test = async {
                tokio::select! {
                    result = test(&guard.site) => result,
                    error = guard.site.unexpected_exit() => Err(error),
                }
            };
            let result = run_to_completion(timeouts::SITE_TEST, test).await;
            if let Err(error) = &result {
                let logs = guard.site.log_tails(SITE_LOG_LINES).await;
                let error = format_error(error);
                say(&format!("\n=== {short} failed: {error}\n{logs}"));
            }
            result
        })
    })
}

/// Runs the tests that the command line selects. It accepts the arguments of any Rust test binary.
pub fn run(tests: Vec<Trial>) -> ExitCode {
    run_and_then(tests, async { Ok(()) })
}

/// Like [`run`]; `cleanup` runs after the last test, before the shared cluster is stopped.
pub fn run_and_then(tests: Vec<Trial>, cleanup: impl Future<Output = Result<()>>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TEST_THREADS);
    let conclusion = libtest_mimic::run(&arguments, tests);
    match on_runtime(async { cleanup.await.and(stop_shared_cluster().await) }) {
        Ok(()) => conclusion.exit_code(),
        Err(failed) => {
            say(&format!(
                "\nThe checks after the last test failed: {}",
                failed.message().unwrap_or_default()
            ));
            ExitCode::FAILURE
        }
    }
}

fn without_binary(name: &'static str) -> &'static str {
    name.split_once("::").map_or(name, |(_, rest)| rest)
}

fn on_runtime(work: impl Future<Output = Result<()>>) -> Result<(), Failed> {
    runtime()?
        .block_on(work)
        .map_err(|error| Failed::from(format_error(&error)))
}

/// An error with its causes and, if `RUST_BACKTRACE` is set, the lines of the tests it came from.
fn format_error(error: &anyhow::Error) -> String {
    let backtrace = error.backtrace().to_string();
    let frames = backtrace.lines().map(str::trim).filter(|line| {
        line.starts_with("at ./tests/") || line.starts_with("at ./crates/test-support/")
    });
    frames.fold(format!("{error:#}"), |text, frame| {
        format!("{text}\n  {frame}")
    })
}

fn runtime() -> Result<&'static Runtime, Failed> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(WORKER_THREADS)
            .enable_all()
            .build()
    });
    runtime
        .as_ref()
        .map_err(|error| Failed::from(format!("failed to start the runtime: {error}")))
}

async fn shared_cluster() -> Result<Arc<Cluster>> {
    let mut shared = SHARED.lock().await;
    if let SharedCluster::NotStarted = &*shared {
        *shared = match Cluster::start(ClusterOptions::default()).await {
            Ok(cluster) => SharedCluster::Running(Arc::new(cluster)),
            Err(error) => SharedCluster::Failed(format_error(&error)),
        };
    }
    match &*shared {
        SharedCluster::Running(cluster) => Ok(Arc::clone(cluster)),
        SharedCluster::Failed(error) => Err(anyhow!("failed to start the shared cluster: {error}")),
        SharedCluster::NotStarted => unreachable!("it was just started"),
    }
}

async fn run_scenario<F>(name: &str, cluster: Arc<Cluster>, test: F) -> Result<()>
where
    F: AsyncFnOnce(&Scenario) -> Result<()>,
{
    let scenario = Scenario::new(cluster, name).await?;
    let test = async {
        tokio::select! {
            result = test(&scenario) => result,
            error = scenario.cluster().unexpected_exit() => Err(error),
        }
    };
    let mut result = run_to_completion(timeouts::TEST, test).await;
    if result.is_ok() {
        result = Box::pin(scenario.finish()).await;
    }
    if let Err(error) = &result {
        say(&format!(
            "\n=== {name} failed: {}\n{}",
            format_error(error),
            scenario.report().await
        ));
        scenario.clean_up().await;
    }
    result
}

/// The result of a test; a timeout or a panic becomes an error.
async fn run_to_completion(
    timeout: Duration,
    test: impl Future<Output = Result<()>>,
) -> Result<()> {
    let outcome = AssertUnwindSafe(tokio::time::timeout(timeout, test))
        .catch_unwind()
        .await;
    match outcome {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(anyhow!("the test timed out after {} s", timeout.as_secs())),
        Err(panic) => Err(anyhow!("{}", panic_message(&*panic))),
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the test panicked without a message".to_owned())
}

async fn stop_shared_cluster() -> Result<()> {
    let shared = std::mem::replace(&mut *SHARED.lock().await, SharedCluster::NotStarted);
    match shared {
        SharedCluster::Running(cluster) => check_and_stop(cluster).await,
        SharedCluster::NotStarted | SharedCluster::Failed(_) => Ok(()),
    }
}

/// Runs the checks that apply to the whole cluster, and stops it.
pub async fn check_and_stop(cluster: Arc<Cluster>) -> Result<()> {
    let checked = checks::check_cluster(&cluster).await;
    let mut cluster = Arc::into_inner(cluster).context("a test still uses the cluster")?;
    if std::env::var_os(KEEP_FOLDERS).is_some() {
        cluster.keep_folder();
        say(&format!(
            "The logs are in {} and {}",
            cluster.folder().display(),
            cluster.plane().folder().display()
        ));
    }
    cluster.stop().await;
    checked
}
