//! Benchmarks: how much the controller adds to a baseline, how close it comes to the account's
//! quota with many new Tenants, and what ten thousand idle ones cost; the chat app's sign-up, PDF
//! ingestion and memory; and the Neon client and the emulator on their own.
//!
//! Each benchmark starts its own cluster, with the emulator and the controller as separate
//! processes. The figures go to `target/bench/results.json`, and from there to
//! `docs/benchmarks.md`. A run of selected benchmarks (`--only`) keeps the figures of the others.
//! `--quick` uses small numbers to try the benchmarks, and does not write to `docs`.

mod app;
mod baseline;
mod concurrency;
mod data_plane;
mod environment;
mod figure;
mod fleet;
mod idle;
mod machine;
mod neon;
mod ready;
mod ready_times;
mod report;
mod rollout;
mod seed;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use local_stack::repository;

use crate::figure::{Figure, merge};

#[derive(Debug, Parser)]
#[command(
    about = "Measures the controller; writes target/bench/results.json and docs/benchmarks.md"
)]
struct Arguments {
    /// Run only these benchmarks; the figures of the others are kept.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Benchmark>,
    /// Use small numbers, to check that the benchmarks work. Writes target/bench/quick.json and no
    /// document.
    #[arg(long)]
    quick: bool,
    /// Measure nothing; write the document from the existing figures.
    #[arg(long, conflicts_with_all = ["only", "quick"])]
    document: bool,
    /// The date in the document. [default: today, UTC]
    #[arg(long)]
    date: Option<jiff::civil::Date>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    /// The time from apply to Ready, compared with a baseline.
    Ready,
    /// A thousand Tenants at once with Neon's quota.
    Fleet,
    /// The same with ten times the quota.
    FleetTenfold,
    /// Ten thousand idle Tenants.
    Idle,
    /// A migration for a thousand databases with fast cold starts, compared with a sequential script.
    Rollout,
    /// The same with slow cold starts.
    RolloutSlow,
    /// The chat app: sign-up, PDFs, memory.
    App,
    /// The Neon client and the emulator on their own: ten thousand projects, and a call compared
    /// with plain reqwest.
    Neon,
    /// The emulator's data plane compared with PgBouncer with TLS.
    DataPlane,
}

const ALL: [Benchmark; 9] = [
    Benchmark::Ready,
    Benchmark::Fleet,
    Benchmark::FleetTenfold,
    Benchmark::Rollout,
    Benchmark::RolloutSlow,
    Benchmark::Idle,
    Benchmark::App,
    Benchmark::Neon,
    Benchmark::DataPlane,
];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            say("Some figures exceed their budgets.");
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Returns whether all figures are within their budgets.
async fn run(arguments: &Arguments) -> Result<bool> {
    let folder = repository().join("target/bench");
    fs::create_dir_all(&folder)?;
    let file = folder.join(if arguments.quick {
        "quick.json"
    } else {
        "results.json"
    });
    let date = arguments.date.unwrap_or_else(|| {
        jiff::Timestamp::now()
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date()
    });
    let selected = match (arguments.document, arguments.only.is_empty()) {
        (true, _) => &[],
        (_, true) => &ALL[..],
        _ => &arguments.only[..],
    };
    let mut all = existing_figures(&file)?;
    let mut within_budgets = true;
    for benchmark in selected {
        say(&format!(
            "== {benchmark:?}{}, load average {:.2}",
            if arguments.quick { ", quick" } else { "" },
            machine::load_average()
        ));
        let measured = measure(*benchmark, arguments.quick)
            .await
            .with_context(|| format!("benchmark {benchmark:?} failed"))?;
        for figure in &measured {
            say(&format!("   {figure}"));
        }
        within_budgets &= measured.iter().all(|figure| figure.within != Some(false));
        all = merge(all, measured);
        // Written after each benchmark, so that a later failure loses no figures.
        fs::write(&file, serde_json::to_string_pretty(&all)? + "\n")?;
    }
    if !arguments.quick {
        let document = repository().join("docs/benchmarks.md");
        fs::write(&document, report::render(&all, date))?;
        say(&format!(
            "Wrote {} and {}",
            file.display(),
            document.display()
        ));
    }
    Ok(within_budgets)
}

fn existing_figures(file: &PathBuf) -> Result<Vec<Figure>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(serde_json::from_str(&text).unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("failed to read {}", file.display())),
    }
}

async fn measure(benchmark: Benchmark, quick: bool) -> Result<Vec<Figure>> {
    // On the heap, because each future contains a whole cluster.
    match benchmark {
        Benchmark::App => {
            let (sign_ups, tenants) = if quick { (3, 200) } else { (20, 10_000) };
            Box::pin(app::measure(&app::AppParameters { sign_ups, tenants })).await
        }
        Benchmark::Neon => {
            let (projects, calls) = if quick { (300, 500) } else { (10_000, 5_000) };
            Box::pin(neon::measure(&neon::NeonParameters { projects, calls })).await
        }
        Benchmark::DataPlane => {
            let (rounds, seconds) = if quick { (3, 2) } else { (6, 8) };
            Box::pin(data_plane::measure(&data_plane::DataPlaneParameters {
                rounds,
                seconds,
            }))
            .await
        }
        Benchmark::Ready => Box::pin(ready::measure(if quick { 4 } else { 40 })).await,
        Benchmark::Fleet => {
            Box::pin(fleet::measure(
                &fleet::AT_QUOTA,
                if quick { 40 } else { 1_000 },
            ))
            .await
        }
        Benchmark::FleetTenfold => {
            Box::pin(fleet::measure(
                &fleet::TENFOLD,
                if quick { 40 } else { 1_000 },
            ))
            .await
        }
        Benchmark::Rollout => {
            Box::pin(rollout::measure(
                &rollout::FAST_START,
                if quick { 40 } else { 1_000 },
            ))
            .await
        }
        Benchmark::RolloutSlow => {
            Box::pin(rollout::measure(
                &rollout::SLOW_START,
                if quick { 40 } else { 1_000 },
            ))
            .await
        }
        Benchmark::Idle => Box::pin(idle::measure(if quick { 500 } else { 10_000 })).await,
    }
}

/// Prints progress to standard error.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
