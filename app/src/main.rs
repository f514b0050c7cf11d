//! The `chat-app` program: loads the settings, starts telemetry and runs the app until it is asked
//! to shut down.
//!
//! Exit codes: 0 after a requested shutdown, 1 after a failure, 2 for invalid settings.
//!
//! With the argument `extract`, the program is the sandboxed child process that reads one PDF. It
//! then reads neither settings nor environment variables.

use std::ffi::OsStr;
use std::process::ExitCode;

use app::config;
use app::run::run;
use app::telemetry::PROGRAM;
use service_kit::process;

/// The argument that `pdf_text::ExtractorConfig` passes to the child process.
const EXTRACT: &str = "extract";

fn main() -> ExitCode {
    if std::env::args_os().nth(1).as_deref() == Some(OsStr::new(EXTRACT)) {
        return pdf_text::child::main();
    }
    process::install_crypto_provider();
    let role = match config::load(std::env::args_os(), &process::environment()) {
        Ok(role) => role,
        Err(error) => return error.print(PROGRAM.name),
    };
    let runtime = match process::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return process::fail(&PROGRAM, &error),
    };
    let identity = format!("{:08x}", rand::random::<u32>());
    let telemetry = role.telemetry().clone();
    process::run(runtime, &PROGRAM, &telemetry, &identity, run(role))
}
