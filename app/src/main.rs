//! The `chat-app` program: loads the settings, starts telemetry and runs the app until it is asked
//! to shut down.
//!
//! Exit codes: 0 after a requested shutdown, 1 after a failure, 2 for invalid settings.
//!
//! With the argument `extract`, the program is the sandboxed child process that reads one PDF. It
//! then reads neither settings nor environment variables.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use app::config::{self, Role};
use app::telemetry;
use tokio::runtime::Builder;
use tracing::{error, info};

/// Threads of the async runtime. PDFs are read in processes of their own.
const WORKER_THREADS: usize = 2;
/// For name resolution, files and the local model.
const MAX_BLOCKING_THREADS: usize = 32;
/// How long the runtime waits for remaining tasks at exit.
const RUNTIME_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);
/// The argument that `pdf_text::ExtractorConfig` passes to the child process.
const EXTRACT: &str = "extract";

fn main() -> ExitCode {
    if std::env::args_os().nth(1).as_deref() == Some(OsStr::new(EXTRACT)) {
        return pdf_text::child::main();
    }
    // Fails only if a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let role = match settings() {
        Ok(role) => role,
        Err(code) => return code,
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("failed to start the runtime");
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let code = runtime.block_on(run(role));
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT);
    code
}

/// Loads the settings. Prints the errors, or the help text.
fn settings() -> Result<Role, ExitCode> {
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    config::load(std::env::args_os(), &env).map_err(|error| ExitCode::from(error.print("chat-app")))
}

/// Runs the app and returns its exit code.
async fn run(role: Role) -> ExitCode {
    let identity = format!("{:08x}", rand::random::<u32>());
    let traces = service_kit::telemetry::start(&telemetry::PROGRAM, role.telemetry(), &identity);
    let traces = match traces {
        Ok(traces) => traces,
        Err(error) => return failed(&error.into()),
    };
    info!(version = env!("CARGO_PKG_VERSION"), "chat-app starting");
    let result = app::run::run(role).await;
    if let Err(error) = &result {
        error!(error = %service_kit::error_chain(error), "chat-app failed");
    }
    traces.flush().await;
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Reports failures that occur before logging is set up.
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("chat-app: {error:#}");
    ExitCode::FAILURE
}
