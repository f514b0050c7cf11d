//! The Neon client and the emulator on their own: ten thousand projects are created and listed, and
//! calls of the client are compared with plain reqwest.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::TryStreamExt as _;
use local_servers::postgres::Server;
use local_servers::process::Supervised;
use local_stack::run_folder::RunFolder;
use neon_client::ids::ProjectId;
use neon_client::model::{CreateProject, Project, ProjectEnvelope};
use neon_client::{AccountQuota, Neon, Route};
use serde::Deserialize;
use test_support::timeouts;

use crate::concurrency::for_each_concurrent;
use crate::figure::{Figure, Figures, count_to_f64, percentile_ms};
use crate::{machine, say};

/// The maximum ratio of a call through the client to the same call through plain reqwest.
const MAX_CALL_RATIO: f64 = 1.10;
/// The emulator's memory with all projects, in MiB.
const MAX_RSS_MIB: f64 = 32.0;
/// Projects that are created in parallel.
const PARALLEL_CREATIONS: usize = 32;
/// Projects per page: the API's default and its maximum.
const PAGES: [(&str, u16); 2] = [("listed_by_10", 10), ("listed_by_400", 400)];
/// Calls that are not counted: they open the connection and warm caches.
const WARM_UP: usize = 200;
/// From the start of the emulator until its ready file exists.
const EMULATOR_START_TIMEOUT: Duration = Duration::from_secs(30);
const API_KEY: &str = "napi_bench";
/// A quota so large that no call waits for it.
const UNLIMITED_QUOTA: AccountQuota = AccountQuota {
    requests_per_minute: 60_000_000,
    per_route_per_second: 1_000_000,
    burst: 100_000,
};

pub(crate) struct NeonParameters {
    pub(crate) projects: usize,
    pub(crate) calls: usize,
}

/// An emulator without latency as a separate process, with its own PostgreSQL server.
pub(crate) struct Fixture {
    pub(crate) postgres: Server,
    emulator: Supervised,
    api_url: String,
    pub(crate) folder: RunFolder,
}

#[derive(Deserialize)]
struct ReadyFile {
    api_url: String,
}

/// Runs all measurements on one emulator: the calls first, while there is one project.
pub(crate) async fn measure(parameters: &NeonParameters) -> Result<Vec<Figure>> {
    let mut call_figures = Figures::new("neon", parameters.calls);
    let mut project_figures = Figures::new("neon", parameters.projects);
    let fixture = Fixture::start().await?;
    let neon = fixture.client()?;
    let created = neon.projects().create(CreateProject::named("one"));
    let project = created.send().await?.project.id;
    measure_calls(
        &fixture,
        &neon,
        &project,
        parameters.calls,
        &mut call_figures,
    )
    .await?;
    measure_permits(&neon, parameters.calls, &mut call_figures).await?;
    measure_projects(&fixture, &neon, parameters.projects, &mut project_figures).await?;
    fixture.stop().await;
    Ok([call_figures.into_vec(), project_figures.into_vec()].concat())
}

/// Measures the same GET through the client and through plain reqwest, alternately. Each has one
/// connection and deserializes the same type.
async fn measure_calls(
    fixture: &Fixture,
    neon: &Neon,
    project: &ProjectId,
    calls: usize,
    figures: &mut Figures,
) -> Result<()> {
    let plain = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/projects/{project}", fixture.api_url);
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for call in 0..calls + WARM_UP {
        // Each comes first equally often.
        for turn in 0..2 {
            let started = Instant::now();
            let (read, samples) = if (call + turn) % 2 == 0 {
                (neon.projects().get(project).send().await?, &mut ours)
            } else {
                (plain_get(&plain, &url).await?, &mut floor)
            };
            let elapsed = started.elapsed();
            ensure!(&read.id == project, "a different project");
            if call >= WARM_UP {
                samples.push(elapsed);
            }
        }
    }
    let (ours_ms, floor_ms) = (percentile_ms(&ours, 0.5), percentile_ms(&floor, 0.5));
    figures.record_with_floor("call", ours_ms, "ms", floor_ms, Some(MAX_CALL_RATIO));
    figures.record("call_added", (ours_ms - floor_ms) * 1e3, "us");
    Ok(())
}

async fn plain_get(http: &reqwest::Client, url: &str) -> Result<Project> {
    let response = http.get(url).bearer_auth(API_KEY).send().await?;
    let body = response.error_for_status()?.bytes().await?;
    Ok(serde_json::from_slice::<ProjectEnvelope>(&body)?.project)
}

/// Measures what the account's quota adds to a call that need not wait: acquiring and releasing a
/// permit.
async fn measure_permits(neon: &Neon, turns: usize, figures: &mut Figures) -> Result<()> {
    let mut samples = Vec::with_capacity(turns);
    for turn in 0..turns + WARM_UP {
        let started = Instant::now();
        drop(neon.reserve(Route::GetProject).await?);
        if turn >= WARM_UP {
            samples.push(started.elapsed());
        }
    }
    figures.record("permit", percentile_ms(&samples, 0.5) * 1e3, "us");
    Ok(())
}

/// Measures the creation of many projects through the client and their listing.
async fn measure_projects(
    fixture: &Fixture,
    neon: &Neon,
    projects: usize,
    figures: &mut Figures,
) -> Result<()> {
    let before = fixture.memory()?;
    let started = Instant::now();
    for_each_concurrent(0..projects, PARALLEL_CREATIONS, async |number| {
        let project = CreateProject::named(format!("tenant-{number:05}"));
        neon.projects().create(project).send().await?;
        Ok(())
    })
    .await?;
    let seconds = started.elapsed().as_secs_f64();
    figures.record("created", seconds, "s");
    figures.record(
        "created_per_second",
        count_to_f64(projects as u64) / seconds,
        "projects/s",
    );
    say(&format!("   created {projects} projects in {seconds:.1} s"));
    for (name, page) in PAGES {
        let started = Instant::now();
        let listed = neon.projects().list().limit(page).items();
        let count = listed.try_fold(0, async |count, _| Ok(count + 1)).await?;
        // One more project was created for the calls.
        ensure!(count == projects + 1, "{count} of {projects} are listed");
        figures.record(name, started.elapsed().as_secs_f64(), "s");
    }
    let after = fixture.memory()?;
    figures.record("emulator_rss_before", before.resident_mib, "MiB");
    figures.record_with_budget("emulator_rss", after.resident_mib, "MiB", MAX_RSS_MIB);
    figures.record("emulator_peak_rss", after.peak_mib, "MiB");
    Ok(())
}

impl Fixture {
    pub(crate) async fn start() -> Result<Self> {
        let folder = RunFolder::new("bench")?;
        let postgres = Server::builder().start().await?;
        let (emulator, ready) = start_emulator(&postgres, folder.path()).await?;
        Ok(Self {
            postgres,
            emulator,
            api_url: ready.api_url,
            folder,
        })
    }

    pub(crate) fn client(&self) -> Result<Neon> {
        let builder = Neon::builder()
            .api_key(API_KEY.to_owned().into())
            .base_url(self.api_url.parse()?);
        Ok(builder.quota(UNLIMITED_QUOTA).build()?)
    }

    fn memory(&self) -> Result<machine::Memory> {
        machine::memory(
            self.emulator
                .pid()
                .context("the emulator has no process id")?,
        )
    }

    pub(crate) async fn stop(self) {
        self.emulator.stop().await;
        self.postgres.stop().await;
        drop(self.folder);
    }
}

async fn start_emulator(postgres: &Server, folder: &Path) -> Result<(Supervised, ReadyFile)> {
    let program = std::env::current_exe()?.with_file_name("neon-emulator");
    ensure!(
        program.is_file(),
        "{} does not exist: build it with the same profile",
        program.display()
    );
    let ready_file = folder.join("ready.json");
    let mut command = Command::new(program);
    command
        .args(["serve", "--latency", "instant", "--ready-file"])
        .arg(&ready_file)
        .env("NEON_EMULATOR_POSTGRES", postgres.uri())
        .env("NEON_EMULATOR_API_KEY", API_KEY)
        // Checking every response would distort the measurement.
        .env_remove("NEON_EMULATOR_DOCUMENT")
        .env("RUST_LOG", "warn");
    let mut emulator = Supervised::spawn(&command, &folder.join("emulator.log"))?;
    let started = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(&ready_file) {
            return Ok((emulator, serde_json::from_str(&text)?));
        }
        ensure!(
            emulator.exited()?.is_none(),
            "the emulator exited: {}",
            emulator.log_tail(20)
        );
        ensure!(
            started.elapsed() < EMULATOR_START_TIMEOUT,
            "the emulator did not start in time"
        );
        tokio::time::sleep(timeouts::POLL_INTERVAL).await;
    }
}
