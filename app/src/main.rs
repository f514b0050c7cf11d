//! The process: settings, telemetry, and then the app until it is asked to stop.
//!
//! Exit codes: 0 after a stop that was asked for, 1 after a failure, 2 for wrong settings.
//!
//! Started with `extract`, it is something else entirely: the confined process that reads one PDF. It looks at nothing else then,
//! neither settings nor environment.

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

/// Wrong settings.
const EXIT_SETTINGS: u8 = 2;
/// Threads for what cannot be awaited (name resolution, files, the local model), at most.
const BLOCKING_THREADS_MAX: usize = 32;
/// Limit on the end of tasks that outlived their owners, when the process ends.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// The argument that [`pdf_text::ExtractorConfig::current_exe`] gives.
const EXTRACT: &str = "extract";

fn main() -> ExitCode {
    if std::env::args_os().nth(1).as_deref() == Some(OsStr::new(EXTRACT)) {
        return pdf_text::child::main();
    }
    // Fails only if a provider is set already, which will do as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (process, work) = match settings() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(process.worker_threads.get())
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .context("the runtime cannot be started");
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let code = runtime.block_on(live(&process, work));
    runtime.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
    code
}

/// What to do and the settings; prints what is wrong with them, or the help that was asked for.
fn settings() -> Result<(Process, Work), ExitCode> {
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    config::load(std::env::args_os(), &env).map_err(|error| match error {
        LoadError::CommandLine(error) => {
            // Without a place to print to, the exit code has to do.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_SETTINGS))
        }
        error => {
            eprintln!("{error}");
            ExitCode::from(EXIT_SETTINGS)
        }
    })
}

/// Everything between the settings and the exit code.
async fn live(process: &Process, work: Work) -> ExitCode {
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
    info!("chat-app {} starts", env!("CARGO_PKG_VERSION"));
    let ended = app::run::run(work).await;
    if let Err(error) = &ended {
        let error = service_kit::error_chain(error);
        error!(error = %error, "The app ends: {error}");
    }
    traces.flush().await;
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// For failures before there are log lines.
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("chat-app: {error:#}");
    ExitCode::FAILURE
}
