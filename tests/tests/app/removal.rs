//! Taking things away: project, objects and rows go, also when the app dies on the way.

use anyhow::{Context as _, Result, ensure};
use tests::case::project_id;
use tests::{Site, files, limits, wait};
use xtask::visitor::{Page, Visitor};

super::tests_on![super::QUIET:
    a_removed_document_is_gone_everywhere,
    a_removed_workspace_takes_project_objects_and_rows_along,
    a_removed_account_takes_its_workspace_along_and_ends_its_sessions,
    a_tenant_that_somebody_else_removed_is_told_and_not_made_again,
];

async fn with_a_document(site: &Site, name: &str) -> Result<(Visitor, String, String)> {
    let (visitor, workspace) = site.newcomer(name).await?;
    let document = visitor
        .upload(&workspace, "file.pdf", &files::about(name, 2))
        .await?;
    visitor
        .until_ready(&workspace, &document, limits::SEARCHABLE)
        .await?;
    Ok((visitor, workspace, document))
}

async fn a_removed_document_is_gone_everywhere(site: &Site) -> Result<()> {
    let (ada, workspace, document) = with_a_document(site, "Remover").await?;
    let here = format!("/w/{workspace}/documents/{document}");
    ada.get(&here).await?;
    ada.post(&format!("{here}/delete"), &[])
        .await?
        .expect_success("the removal")?;
    wait::poll(limits::REMOVAL, "the document goes", || async {
        let listed = ada.documents(&workspace).await?;
        let kept = site.objects().await?;
        let left = kept.iter().any(|key| key.contains(&document));
        Ok((listed.is_empty() && !left).then_some(()))
    })
    .await?;
    let rows = site
        .in_tenant(
            &workspace,
            "select (select count(*) from documents), (select count(*) from chunks), (select count(*) from chunk_embeddings)",
        )
        .await?;
    ensure!(rows == "0|0|0", "{rows}");
    Ok(())
}

/// Waits for the receipt of a removal, on the page that it led to.
async fn receipt(visitor: &Visitor, page: &Page) -> Result<String> {
    let path = page.path().to_owned();
    ensure!(path.starts_with("/receipts/"), "no receipt at {path}");
    wait::poll(limits::REMOVAL, "the removal ends", || async {
        let words = visitor.get(&path).await?.words();
        Ok(words.contains("Deletion receipt").then_some(words))
    })
    .await
}

async fn nothing_is_left(
    site: &Site,
    workspace: &str,
    project: &neon_client::ids::ProjectId,
) -> Result<()> {
    ensure!(
        !site.cluster().account().lives(project).await?,
        "the project lives"
    );
    ensure!(
        site.tenant(workspace).await?.is_none(),
        "the Tenant is there"
    );
    let kept = site.objects().await?;
    let left: Vec<_> = kept.iter().filter(|key| key.contains(workspace)).collect();
    ensure!(left.is_empty(), "objects are left: {left:?}");
    let rows: i64 = sqlx::query_scalar(
        "select (select count(*) from workspaces where id = $1) + (select count(*) from documents where workspace_id = $1) \
         + (select count(*) from members where workspace_id = $1)",
    )
    .bind(workspace)
    .fetch_one(site.database())
    .await?;
    ensure!(rows == 0, "{rows} rows are left");
    Ok(())
}

async fn a_removed_workspace_takes_project_objects_and_rows_along(site: &Site) -> Result<()> {
    let (ada, workspace, _) = with_a_document(site, "Cleaner").await?;
    let project = project_id(&site.tenant(&workspace).await?.context("no Tenant")?)?;
    let settings = format!("/w/{workspace}/settings");
    let page = ada.get(&settings).await?;
    let word = page
        .between("data-confirm=\"", "\"")
        .context("nothing to type")?;
    let wrong = ada
        .post(
            &format!("{settings}/delete"),
            &[("confirm", "something else")],
        )
        .await?;
    ensure!(
        !wrong.path().starts_with("/receipts/"),
        "removed without the word"
    );
    let page = ada
        .post(&format!("{settings}/delete"), &[("confirm", &word)])
        .await?
        .expect_success("the removal")?;
    let words = receipt(&ada, &page).await?;
    ensure!(words.contains("Recoverable until"), "{words}");
    nothing_is_left(site, &workspace, &project).await
}

async fn a_removed_account_takes_its_workspace_along_and_ends_its_sessions(
    site: &Site,
) -> Result<()> {
    let (ada, workspace, _) = with_a_document(site, "Goer").await?;
    let project = project_id(&site.tenant(&workspace).await?.context("no Tenant")?)?;
    let page = ada.get("/account").await?;
    let word = page
        .between("data-confirm=\"", "\"")
        .context("nothing to type")?;
    let page = ada
        .post("/account/delete", &[("confirm", &word)])
        .await?
        .expect_success("the removal")?;
    receipt(&ada, &page).await?;
    nothing_is_left(site, &workspace, &project).await?;
    let after = ada.get("/account").await?;
    ensure!(after.path() == "/sign-in", "the session is still good");
    let known: i64 = sqlx::query_scalar("select count(*) from users where display_name = 'Goer'")
        .fetch_one(site.database())
        .await?;
    ensure!(known == 0, "the user is still known");
    Ok(())
}

async fn a_tenant_that_somebody_else_removed_is_told_and_not_made_again(site: &Site) -> Result<()> {
    let (ada, workspace, _) = with_a_document(site, "Robbed").await?;
    let name = tests::site::tenant_name(&workspace);
    site.tenants()
        .delete(&name, &kube::api::DeleteParams::default())
        .await?;
    wait::until(&site.tenants(), &name, limits::CONVERGE, "gone", |tenant| {
        tenant.is_none()
    })
    .await?;
    wait::poll(limits::CONVERGE, "the page says so", || async {
        let page = ada.get(&format!("/w/{workspace}/provisioning")).await?;
        Ok(page.words().contains("was deleted").then_some(()))
    })
    .await?;
    wait::never(
        limits::NOTHING_HAPPENS,
        "the Tenant is made again",
        || async {
            Ok(site
                .tenant(&workspace)
                .await?
                .map(|_| "it is there".to_owned()))
        },
    )
    .await
}
