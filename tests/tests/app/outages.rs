//! During an outage of one of the app's servers no data is lost, and the page explains the problem.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use local_stack::http_client::DocumentRow;
use openai_stub::{Fault, Route};
use serde_json::json;
use test_support::scenario::project_id;
use test_support::{Site, sample_files, timeouts, wait};

super::tests_on![super::INTERRUPTED:
    ingestion_waits_for_the_model_endpoint_and_shows_the_problem,
    ingestion_waits_for_the_s3_server_and_shows_the_problem,
    ingestion_waits_for_the_tenants_database_and_shows_the_problem,
    an_upload_into_a_full_database_shows_the_reason_and_is_processed_once_there_is_space,
    an_outage_of_the_main_database_is_shown_and_jobs_continue_afterwards,
    sign_ups_during_an_outage_of_the_api_server_succeed_afterwards,
];

/// Ingests a document during an outage. Its row shows the problem until the outage ends; then
/// ingestion succeeds.
async fn ingest_during_outage(
    site: &Site,
    name: &str,
    interrupt: impl AsyncFn() -> Result<()>,
    restore: impl AsyncFn() -> Result<()>,
) -> Result<()> {
    let (ada, workspace) = site.sign_up(name).await?;
    // The file is uploaded before the outage, because an upload needs the S3 server.
    ada.get(&format!("/w/{workspace}/documents")).await?;
    let file = sample_files::document_about(name, 3);
    let upload = ada.create_upload(&workspace, "file.pdf", &file).await?;
    ada.put_file(&upload, &file).await?;
    let document = upload.document_id;
    site.kill_worker().await?;
    let complete = format!("/w/{workspace}/documents/{document}/complete");
    let (status, body) = ada.post_json(&complete, &serde_json::json!({})).await?;
    ensure!(status.is_success(), "{status} {body}");
    interrupt().await?;
    site.start_worker().await?;
    let row = ada
        .wait_for_document(&workspace, &document, timeouts::INGESTION, will_be_retried)
        .await;
    restore().await?;
    let row = row?;
    ensure!(
        row.text.len() > 60,
        "the row explains too little: {}",
        row.text
    );
    ada.wait_until_ready(&workspace, &document, timeouts::INGESTION)
        .await?;
    let rows = site
        .query_tenant_database(
            &workspace,
            "select count(*) = count(distinct ordinal), min(page_from), max(page_to), (select count(*) from documents) from chunks",
        )
        .await?;
    ensure!(rows == "t|1|3|1", "{rows}");
    Ok(())
}

/// Whether the row says that ingestion will be retried.
fn will_be_retried(row: &DocumentRow) -> bool {
    row.text.contains("Retrying")
}

async fn ingestion_waits_for_the_model_endpoint_and_shows_the_problem(site: &Site) -> Result<()> {
    let stub = site.stub();
    ingest_during_outage(
        site,
        "Embeddings",
        async || {
            stub.fail_always(Route::Embeddings, Some(Fault::Status(503)));
            Ok(())
        },
        async || {
            stub.fail_always(Route::Embeddings, None);
            Ok(())
        },
    )
    .await
}

async fn ingestion_waits_for_the_s3_server_and_shows_the_problem(site: &Site) -> Result<()> {
    ingest_during_outage(
        site,
        "Bucket",
        async || {
            site.s3().stop_server().await;
            Ok(())
        },
        async || site.s3().start_server().await,
    )
    .await
}

async fn ingestion_waits_for_the_tenants_database_and_shows_the_problem(site: &Site) -> Result<()> {
    let proxies = site
        .cluster()
        .proxies()
        .context("the cluster has no proxies")?;
    ingest_during_outage(
        site,
        "Tenants",
        async || {
            proxies.data.block();
            Ok(())
        },
        async || {
            proxies.data.unblock();
            Ok(())
        },
    )
    .await
}

/// Sets the size limit of a workspace's database, in bytes; `None` removes it.
async fn limit_size(site: &Site, workspace: &str, bytes: Option<u64>) -> Result<()> {
    let tenant = site.tenant(workspace).await?.context("no Tenant")?;
    // Not in Neon, where the controller would remove it.
    let limit = json!({"spec": {"quota": {"logicalSizeBytes": bytes}}});
    site.tenants()
        .patch(
            &tenant.name_any(),
            &PatchParams::default(),
            &Patch::Merge(limit),
        )
        .await?;
    let client = site.cluster().account().client()?;
    let id = project_id(&tenant)?;
    wait::poll(timeouts::CONVERGE, "the size limit in Neon", async || {
        let project = client.projects().get(&id).send().await?;
        let quota = project.settings.and_then(|settings| settings.quota);
        let current = quota.and_then(|quota| quota.logical_size_bytes);
        Ok((current.unwrap_or(0) == bytes.unwrap_or(0)).then_some(()))
    })
    .await?;
    // Closes the sessions with another limit.
    let moment = Duration::from_secs(1);
    site.cluster().emulator().advance_clock(moment).await?;
    Ok(())
}

async fn an_upload_into_a_full_database_shows_the_reason_and_is_processed_once_there_is_space(
    site: &Site,
) -> Result<()> {
    let (ada, workspace) = site.sign_up("Full").await?;
    limit_size(site, &workspace, Some(1)).await?;
    let file = sample_files::document_about("Full", 3);
    let document = ada.upload(&workspace, "file.pdf", &file).await?;
    let row = ada
        .wait_for_document(&workspace, &document, timeouts::INGESTION, |row| {
            row.state == "failed"
        })
        .await?;
    ensure!(row.text.contains("database is full"), "{}", row.text);

    limit_size(site, &workspace, None).await?;
    let retry = format!("/w/{workspace}/documents/{document}/retry");
    ada.post(&retry, &[]).await?.expect_success("retry")?;
    ada.wait_until_ready(&workspace, &document, timeouts::INGESTION)
        .await?;
    Ok(())
}

async fn an_outage_of_the_main_database_is_shown_and_jobs_continue_afterwards(
    site: &Site,
) -> Result<()> {
    let (ada, workspace) = site.sign_up("Main").await?;
    let document = ada
        .upload(
            &workspace,
            "file.pdf",
            &sample_files::document_about("Main", 3),
        )
        .await?;
    let proxies = site.proxies()?;
    proxies.database.block();
    let page = wait::poll(
        timeouts::CONVERGE,
        "the page to report the outage",
        || async {
            let page = ada.get(&format!("/w/{workspace}/documents")).await?;
            Ok(page.status().is_server_error().then_some(page))
        },
    )
    .await;
    proxies.database.unblock();
    let page = page?;
    ensure!(page.status() == 503, "{}", page.status());
    ensure!(page.text().len() > 40, "{}", page.text());
    ada.wait_until_ready(&workspace, &document, timeouts::INGESTION)
        .await?;
    Ok(())
}

async fn sign_ups_during_an_outage_of_the_api_server_succeed_afterwards(site: &Site) -> Result<()> {
    let (ada, workspace) = site.sign_up("Before").await?;
    let proxies = site.proxies()?;
    proxies.kube.block();
    let during = async {
        // Existing workspaces stay usable, because the app caches their Tenants.
        ada.get(&format!("/w/{workspace}/documents"))
            .await?
            .expect_success("documents page without an API server")?;
        let newcomer = site.client()?;
        let page = newcomer.sign_in_by_name("During").await?;
        let own = newcomer.workspace().await?;
        ensure!(
            !page.text().contains("ready"),
            "the database is ready without an API server: {}",
            page.text()
        );
        anyhow::Ok((newcomer, own))
    }
    .await;
    proxies.kube.unblock();
    let (newcomer, own) = during?;
    newcomer
        .wait_until_available(&own, timeouts::CONVERGE)
        .await?;
    Ok(())
}
