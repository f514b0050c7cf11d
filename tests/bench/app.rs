//! The chat app: how much it adds to the time of a sign-up, its memory with ten thousand Tenants,
//! and the speed of PDF ingestion.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crds::Tenant;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use neon_emulator::Latency;
use serde_json::json;
use test_support::site::{TENANTS_NAMESPACE, tenant_name};
use test_support::{ClusterOptions, Site, SiteOptions, sample_files, timeouts};

use crate::concurrency::for_each_concurrent;
use crate::figure::{Figure, Figures, count_to_f64, percentile_ms};
use crate::machine;

/// What the app may add to the controller's time until Ready, in milliseconds.
const MAX_ADDED_MS: f64 = 100.0;
/// With all Tenants in the cache, in MiB.
const MAX_RSS_MIB: f64 = 150.0;
/// Tenants that are seeded in parallel.
const PARALLEL_SEEDS: usize = 48;
/// A process is idle when it uses at most this much processor time in this period.
const IDLE_PERIOD: Duration = Duration::from_secs(2);
const MAX_IDLE_CPU: Duration = Duration::from_millis(60);
/// With a large margin.
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);
const READY_POLL_INTERVAL: Duration = Duration::from_millis(50);
const FIELD_MANAGER: &str = "bench";

pub(crate) struct AppParameters {
    pub(crate) sign_ups: usize,
    pub(crate) tenants: usize,
}

/// Runs all measurements of the app, on two sites.
pub(crate) async fn measure(parameters: &AppParameters) -> Result<Vec<Figure>> {
    let mut sign_up_figures = Figures::new("app", parameters.sign_ups);
    let mut file_figures = Figures::new("app", sample_files::manuals()?.len());
    let mut tenant_figures = Figures::new("app", parameters.tenants);
    let options = SiteOptions {
        cluster: ClusterOptions::default()
            .latency(Latency::neon())
            .real_time_suspension(),
        ..SiteOptions::default()
    };
    // The limits of the model endpoint are raised, so that no request waits for them.
    let options = options
        .setting("openai-requests-per-minute", 1_000_000)
        .setting("openai-tokens-per-minute", 1_000_000_000);
    let site = Site::start(options).await?;
    measure_sign_ups(&site, parameters.sign_ups, &mut sign_up_figures).await?;
    let without_model = measure_ingestion(&site, &mut file_figures).await?;
    measure_memory(&site, parameters.tenants, &mut tenant_figures).await?;
    site.stop().await?;

    let site = Site::start(SiteOptions {
        local_model: true,
        ..SiteOptions::default()
    })
    .await?;
    let all = ingest_manuals(&site).await?.cpu_s;
    file_figures.record("share_outside_model", 100.0 * without_model / all, "%");
    site.stop().await?;
    Ok([sign_up_figures, file_figures, tenant_figures]
        .map(Figures::into_vec)
        .concat())
}

/// Measures from the sign-up until the page shows that the database is ready, and the same less the
/// controller's time.
async fn measure_sign_ups(site: &Site, samples: usize, figures: &mut Figures) -> Result<()> {
    let (mut seen, mut added) = (Vec::new(), Vec::new());
    for sample in 0..samples {
        let client = site.client()?;
        client.get("/sign-in").await?;
        let started = Instant::now();
        let name = format!("Person {sample}");
        client.post("/sign-in/local", &[("name", &name)]).await?;
        let workspace = client.workspace().await?;
        client
            .wait_until_available(&workspace, timeouts::CONVERGE)
            .await?;
        let elapsed = started.elapsed();
        let tenant = site
            .tenant(&workspace)
            .await?
            .context("the workspace has no Tenant")?;
        let timings = tenant.status.and_then(|status| status.timings);
        let ready_ms = timings
            .and_then(|timings| timings.ready_ms)
            .context("the status has no timings")?;
        seen.push(elapsed);
        added.push(elapsed.saturating_sub(Duration::from_millis(u64::try_from(ready_ms)?)));
    }
    figures.record("sign_up_to_ready", percentile_ms(&seen, 0.5), "ms");
    figures.record_with_budget(
        "added_to_controller",
        percentile_ms(&added, 0.5),
        "ms",
        MAX_ADDED_MS,
    );
    Ok(())
}

/// The cost of ingesting the manuals.
struct IngestionCost {
    pages: u64,
    cpu_s: f64,
    wall_s: f64,
}

/// Measures ingested pages per second of processor time, and compares the processor time with
/// pdftotext's for the same files. Returns the app's processor time in seconds.
async fn measure_ingestion(site: &Site, figures: &mut Figures) -> Result<f64> {
    let cost = ingest_manuals(site).await?;
    let before = machine::cpu_of_children()?;
    for manual in sample_files::manuals()? {
        pdftotext(&manual).await?;
    }
    let poppler_s = machine::cpu_of_children()?
        .saturating_sub(before)
        .as_secs_f64();
    figures.record(
        "pdf_pages_per_cpu_second",
        count_to_f64(cost.pages) / cost.cpu_s,
        "pages/s",
    );
    figures.record_with_floor("pdf_cpu", cost.cpu_s, "s", poppler_s, None);
    figures.record("pdf_wall", cost.wall_s, "s");
    Ok(cost.cpu_s)
}

async fn ingest_manuals(site: &Site) -> Result<IngestionCost> {
    let (client, workspace) = site.sign_up("Reader").await?;
    let pid = site.pid().await.context("the app is not running")?;
    let (before, started) = (machine::cpu_with_children(pid)?, Instant::now());
    let mut documents = 0;
    for manual in sample_files::manuals()? {
        let name = manual
            .file_name()
            .context("the path has no file name")?
            .to_string_lossy();
        let file = std::fs::read(&manual)?;
        client.upload(&workspace, &name, &file).await?;
        documents += 1;
    }
    wait_for_documents(site, documents).await?;
    let wall_s = started.elapsed().as_secs_f64();
    let cpu = machine::cpu_with_children(pid)?.saturating_sub(before);
    let pages = site
        .count("select coalesce(sum(page_count), 0)::bigint from documents where state = 'ready'")
        .await?;
    ensure!(pages > 0, "no page was ingested");
    Ok(IngestionCost {
        pages: u64::try_from(pages)?,
        cpu_s: cpu.as_secs_f64(),
        wall_s,
    })
}

/// Waits until the documents are ready. Polls the database, because requests for pages would add to
/// the measurement.
async fn wait_for_documents(site: &Site, documents: i64) -> Result<()> {
    let started = Instant::now();
    loop {
        let ready = site
            .count("select count(*) from documents where state = 'ready'")
            .await?;
        if ready == documents {
            return Ok(());
        }
        let failed = site
            .count("select count(*) from documents where state = 'failed'")
            .await?;
        ensure!(failed == 0, "{failed} of {documents} documents failed");
        ensure!(
            started.elapsed() < timeouts::MANUALS,
            "{ready} of {documents} documents are ready after {} s",
            timeouts::MANUALS.as_secs()
        );
        tokio::time::sleep(READY_POLL_INTERVAL).await;
    }
}

async fn pdftotext(file: &Path) -> Result<()> {
    let mut command = Command::new("pdftotext");
    command.arg(file).arg("-").stdout(Stdio::null());
    let status = tokio::process::Command::from(command)
        .status()
        .await
        .context("failed to run pdftotext (Debian: poppler-utils)")?;
    ensure!(status.success(), "pdftotext exited with {status}");
    Ok(())
}

/// Measures the memory of an idle app after its start, with Tenants whose status is like the
/// controller's.
async fn measure_memory(site: &Site, tenants: usize, figures: &mut Figures) -> Result<()> {
    let (_, workspace) = site.sign_up("Model").await?;
    let template = site
        .tenant(&workspace)
        .await?
        .context("the workspace has no Tenant")?;
    // The controller must not reconcile the seeded Tenants.
    site.cluster().terminate_controller("one").await?;
    let api: Api<Tenant> = Api::namespaced(site.cluster().client(), TENANTS_NAMESPACE);
    for_each_concurrent(0..tenants, PARALLEL_SEEDS, async |number| {
        seed(api.clone(), template.clone(), number).await
    })
    .await?;
    site.kill_app().await?;
    site.start_app().await?;
    let pid = site.pid().await.context("the app is not running")?;
    wait_until_idle(pid).await?;
    let memory = machine::memory(pid)?;
    figures.record_with_budget("rss", memory.resident_mib, "MiB", MAX_RSS_MIB);
    figures.record("peak_rss", memory.peak_mib, "MiB");
    Ok(())
}

async fn seed(api: Api<Tenant>, template: Tenant, number: usize) -> Result<()> {
    let name = tenant_name(&format!("{number:012}"));
    let mut tenant = Tenant::new(&name, template.spec.clone());
    tenant.metadata.labels.clone_from(&template.metadata.labels);
    api.create(&PostParams::default(), &tenant).await?;
    let status = json!({
        "apiVersion": "dbpertenant.dev/v1alpha1", "kind": "Tenant", "status": template.status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(&name, &params, &Patch::Apply(status))
        .await?;
    Ok(())
}

async fn wait_until_idle(pid: u32) -> Result<()> {
    let started = Instant::now();
    loop {
        let before = machine::cpu(pid)?;
        tokio::time::sleep(IDLE_PERIOD).await;
        if machine::cpu(pid)?.saturating_sub(before) <= MAX_IDLE_CPU {
            return Ok(());
        }
        ensure!(
            started.elapsed() < IDLE_TIMEOUT,
            "the app is not idle after {} s",
            IDLE_TIMEOUT.as_secs()
        );
    }
}
