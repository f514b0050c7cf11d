//! Builds the demo's programs and installs its servers at the same time, with one progress line for
//! everything.

use std::env;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use installer::cache::Cache;
use installer::external::{DATABASE_URL, KUBECONFIG, S3_ENDPOINT};
use installer::progress::{Progress, elapsed, say};
use installer::{ControllerManager, environment_variable};
use local_servers::process::Supervised;

const PACKAGES: [&str; 4] = ["controller", "app", "neon-emulator", "demo"];
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How many lines of cargo's output an error quotes.
const LOG_TAIL_LINES: usize = 60;

/// Returns when everything succeeded, or with the first error. After an error the other jobs end
/// with this process.
pub(crate) fn run() -> Result<()> {
    let jobs: [fn() -> Result<()>; 3] = [build_programs, download_servers, compile_servers];
    let (sender, results) = mpsc::channel();
    for job in jobs {
        let sender = sender.clone();
        thread::spawn(move || sender.send(job()));
    }
    drop(sender);
    results.into_iter().collect()
}

/// Runs cargo. Its progress bar goes to a log, from which the progress line takes the number of
/// compiled crates.
fn build_programs() -> Result<()> {
    let cache = Cache::of_user()?;
    std::fs::create_dir_all(cache.root())?;
    let log = cache.root().join("demo-build.log");
    let _ = std::fs::remove_file(&log);
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .arg("build")
        .args(PACKAGES.map(|package| format!("--package={package}")))
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "80");
    let mut process = Supervised::spawn(&command, &log)?;
    let mut progress = Progress::new("Rust programs");
    let status = loop {
        if let Some(status) = process.exited()? {
            break status;
        }
        let built = crates_built(&process.log_tail(1));
        progress
            .tick(&built.map_or_else(String::new, |(built, all)| format!("{built}/{all} crates")));
        thread::sleep(POLL_INTERVAL);
    };
    let took = progress.elapsed();
    drop(progress);
    if !status.success() {
        bail!(
            "cargo build exited with {status}; last lines of its output ({}):\n{}",
            log.display(),
            without_progress_bars(&process.log_tail(LOG_TAIL_LINES))
        );
    }
    if took > Duration::from_secs(10) {
        say(&format!("Built the Rust programs in {}.", elapsed(took)));
    }
    Ok(())
}

/// Components that are downloads: they take seconds to minutes of network time.
fn download_servers() -> Result<()> {
    installer::clients()?;
    installer::psql()?;
    if environment_variable(DATABASE_URL).is_none() {
        installer::postgres_bin()?;
    }
    installer::local_model()?;
    Ok(())
}

/// Components that are compiled with Go: they take minutes of processor time, unless they are on
/// the machine already.
fn compile_servers() -> Result<()> {
    if environment_variable(S3_ENDPOINT).is_none() {
        installer::versitygw()?;
    }
    if environment_variable(KUBECONFIG).is_none() {
        let binaries = installer::control_plane(ControllerManager::Optional)?;
        if binaries.kube_controller_manager.is_none() {
            say(&format!(
                "Using {} without a kube-controller-manager: in the demo's cluster the connection Secret of a deleted \
                 Tenant stays.",
                binaries.kube_apiserver.display()
            ));
        }
    }
    Ok(())
}

/// Parses cargo's progress bar, such as `Building [====>   ] 123/456: serde, tokio`.
fn crates_built(output: &str) -> Option<(u32, u32)> {
    let bar = output.rsplit("Building [").next()?;
    let counts = bar.split_once("] ")?.1.split(':').next()?;
    let (built, all) = counts.split_once('/')?;
    Some((built.trim().parse().ok()?, all.trim().parse().ok()?))
}

/// Cargo ends a progress bar with a carriage return and an escape sequence that clears the line.
fn without_progress_bars(output: &str) -> String {
    let lines = output.lines().map(|line| {
        let text = line
            .rsplit(['\r'])
            .find(|part| !part.contains("Building ["));
        text.unwrap_or_default().trim_start_matches("\x1b[K")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_compiled_crates_is_parsed_from_cargos_progress_bar() {
        let output = "   Compiling serde v1.0\n    Building [=>      ] 12/455: serde\r    Building [==>     ] 13/455: serde, tokio(build)";
        assert_eq!(crates_built(output), Some((13, 455)));
        assert_eq!(crates_built("    Finished `dev` profile"), None);
    }

    #[test]
    fn errors_do_not_quote_progress_bars() {
        let output =
            "    Building [=> ] 1/2: app\r\x1b[Kerror: expected `;`\n --> app/src/main.rs:1:1";
        assert_eq!(
            without_progress_bars(output),
            "error: expected `;`\n --> app/src/main.rs:1:1"
        );
    }
}
