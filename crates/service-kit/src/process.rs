//! The life of a program's process: its environment, its runtime and its exit code.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tracing::{error, info};

use crate::error_chain;
use crate::telemetry::{self, Program, TelemetrySettings};

/// Threads of the async runtime. The programs mostly wait, and each thread costs memory.
const WORKER_THREADS: usize = 2;
/// Threads for blocking calls: name resolution, files, the local model. Each thread uses memory.
const MAX_BLOCKING_THREADS: usize = 32;
/// How long the process waits for blocking calls when it exits.
const RUNTIME_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// The environment variables that are valid UTF-8.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Makes ring the TLS provider of the process. Call it before the first TLS connection.
pub fn install_crypto_provider() {
    // Fails only if a provider is already installed, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The async runtime of a program.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .enable_all()
        .build()
}

/// Starts telemetry and runs the program until it ends. Logs its error, sends the remaining traces
/// and returns the exit code: 0 after success and 1 after an error. `instance_id` distinguishes
/// replicas.
pub fn run<E>(
    runtime: Runtime,
    program: &Program,
    settings: &TelemetrySettings,
    instance_id: &str,
    main: impl Future<Output = Result<(), E>>,
) -> ExitCode
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let code = runtime.block_on(async {
        let traces = match telemetry::start(program, settings, instance_id) {
            Ok(traces) => traces,
            Err(error) => return fail(program, &error),
        };
        info!(
            version = program.version,
            instance.id = instance_id,
            "starting"
        );
        let result = main.await.map_err(Into::into);
        if let Err(error) = &result {
            error!(error = %error_chain(error.as_ref()), "exiting after an error");
        }
        traces.flush().await;
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        }
    });
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT);
    code
}

/// Reports an error that occurs before logging is set up, and returns the exit code 1.
pub fn fail(program: &Program, error: &(dyn Error + 'static)) -> ExitCode {
    eprintln!("{}: {}", program.name, error_chain(error));
    ExitCode::FAILURE
}
