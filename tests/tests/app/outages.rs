//! What the app stands on is away for a while: nothing is lost, and the page says a clear word.

use anyhow::{Context as _, Result, ensure};
use openai_stub::{Fault, Route};
use tests::{Site, files, limits, wait};
use xtask::visitor::Row;

super::tests_on![super::DISTURBED:
    embeddings_that_are_away_are_waited_for_with_a_word,
    an_s3_server_that_is_away_is_waited_for_with_a_word,
    a_tenants_database_that_is_away_is_waited_for_with_a_word,
    a_main_database_that_is_away_is_told_and_jobs_go_on_afterwards,
    an_api_server_that_is_away_is_told_and_sign_ups_end_well_afterwards,
];

/// Brings a document while something is away; it waits and says so. Then it is there again, and the document is whole.
async fn waits_through(
    site: &Site,
    name: &str,
    take_away: impl AsyncFn() -> Result<()>,
    bring_back: impl AsyncFn() -> Result<()>,
) -> Result<()> {
    let (ada, workspace) = site.newcomer(name).await?;
    // The S3 server takes the file before it goes: uploads need it.
    ada.get(&format!("/w/{workspace}/documents")).await?;
    let file = files::about(name, 3);
    let (document, url, headers) = ada.reserve(&workspace, "file.pdf", &file).await?;
    ada.put(&url, &headers, &file).await?;
    site.kill_worker().await?;
    let complete = format!("/w/{workspace}/documents/{document}/complete");
    let (status, said) = ada.fetch(&complete, &serde_json::json!({})).await?;
    ensure!(status.is_success(), "{status} {said}");
    take_away().await?;
    site.start_worker().await?;
    let told = ada
        .until_document(&workspace, &document, limits::SEARCHABLE, is_in_trouble)
        .await;
    bring_back().await?;
    let told = told?;
    ensure!(told.words.len() > 60, "the row says little: {}", told.words);
    ada.until_ready(&workspace, &document, limits::SEARCHABLE)
        .await?;
    let rows = site
        .in_tenant(
            &workspace,
            "select count(*) = count(distinct ordinal), min(page_from), max(page_to), (select count(*) from documents) from chunks",
        )
        .await?;
    ensure!(rows == "t|1|3|1", "{rows}");
    Ok(())
}

/// Waiting, and saying why.
fn is_in_trouble(row: &Row) -> bool {
    row.words.contains("Retrying")
}

async fn embeddings_that_are_away_are_waited_for_with_a_word(site: &Site) -> Result<()> {
    let stub = site.stub();
    waits_through(
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

async fn an_s3_server_that_is_away_is_waited_for_with_a_word(site: &Site) -> Result<()> {
    waits_through(
        site,
        "Bucket",
        async || {
            site.s3().take_away().await;
            Ok(())
        },
        async || site.s3().bring_back().await,
    )
    .await
}

async fn a_tenants_database_that_is_away_is_waited_for_with_a_word(site: &Site) -> Result<()> {
    let proxies = site.cluster().proxies().context("no proxies")?;
    waits_through(
        site,
        "Tenants",
        async || {
            proxies.data.shut();
            Ok(())
        },
        async || {
            proxies.data.open();
            Ok(())
        },
    )
    .await
}

async fn a_main_database_that_is_away_is_told_and_jobs_go_on_afterwards(site: &Site) -> Result<()> {
    let (ada, workspace) = site.newcomer("Main").await?;
    let document = ada
        .upload(&workspace, "file.pdf", &files::about("Main", 3))
        .await?;
    let proxies = site.proxies()?;
    proxies.database.shut();
    let page = wait::poll(limits::CONVERGE, "the page says so", || async {
        let page = ada.get(&format!("/w/{workspace}/documents")).await?;
        Ok(page.status().is_server_error().then_some(page))
    })
    .await;
    proxies.database.open();
    let page = page?;
    ensure!(page.status() == 503, "{}", page.status());
    ensure!(page.words().len() > 40, "{}", page.words());
    ada.until_ready(&workspace, &document, limits::SEARCHABLE)
        .await?;
    Ok(())
}

async fn an_api_server_that_is_away_is_told_and_sign_ups_end_well_afterwards(
    site: &Site,
) -> Result<()> {
    let (ada, workspace) = site.newcomer("Before").await?;
    let proxies = site.proxies()?;
    proxies.kube.shut();
    let during = async {
        // Who has a database goes on working: what is known of it is remembered.
        ada.get(&format!("/w/{workspace}/documents"))
            .await?
            .expect_success("documents without an API server")?;
        let late = site.visitor()?;
        let page = late.sign_in_by_name("During").await?;
        let own = late.workspace().await?;
        ensure!(
            !page.words().contains("ready"),
            "a database without an API server: {}",
            page.words()
        );
        anyhow::Ok((late, own))
    }
    .await;
    proxies.kube.open();
    let (late, own) = during?;
    late.until_available(&own, limits::CONVERGE).await?;
    Ok(())
}
