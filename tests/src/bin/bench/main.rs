//! Measures what the project promises: how much the controller adds to the bare work, how near to the account's quota a
//! crowd of new Tenants comes, what ten thousand idle ones cost; the chat app's sign-up, PDFs and memory; and the Neon client and
//! emulator by themselves.
//!
//! Each benchmark starts a cluster of its own, the emulator and the controller as processes of their own, and gives
//! figures. They go to `target/bench/results.json`, and from there to `docs/benchmarks.md`; a run of some of them (`--only`)
//! keeps the others' figures. `--quick` is for trying the benchmarks out: small numbers, and nothing is written to `docs`.

mod app;
mod bare;
mod crowd;
mod data_plane;
mod document;
mod figure;
mod fleet;
mod idle;
mod machine;
mod neon;
mod observe;
mod ready;
mod seed;
mod world;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use tests::cluster::repository;

use crate::figure::{Figure, merge};

#[derive(Debug, Parser)]
#[command(
    about = "Measures the controller; writes target/bench/results.json and docs/benchmarks.md"
)]
struct Arguments {
    /// Only these; the others' figures stay as the last run left them.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Benchmark>,
    /// Small numbers, to see that the benchmarks work. Writes target/bench/quick.json and no document.
    #[arg(long)]
    quick: bool,
    /// Measure nothing: write the document from the figures that are there.
    #[arg(long, conflicts_with_all = ["only", "quick"])]
    document: bool,
    /// The date that the document bears; left out: today, UTC.
    #[arg(long)]
    date: Option<jiff::civil::Date>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    /// From apply to Ready against the bare sequence.
    Ready,
    /// A thousand Tenants at once at the account's quota.
    Fleet,
    /// The same at ten times the quota.
    FleetTenfold,
    /// Ten thousand Tenants that are ready.
    Idle,
    /// The chat app: sign-up, PDFs, memory.
    App,
    /// The Neon client and the emulator by themselves: ten thousand projects, and a call over bare reqwest.
    Neon,
    /// The emulator's data plane against PgBouncer with TLS.
    DataPlane,
}

const ALL: [Benchmark; 7] = [
    Benchmark::Ready,
    Benchmark::Fleet,
    Benchmark::FleetTenfold,
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
            say("Some figures are out of their budgets.");
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Says whether every figure is within its budget.
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
    let wanted = match (arguments.document, arguments.only.is_empty()) {
        (true, _) => &[],
        (_, true) => &ALL[..],
        _ => &arguments.only[..],
    };
    let mut all = known(&file)?;
    let mut good = true;
    for benchmark in wanted {
        say(&format!(
            "== {benchmark:?}{}, load average {:.2}",
            if arguments.quick { ", quick" } else { "" },
            machine::load_average()
        ));
        let measured = measure(*benchmark, arguments.quick)
            .await
            .with_context(|| format!("the benchmark {benchmark:?}"))?;
        for figure in &measured {
            say(&format!("   {figure}"));
        }
        good &= measured.iter().all(|figure| figure.within != Some(false));
        all = merge(all, measured);
        // After each, so that a later failure costs nothing that was measured.
        fs::write(&file, serde_json::to_string_pretty(&all)? + "\n")?;
    }
    if !arguments.quick {
        let document = repository().join("docs/benchmarks.md");
        fs::write(&document, document::render(&all, date))?;
        say(&format!(
            "Wrote {} and {}",
            file.display(),
            document.display()
        ));
    }
    Ok(good)
}

fn known(file: &PathBuf) -> Result<Vec<Figure>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(serde_json::from_str(&text).unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

async fn measure(benchmark: Benchmark, quick: bool) -> Result<Vec<Figure>> {
    // On the heap: each holds a whole cluster.
    match benchmark {
        Benchmark::App => {
            let (sign_ups, tenants) = if quick { (3, 200) } else { (20, 10_000) };
            Box::pin(app::measure(&app::Form { sign_ups, tenants })).await
        }
        Benchmark::Neon => {
            let (projects, calls) = if quick { (300, 500) } else { (10_000, 5_000) };
            Box::pin(neon::measure(&neon::Form { projects, calls })).await
        }
        Benchmark::DataPlane => {
            let (rounds, seconds) = if quick { (3, 2) } else { (6, 8) };
            Box::pin(data_plane::measure(&data_plane::Form { rounds, seconds })).await
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
        Benchmark::Idle => Box::pin(idle::measure(if quick { 500 } else { 10_000 })).await,
    }
}

/// Progress goes to standard error.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
