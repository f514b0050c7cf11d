//! The Neon client and the emulator by themselves: ten thousand projects made and listed, and what the client costs over bare reqwest.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::TryStreamExt as _;
use local_servers::postgres::Server;
use local_servers::process::Supervised;
use neon_client::ids::ProjectId;
use neon_client::model::{CreateProject, Project, ProjectEnvelope};
use neon_client::{AccountQuota, Neon, Route};
use serde::Deserialize;
use tests::limits;
use xtask::run_folder::RunFolder;

use crate::figure::{Figure, Figures, counted, percentile_ms};
use crate::{crowd, machine, say};

/// The most that a call through the client may take over the same call through bare reqwest.
const CALL_RATIO_MAX: f64 = 1.10;
/// The most memory of the emulator with all projects, in MiB.
const RSS_MIB_MAX: f64 = 32.0;
/// Projects that are being made at one time.
const CREATING: usize = 32;
/// Projects of a page: what the API gives unless it is asked for more, and the most it gives.
const PAGES: [(&str, u16); 2] = [("listed_by_10", 10), ("listed_by_400", 400)];
/// Calls and turns that are not counted: they open the connection and warm the caches.
const WARM_UP: usize = 200;
/// From the start of the emulator to its ready file.
const EMULATOR_START: Duration = Duration::from_secs(30);
const API_KEY: &str = "napi_bench";
/// Nobody waits for a turn, though each call takes one.
const NO_QUOTA: AccountQuota = AccountQuota {
    requests_per_minute: 60_000_000,
    per_route_per_second: 1_000_000,
    burst: 100_000,
};

/// How much is measured.
pub(crate) struct Form {
    pub(crate) projects: usize,
    pub(crate) calls: usize,
}

/// An emulator as a process of its own, at instant times, over a PostgreSQL server of its own.
pub(crate) struct Bed {
    pub(crate) postgres: Server,
    emulator: Supervised,
    api_url: String,
    pub(crate) folder: RunFolder,
}

#[derive(Deserialize)]
struct ReadyFile {
    api_url: String,
}

/// All of it, on one emulator: the calls first, while there is one project.
pub(crate) async fn measure(form: &Form) -> Result<Vec<Figure>> {
    let mut of_calls = Figures::new("neon", form.calls);
    let mut of_projects = Figures::new("neon", form.projects);
    let bed = Bed::start().await?;
    let neon = bed.client()?;
    let created = neon.projects().create(CreateProject::named("one"));
    let project = created.send().await?.project.id;
    calls(&bed, &neon, &project, form.calls, &mut of_calls).await?;
    turns(&neon, form.calls, &mut of_calls).await?;
    crowd_of_projects(&bed, &neon, form.projects, &mut of_projects).await?;
    bed.stop().await;
    Ok([of_calls.into_vec(), of_projects.into_vec()].concat())
}

/// The same GET through the client and through bare reqwest, in turn: one connection each, and the same type read.
async fn calls(
    bed: &Bed,
    neon: &Neon,
    project: &ProjectId,
    calls: usize,
    figures: &mut Figures,
) -> Result<()> {
    let bare = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/projects/{project}", bed.api_url);
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for call in 0..calls + WARM_UP {
        // Each is first equally often.
        for turn in 0..2 {
            let begun = Instant::now();
            let (read, samples) = if (call + turn) % 2 == 0 {
                (neon.projects().get(project).send().await?, &mut ours)
            } else {
                (bare_get(&bare, &url).await?, &mut floor)
            };
            let elapsed = begun.elapsed();
            ensure!(&read.id == project, "another project");
            if call >= WARM_UP {
                samples.push(elapsed);
            }
        }
    }
    let (ours_ms, floor_ms) = (percentile_ms(&ours, 0.5), percentile_ms(&floor, 0.5));
    figures.above("call", ours_ms, "ms", floor_ms, Some(CALL_RATIO_MAX));
    figures.told("call_added", (ours_ms - floor_ms) * 1e3, "us");
    Ok(())
}

async fn bare_get(http: &reqwest::Client, url: &str) -> Result<Project> {
    let response = http.get(url).bearer_auth(API_KEY).send().await?;
    let body = response.error_for_status()?.bytes().await?;
    Ok(serde_json::from_slice::<ProjectEnvelope>(&body)?.project)
}

/// What the account's quota costs a call that need not wait: a turn that is taken, and the same one given back.
async fn turns(neon: &Neon, turns: usize, figures: &mut Figures) -> Result<()> {
    let mut samples = Vec::with_capacity(turns);
    for turn in 0..turns + WARM_UP {
        let begun = Instant::now();
        drop(neon.reserve(Route::GetProject).await?);
        if turn >= WARM_UP {
            samples.push(begun.elapsed());
        }
    }
    figures.told("turn", percentile_ms(&samples, 0.5) * 1e3, "us");
    Ok(())
}

/// So many projects made at once through the client, and listed from the first page to the last.
async fn crowd_of_projects(
    bed: &Bed,
    neon: &Neon,
    projects: usize,
    figures: &mut Figures,
) -> Result<()> {
    let before = bed.memory()?;
    let begun = Instant::now();
    crowd::each(0..projects, CREATING, async |number| {
        let wish = CreateProject::named(format!("tenant-{number:05}"));
        neon.projects().create(wish).send().await?;
        Ok(())
    })
    .await?;
    let seconds = begun.elapsed().as_secs_f64();
    figures.told("created", seconds, "s");
    figures.told(
        "created_a_second",
        counted(projects as u64) / seconds,
        "projects/s",
    );
    say(&format!("   {projects} projects after {seconds:.1} s"));
    for (name, page) in PAGES {
        let begun = Instant::now();
        let listed = neon.projects().list().limit(page).items();
        let count = listed.try_fold(0, async |count, _| Ok(count + 1)).await?;
        // And the one that the calls were about.
        ensure!(count == projects + 1, "{count} of {projects} are listed");
        figures.told(name, begun.elapsed().as_secs_f64(), "s");
    }
    let after = bed.memory()?;
    figures.told("emulator_rss_before", before.resident_mib, "MiB");
    figures.bounded("emulator_rss", after.resident_mib, "MiB", RSS_MIB_MAX);
    figures.told("emulator_peak_rss", after.peak_mib, "MiB");
    Ok(())
}

impl Bed {
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
        Ok(builder.quota(NO_QUOTA).build()?)
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
        "{} is missing: build it with the same profile",
        program.display()
    );
    let ready_file = folder.join("ready.json");
    let mut command = Command::new(program);
    command
        .args(["serve", "--latency", "instant", "--ready-file"])
        .arg(&ready_file)
        .env("NEON_EMULATOR_POSTGRES", postgres.uri())
        .env("NEON_EMULATOR_API_KEY", API_KEY)
        // Every answer would be held against it, which is not what is measured.
        .env_remove("NEON_EMULATOR_DOCUMENT")
        .env("RUST_LOG", "warn");
    let mut emulator = Supervised::spawn(&command, &folder.join("emulator.log"))?;
    let begun = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(&ready_file) {
            return Ok((emulator, serde_json::from_str(&text)?));
        }
        ensure!(
            emulator.exited()?.is_none(),
            "the emulator ended: {}",
            emulator.log_tail(20)
        );
        ensure!(
            begun.elapsed() < EMULATOR_START,
            "the emulator does not start"
        );
        tokio::time::sleep(limits::POLL).await;
    }
}
