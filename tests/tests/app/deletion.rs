//! Deletion removes the project, the objects and the rows.

use anyhow::{Context as _, Result, ensure};
use local_stack::http_client::{AppClient, Page};
use test_support::scenario::project_id;
use test_support::{Site, sample_files, timeouts, wait};

super::tests_on![super::UNDISTURBED:
    deleting_a_document_removes_it_everywhere,
    deleting_a_workspace_deletes_its_project_objects_and_rows,
    deleting_an_account_deletes_its_workspace_and_ends_its_sessions,
    a_tenant_deleted_with_kubectl_is_reported_and_not_recreated,
];

async fn sign_up_with_document(site: &Site, name: &str) -> Result<(AppClient, String, String)> {
    let (client, workspace) = site.sign_up(name).await?;
    let document = client
        .upload(
            &workspace,
            "file.pdf",
            &sample_files::document_about(name, 2),
        )
        .await?;
    client
        .wait_until_ready(&workspace, &document, timeouts::INGESTION)
        .await?;
    Ok((client, workspace, document))
}

async fn deleting_a_document_removes_it_everywhere(site: &Site) -> Result<()> {
    let (ada, workspace, document) = sign_up_with_document(site, "Remover").await?;
    let document_path = format!("/w/{workspace}/documents/{document}");
    ada.get(&document_path).await?;
    ada.post(&format!("{document_path}/delete"), &[])
        .await?
        .expect_success("deletion")?;
    wait::poll(timeouts::DELETION, "the document's deletion", || async {
        let listed = ada.documents(&workspace).await?;
        let keys = site.object_keys().await?;
        let left = keys.iter().any(|key| key.contains(&document));
        Ok((listed.is_empty() && !left).then_some(()))
    })
    .await?;
    let rows = site
        .query_tenant_database(
            &workspace,
            "select (select count(*) from documents), (select count(*) from chunks), (select count(*) from chunk_embeddings)",
        )
        .await?;
    ensure!(rows == "0|0|0", "{rows}");
    Ok(())
}

/// Waits for the deletion receipt on the page that the deletion redirected to.
async fn receipt(client: &AppClient, page: &Page) -> Result<String> {
    let path = page.path().to_owned();
    ensure!(path.starts_with("/receipts/"), "{path} is not a receipt");
    wait::poll(timeouts::DELETION, "the deletion receipt", || async {
        let text = client.get(&path).await?.text();
        Ok(text.contains("Deletion receipt").then_some(text))
    })
    .await
}

async fn check_nothing_is_left(
    site: &Site,
    workspace: &str,
    project: &neon_client::ids::ProjectId,
) -> Result<()> {
    ensure!(
        !site.cluster().account().project_exists(project).await?,
        "the project still exists"
    );
    ensure!(
        site.tenant(workspace).await?.is_none(),
        "the Tenant still exists"
    );
    let keys = site.object_keys().await?;
    let left: Vec<_> = keys.iter().filter(|key| key.contains(workspace)).collect();
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

async fn deleting_a_workspace_deletes_its_project_objects_and_rows(site: &Site) -> Result<()> {
    let (ada, workspace, _) = sign_up_with_document(site, "Cleaner").await?;
    let project = project_id(
        &site
            .tenant(&workspace)
            .await?
            .context("the workspace has no Tenant")?,
    )?;
    let settings = format!("/w/{workspace}/settings");
    let page = ada.get(&settings).await?;
    let phrase = page
        .text_between("data-confirm=\"", "\"")
        .context("the form has no confirmation phrase")?;
    let wrong = ada
        .post(
            &format!("{settings}/delete"),
            &[("confirm", "something else")],
        )
        .await?;
    ensure!(
        !wrong.path().starts_with("/receipts/"),
        "the workspace was deleted without the confirmation phrase"
    );
    let page = ada
        .post(&format!("{settings}/delete"), &[("confirm", &phrase)])
        .await?
        .expect_success("deletion")?;
    let text = receipt(&ada, &page).await?;
    ensure!(text.contains("Recoverable until"), "{text}");
    check_nothing_is_left(site, &workspace, &project).await
}

async fn deleting_an_account_deletes_its_workspace_and_ends_its_sessions(
    site: &Site,
) -> Result<()> {
    let (ada, workspace, _) = sign_up_with_document(site, "Goer").await?;
    let project = project_id(
        &site
            .tenant(&workspace)
            .await?
            .context("the workspace has no Tenant")?,
    )?;
    let page = ada.get("/account").await?;
    let phrase = page
        .text_between("data-confirm=\"", "\"")
        .context("the form has no confirmation phrase")?;
    let workspaces = page
        .text_between("name=\"workspaces\" value=\"", "\"")
        .context("the form does not list the workspaces")?;
    let fields = [("confirm", &*phrase), ("workspaces", &*workspaces)];
    let page = ada
        .post("/account/delete", &fields)
        .await?
        .expect_success("deletion")?;
    receipt(&ada, &page).await?;
    check_nothing_is_left(site, &workspace, &project).await?;
    let after = ada.get("/account").await?;
    ensure!(after.path() == "/sign-in", "the session is still valid");
    let known: i64 = sqlx::query_scalar("select count(*) from users where display_name = 'Goer'")
        .fetch_one(site.database())
        .await?;
    ensure!(known == 0, "the user still exists");
    Ok(())
}

async fn a_tenant_deleted_with_kubectl_is_reported_and_not_recreated(site: &Site) -> Result<()> {
    let (ada, workspace, _) = sign_up_with_document(site, "Robbed").await?;
    let name = test_support::site::tenant_name(&workspace);
    site.tenants()
        .delete(&name, &kube::api::DeleteParams::default())
        .await?;
    wait::until(
        &site.tenants(),
        &name,
        timeouts::CONVERGE,
        "deleted",
        |tenant| tenant.is_none(),
    )
    .await?;
    wait::poll(
        timeouts::CONVERGE,
        "the page to report the deletion",
        || async {
            let page = ada.get(&format!("/w/{workspace}/provisioning")).await?;
            Ok(page.text().contains("was deleted").then_some(()))
        },
    )
    .await?;
    wait::never(
        timeouts::QUIET_PERIOD,
        "the Tenant was recreated",
        || async {
            Ok(site
                .tenant(&workspace)
                .await?
                .map(|_| "it exists".to_owned()))
        },
    )
    .await
}
