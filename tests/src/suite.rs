//! Runs tests. They share one cluster; after the last of them it is checked as a whole, and stopped.
//!
//! ```no_run
//! use anyhow::Result;
//! use tests::{Case, suite};
//!
//! async fn a_tenant_becomes_a_database(case: &Case) -> Result<()> {
//!     case.apply("acme", serde_json::json!({})).await?;
//!     case.ready("acme").await?;
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     suite::run(vec![suite::test("a_tenant_becomes_a_database", a_tenant_becomes_a_database)])
//! }
//! ```
//!
//! Everything runs on one runtime, so that clients and connections may be shared between tests.

use std::io::Write as _;
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

use crate::site::Shared as SharedSite;
use crate::{Case, Cluster, ClusterOptions, Site, checks, limits};

/// Tests that run at once when nothing else is said (`--test-threads`): they mostly wait.
const TEST_THREADS: usize = 10;
/// Threads of the runtime. The emulator runs on it.
const WORKER_THREADS: usize = 4;
/// How much of the app's logs a failed test shows.
const SITE_LOG_LINES: usize = 60;
/// Set to anything to leave the folders of clusters, with their logs, where they are.
pub const KEEP: &str = "E2E_KEEP";

/// The cluster that tests share; it is started by the first of them.
static SHARED: Mutex<Shared> = Mutex::const_new(Shared::NotStarted);

enum Shared {
    NotStarted,
    Running(Arc<Cluster>),
    Failed(String),
}

/// Makes a list of tests from functions, each under the name of its module and its own.
#[macro_export]
macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        /// The tests of this module.
        pub(crate) fn tests() -> Vec<$crate::suite::Trial> {
            vec![$($crate::suite::test(concat!(module_path!(), "::", stringify!($test)), $test)),+]
        }
    };
}

/// A test on the shared cluster. `name` is its path; the first part, the binary's name, is left out.
pub fn test<F>(name: &'static str, test: F) -> Trial
where
    F: AsyncFnOnce(&Case) -> Result<()> + Send + 'static,
{
    let short = short(name);
    Trial::test(short, move || {
        on_runtime(async { run_case(short, shared().await?, test).await })
    })
}

/// A test on a cluster of its own, which is checked and stopped after it.
pub fn test_on<F>(name: &'static str, options: ClusterOptions, test: F) -> Trial
where
    F: AsyncFnOnce(&Case) -> Result<()> + Send + 'static,
{
    let short = short(name);
    Trial::test(short, move || {
        on_runtime(async {
            let cluster = Arc::new(Cluster::start(options).await?);
            let result = run_case(short, Arc::clone(&cluster), test).await;
            let ending = end(cluster).await;
            result.and(ending)
        })
    })
}

/// A test that starts what it needs itself, within a limit of its own.
pub fn test_alone<F>(name: &'static str, limit: Duration, test: F) -> Trial
where
    F: AsyncFnOnce() -> Result<()> + Send + 'static,
{
    Trial::test(short(name), move || {
        on_runtime(async {
            let ended = tokio::time::timeout(limit, test()).await;
            ended.with_context(|| format!("the test did not end within {} s", limit.as_secs()))?
        })
    })
}

/// A test on a site that several tests share, one after the other where they disturb it.
pub fn test_site<F>(name: &'static str, shared: &'static SharedSite, test: F) -> Trial
where
    F: AsyncFnOnce(&Site) -> Result<()> + Send + 'static,
{
    let short = short(name);
    Trial::test(short, move || {
        on_runtime(async {
            let turn = shared.turn().await?;
            let ended = AssertUnwindSafe(tokio::time::timeout(limits::STORY, test(&turn.site)))
                .catch_unwind()
                .await;
            let result = match ended {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(anyhow!(
                    "the test did not end within {} s",
                    limits::STORY.as_secs()
                )),
                Err(panic) => Err(anyhow!("{}", panic_message(&*panic))),
            };
            if let Err(error) = &result {
                let logs = turn.site.log_tails(SITE_LOG_LINES).await;
                say(&format!("\n=== {short} failed: {}\n{logs}", told(error)));
            }
            result
        })
    })
}

/// Runs the tests that the command line asks for; takes the arguments of any Rust test binary.
pub fn run(tests: Vec<Trial>) -> ExitCode {
    run_and_then(tests, async { Ok(()) })
}

/// The same, and after the last of them what ends what they shared beside the cluster.
pub fn run_and_then(tests: Vec<Trial>, ending: impl Future<Output = Result<()>>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TEST_THREADS);
    let conclusion = libtest_mimic::run(&arguments, tests);
    match on_runtime(async { ending.await.and(end_shared().await) }) {
        Ok(()) => conclusion.exit_code(),
        Err(failed) => {
            say(&format!(
                "\nAfter all tests: {}",
                failed.message().unwrap_or_default()
            ));
            ExitCode::FAILURE
        }
    }
}

fn short(name: &'static str) -> &'static str {
    name.split_once("::").map_or(name, |(_, rest)| rest)
}

fn on_runtime(work: impl Future<Output = Result<()>>) -> Result<(), Failed> {
    runtime()?
        .block_on(work)
        .map_err(|error| Failed::from(told(&error)))
}

/// An error with its causes, and where in the tests it came up, if backtraces are on (`RUST_BACKTRACE=1`).
fn told(error: &anyhow::Error) -> String {
    let backtrace = error.backtrace().to_string();
    let places = backtrace
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("at ./tests/"));
    places.fold(format!("{error:#}"), |text, place| {
        format!("{text}\n  {place}")
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
        .map_err(|error| Failed::from(format!("no runtime: {error}")))
}

async fn shared() -> Result<Arc<Cluster>> {
    let mut shared = SHARED.lock().await;
    if let Shared::NotStarted = &*shared {
        *shared = match Cluster::start(ClusterOptions::default()).await {
            Ok(cluster) => Shared::Running(Arc::new(cluster)),
            Err(error) => Shared::Failed(told(&error)),
        };
    }
    match &*shared {
        Shared::Running(cluster) => Ok(Arc::clone(cluster)),
        Shared::Failed(error) => Err(anyhow!("the shared cluster did not start: {error}")),
        Shared::NotStarted => unreachable!("it was just started"),
    }
}

async fn run_case<F>(name: &str, cluster: Arc<Cluster>, test: F) -> Result<()>
where
    F: AsyncFnOnce(&Case) -> Result<()>,
{
    let case = Case::new(cluster, name).await?;
    let outcome = AssertUnwindSafe(tokio::time::timeout(limits::TEST, test(&case)))
        .catch_unwind()
        .await;
    let mut result = match outcome {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(anyhow!(
            "the test did not end within {} s",
            limits::TEST.as_secs()
        )),
        Err(panic) => Err(anyhow!("{}", panic_message(&*panic))),
    };
    if result.is_ok() {
        result = Box::pin(case.finish()).await;
    }
    if let Err(error) = &result {
        say(&format!(
            "\n=== {name} failed: {}\n{}",
            told(error),
            case.report().await
        ));
        case.abandon().await;
    }
    result
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

async fn end_shared() -> Result<()> {
    let shared = std::mem::replace(&mut *SHARED.lock().await, Shared::NotStarted);
    match shared {
        Shared::Running(cluster) => end(cluster).await,
        Shared::NotStarted | Shared::Failed(_) => Ok(()),
    }
}

/// Checks a cluster as a whole and stops it.
pub async fn end(cluster: Arc<Cluster>) -> Result<()> {
    let checked = checks::whole(&cluster).await;
    let mut cluster = Arc::into_inner(cluster).context("a test still holds the cluster")?;
    if std::env::var_os(KEEP).is_some() {
        cluster.keep_folder();
        say(&format!(
            "Logs are left in {} and {}",
            cluster.folder().display(),
            cluster.plane().folder().display()
        ));
    }
    cluster.stop().await;
    checked
}

/// Reports go to standard error in one piece.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
