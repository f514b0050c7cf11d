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
use app::config::{self, Process, Work};
use app::telemetry;
use service_kit::settings::LoadError;
use tokio::runtime::Builder;
use tracing::{error, info};

const EXIT_INVALID_SETTINGS: u8 = 2;
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
    let (process, work) = match settings() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(process.worker_threads.get())
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("failed to start the runtime");
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let code = runtime.block_on(run(&process, work));
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT);
    code
}

/// Loads the settings. Prints the errors, or the help text.
fn settings() -> Result<(Process, Work), ExitCode> {
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    config::load(std::env::args_os(), &env).map_err(|error| match error {
        LoadError::CommandLine(error) => {
            // If printing fails, the exit code still reports the error.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_INVALID_SETTINGS))
        }
        error => {
            eprintln!("{error}");
            ExitCode::from(EXIT_INVALID_SETTINGS)
        }
    })
}

/// Runs the app and returns its exit code.
async fn run(process: &Process, work: Work) -> ExitCode {
    let identity = format!("{:08x}", rand::random::<u32>());
    let traces = service_kit::telemetry::start(
        &telemetry::PROGRAM,
        &process.log,
        process.trace.as_ref(),
        &identity,
    );
    let traces = match traces {
        Ok(traces) => traces,
        Err(error) => return failed(&error.into()),
    };
    info!(version = env!("CARGO_PKG_VERSION"), "chat-app starting");
    let result = app::run::run(work).await;
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
