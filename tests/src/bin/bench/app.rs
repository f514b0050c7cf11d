//! The chat app: how much faster the database is there than a browser sees it, what ten thousand known Tenants cost, and how
//! fast a PDF becomes searchable.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crds::Tenant;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use neon_emulator::Latency;
use serde_json::json;
use tests::site::{TENANTS_NAMESPACE, tenant_name};
use tests::{ClusterOptions, Site, SiteOptions, files, limits};

use crate::figure::{Figure, Figures, counted, percentile_ms};
use crate::{crowd, machine};

/// What a browser may wait longer than the controller took, in milliseconds.
const ADDED_MS_MAX: f64 = 100.0;
/// The most memory with all Tenants known, in MiB.
const RSS_MIB_MAX: f64 = 150.0;
/// Seeds that are written at once.
const SEEDING: usize = 48;
/// Quiet is a span without work: so much processor time in so much time at most.
const QUIET_SPAN: Duration = Duration::from_secs(2);
const QUIET_CPU: Duration = Duration::from_millis(60);
/// Until it is quiet, with much to spare.
const QUIET_LIMIT: Duration = Duration::from_mins(5);
/// How often it is looked whether documents are ready.
const READY_POLL: Duration = Duration::from_millis(50);
/// Who seeds.
const FIELD_MANAGER: &str = "bench";

/// How much is measured.
pub(crate) struct Form {
    pub(crate) sign_ups: usize,
    pub(crate) tenants: usize,
}

/// All of it, on sites of its own.
pub(crate) async fn measure(form: &Form) -> Result<Vec<Figure>> {
    let mut of_sign_ups = Figures::new("app", form.sign_ups);
    let mut of_files = Figures::new("app", files::manuals()?.len());
    let mut of_tenants = Figures::new("app", form.tenants);
    let options = SiteOptions {
        cluster: ClusterOptions::default().latency(Latency::neon()).awake(),
        ..SiteOptions::default()
    };
    // The model's quota is opened wide: what is measured is the app, and not the wait for a turn.
    let options = options
        .setting("openai-requests-per-minute", 1_000_000)
        .setting("openai-tokens-per-minute", 1_000_000_000);
    let site = Site::start(options).await?;
    sign_ups(&site, form.sign_ups, &mut of_sign_ups).await?;
    let outside = pdfs(&site, &mut of_files).await?;
    memory(&site, form.tenants, &mut of_tenants).await?;
    site.stop().await?;

    let site = Site::start(SiteOptions {
        local_model: true,
        ..SiteOptions::default()
    })
    .await?;
    let all = bring_manuals(&site).await?.cpu_s;
    of_files.told("outside_the_model", 100.0 * outside / all, "%");
    site.stop().await?;
    Ok([of_sign_ups, of_files, of_tenants]
        .map(Figures::into_vec)
        .concat())
}

/// From the click that signs up to the event that says "ready", less what the controller took.
async fn sign_ups(site: &Site, samples: usize, figures: &mut Figures) -> Result<()> {
    let (mut seen, mut added) = (Vec::new(), Vec::new());
    for sample in 0..samples {
        let visitor = site.visitor()?;
        visitor.get("/sign-in").await?;
        let started = Instant::now();
        let name = format!("Person {sample}");
        visitor.post("/sign-in/local", &[("name", &name)]).await?;
        let workspace = visitor.workspace().await?;
        visitor
            .until_available(&workspace, limits::CONVERGE)
            .await?;
        let elapsed = started.elapsed();
        let tenant = site.tenant(&workspace).await?.context("no Tenant")?;
        let timings = tenant.status.and_then(|status| status.timings);
        let ready_ms = timings
            .and_then(|timings| timings.ready_ms)
            .context("no timing")?;
        seen.push(elapsed);
        added.push(elapsed.saturating_sub(Duration::from_millis(u64::try_from(ready_ms)?)));
    }
    figures.told("sign_up_to_ready", percentile_ms(&seen, 0.5), "ms");
    figures.bounded(
        "added_to_the_controller",
        percentile_ms(&added, 0.5),
        "ms",
        ADDED_MS_MAX,
    );
    Ok(())
}

/// What bringing the manuals took.
struct Brought {
    pages: u64,
    cpu_s: f64,
    wall_s: f64,
}

/// Pages a second of processor time, all told, against pdftotext on the same files.
async fn pdfs(site: &Site, figures: &mut Figures) -> Result<f64> {
    let brought = bring_manuals(site).await?;
    let before = machine::cpu_of_children()?;
    for manual in files::manuals()? {
        pdftotext(&manual).await?;
    }
    let poppler_s = machine::cpu_of_children()?
        .saturating_sub(before)
        .as_secs_f64();
    figures.told(
        "pdf_pages_a_cpu_second",
        counted(brought.pages) / brought.cpu_s,
        "pages/s",
    );
    figures.above("pdf_cpu", brought.cpu_s, "s", poppler_s, None);
    figures.told("pdf_wall", brought.wall_s, "s");
    Ok(brought.cpu_s)
}

async fn bring_manuals(site: &Site) -> Result<Brought> {
    let (visitor, workspace) = site.newcomer("Reader").await?;
    let pid = site.pid().await.context("no app runs")?;
    let (before, started) = (machine::cpu_with_children(pid)?, Instant::now());
    let mut documents = 0;
    for manual in files::manuals()? {
        let name = manual.file_name().context("no name")?.to_string_lossy();
        let file = std::fs::read(&manual)?;
        visitor.upload(&workspace, &name, &file).await?;
        documents += 1;
    }
    all_read(site, documents).await?;
    let wall_s = started.elapsed().as_secs_f64();
    let cpu = machine::cpu_with_children(pid)?.saturating_sub(before);
    let pages = site
        .count("select coalesce(sum(page_count), 0)::bigint from documents where state = 'ready'")
        .await?;
    ensure!(pages > 0, "no page was read");
    Ok(Brought {
        pages: u64::try_from(pages)?,
        cpu_s: cpu.as_secs_f64(),
        wall_s,
    })
}

/// Until so many documents are ready. Asks the database: pages that are asked for again and again would be measured too.
async fn all_read(site: &Site, documents: i64) -> Result<()> {
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
        ensure!(
            failed == 0,
            "{failed} of {documents} documents were refused"
        );
        ensure!(
            started.elapsed() < limits::MANUALS,
            "{ready} of {documents} documents are ready after {} s",
            limits::MANUALS.as_secs()
        );
        tokio::time::sleep(READY_POLL).await;
    }
}

async fn pdftotext(file: &Path) -> Result<()> {
    let mut command = Command::new("pdftotext");
    command.arg(file).arg("-").stdout(Stdio::null());
    let status = tokio::process::Command::from(command)
        .status()
        .await
        .context("pdftotext is not there (Debian: poppler-utils)")?;
    ensure!(status.success(), "pdftotext ended with {status}");
    Ok(())
}

/// The app's memory when it came up over so many Tenants, each with a status as the controller writes it, and has nothing to do.
async fn memory(site: &Site, tenants: usize, figures: &mut Figures) -> Result<()> {
    let (_, workspace) = site.newcomer("Model").await?;
    let model = site.tenant(&workspace).await?.context("no Tenant")?;
    // Nobody reconciles what is seeded.
    site.cluster().terminate_controller("one").await?;
    let api: Api<Tenant> = Api::namespaced(site.cluster().client(), TENANTS_NAMESPACE);
    crowd::each(0..tenants, SEEDING, async |number| {
        seed(api.clone(), model.clone(), number).await
    })
    .await?;
    site.kill_app().await?;
    site.start_app().await?;
    let pid = site.pid().await.context("no app runs")?;
    quiet(pid).await?;
    let memory = machine::memory(pid)?;
    figures.bounded("rss", memory.resident_mib, "MiB", RSS_MIB_MAX);
    figures.told("peak_rss", memory.peak_mib, "MiB");
    Ok(())
}

async fn seed(api: Api<Tenant>, model: Tenant, number: usize) -> Result<()> {
    let name = tenant_name(&format!("{number:012}"));
    let mut tenant = Tenant::new(&name, model.spec.clone());
    tenant.metadata.labels.clone_from(&model.metadata.labels);
    api.create(&PostParams::default(), &tenant).await?;
    let status = json!({
        "apiVersion": "dbpertenant.dev/v1alpha1", "kind": "Tenant", "status": model.status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(&name, &params, &Patch::Apply(status))
        .await?;
    Ok(())
}

async fn quiet(pid: u32) -> Result<()> {
    let started = Instant::now();
    loop {
        let before = machine::cpu(pid)?;
        tokio::time::sleep(QUIET_SPAN).await;
        if machine::cpu(pid)?.saturating_sub(before) <= QUIET_CPU {
            return Ok(());
        }
        ensure!(
            started.elapsed() < QUIET_LIMIT,
            "the app is not quiet within {} s",
            QUIET_LIMIT.as_secs()
        );
    }
}
