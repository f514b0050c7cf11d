//! What users do.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use neon_client::model::EndpointState;
use reqwest::Method;
use serde_json::json;
use test_support::scenario::project_id;
use test_support::{Site, sample_files, timeouts, wait};

super::tests_on![super::UNDISTURBED:
    an_answer_cites_the_page_of_an_uploaded_pdf,
    signing_in_twice_at_the_same_time_creates_one_workspace,
    submitting_a_form_twice_creates_one_workspace,
    uploading_the_same_file_twice_is_rejected,
    an_upload_must_be_exactly_the_announced_file,
    unreadable_files_fail_with_an_explanation,
    an_invited_member_sees_the_documents_and_cannot_delete_the_workspace,
    an_export_contains_files_texts_and_a_manifest,
    a_changed_database_password_is_used_without_a_restart,
    a_request_starts_a_suspended_compute,
];

async fn an_answer_cites_the_page_of_an_uploaded_pdf(site: &Site) -> Result<()> {
    let (ada, workspace) = site.sign_up("Ada").await?;
    let file = sample_files::document_about("herons", 5);
    let document = ada.upload(&workspace, "herons.pdf", &file).await?;
    let row = ada
        .wait_until_ready(&workspace, &document, timeouts::INGESTION)
        .await?;
    ensure!(row.text.contains("5 pages"), "{}", row.text);

    let answer = ada
        .ask(
            &workspace,
            "What is the secret number of herons, part 3?",
            timeouts::ANSWER,
        )
        .await?;
    let number = sample_files::secret_number("herons", 3).to_string();
    ensure!(answer.text().contains(&number), "{}", answer.text());
    let citation = format!("/w/{workspace}/documents/{document}/file#page=3");
    ensure!(answer.html().contains(&citation), "{}", answer.html());

    let search = ada
        .get(&format!("/w/{workspace}/documents/search?q={number}"))
        .await?
        .expect_success("search")?;
    ensure!(search.html().contains("#page=3"), "{}", search.text());

    let file_route = format!("/w/{workspace}/documents/{document}/file");
    let opened = ada.fetch(Method::GET, &file_route).await?;
    let location = opened
        .headers()
        .get("location")
        .context("the route does not redirect")?;
    let opened = reqwest::get(location.to_str()?).await?.error_for_status()?;
    ensure!(
        opened.bytes().await? == file,
        "the citation opens another file"
    );

    // All content is in the tenant's database and none in the main database.
    let counts = site
        .query_tenant_database(
            &workspace,
            "select (select count(*) > 0 from chunks), (select count(*) from chunks) = (select count(*) from chunk_embeddings), \
             (select count(*) from messages), (select count(*) from embedding_drafts)",
        )
        .await?;
    ensure!(counts == "t|t|2|0", "{counts}");
    let main = site.dump_main_database().await?;
    ensure!(
        main.contains(&document),
        "the dump does not contain the document, so this check proves nothing"
    );
    for words in ["secret number", &number, "Nothing else on this page"] {
        ensure!(
            !main.contains(words),
            "the main database contains {words:?}"
        );
    }
    Ok(())
}

async fn signing_in_twice_at_the_same_time_creates_one_workspace(site: &Site) -> Result<()> {
    let (one, two) = (site.client()?, site.client()?);
    tokio::try_join!(one.sign_in_by_name("Twice"), two.sign_in_by_name("Twice"))?;
    let (first, second) = (one.workspace().await?, two.workspace().await?);
    ensure!(first == second, "{first} and {second}");
    one.wait_until_available(&first, timeouts::CONVERGE).await?;
    let of_twice = sqlx::query_scalar::<_, i64>(
        "select count(*) from workspaces join users on users.id = created_by where display_name = 'Twice'",
    )
    .fetch_one(site.database())
    .await?;
    ensure!(of_twice == 1, "{of_twice} workspaces");
    Ok(())
}

async fn submitting_a_form_twice_creates_one_workspace(site: &Site) -> Result<()> {
    let (ada, first) = site.sign_up("Clicker").await?;
    let form = ada.get("/workspaces/new").await?.expect_success("form")?;
    let request = form
        .text_between("name=\"request_id\" value=\"", "\"")
        .context("the form has no request id")?;
    let mut fields = vec![("request_id", request.as_str()), ("name", "Second")];
    let hidden: Vec<(&str, String)> = ["class", "region"]
        .into_iter()
        .filter_map(|name| {
            let value = form.text_between(&format!("name=\"{name}\" value=\""), "\"")?;
            Some((name, value))
        })
        .collect();
    fields.extend(hidden.iter().map(|(name, value)| (*name, value.as_str())));
    let mut created = BTreeSet::new();
    for _ in 0..2 {
        let page = ada
            .post("/workspaces", &fields)
            .await?
            .expect_success("workspace")?;
        let path = page.path().to_owned();
        let workspace = path
            .split('/')
            .nth(2)
            .context("the path has no workspace")?;
        created.insert(workspace.to_owned());
    }
    ensure!(
        created.len() == 1 && !created.contains(&first),
        "{created:?}"
    );
    for workspace in &created {
        ada.wait_until_available(workspace, timeouts::CONVERGE)
            .await?;
    }
    Ok(())
}

async fn uploading_the_same_file_twice_is_rejected(site: &Site) -> Result<()> {
    let (ada, workspace) = site.sign_up("Again").await?;
    let file = sample_files::document_about("otters", 1);
    let document = ada.upload(&workspace, "otters.pdf", &file).await?;
    ada.wait_until_ready(&workspace, &document, timeouts::INGESTION)
        .await?;
    let again = ada.upload(&workspace, "other name.pdf", &file).await;
    ensure!(again.is_err(), "the same file was accepted twice");
    ensure!(ada.documents(&workspace).await?.len() == 1);
    Ok(())
}

async fn an_upload_must_be_exactly_the_announced_file(site: &Site) -> Result<()> {
    let (ada, workspace) = site.sign_up("Promise").await?;
    ada.get(&format!("/w/{workspace}/documents")).await?;
    let (announced, other) = (
        sample_files::document_about("owls", 1),
        sample_files::document_about("bats", 1),
    );
    ensure!(
        announced.len() == other.len(),
        "the files must have the same size"
    );
    let upload = ada
        .create_upload(&workspace, "owls.pdf", &announced)
        .await?;
    ensure!(
        ada.put_file(&upload, &other).await.is_err(),
        "a file with another checksum was accepted"
    );
    let longer = [announced.clone(), vec![b' ']].concat();
    ensure!(
        ada.put_file(&upload, &longer).await.is_err(),
        "a longer file was accepted"
    );
    // Completing an upload without a file fails.
    let complete = format!("/w/{workspace}/documents/{}/complete", upload.document_id);
    let (status, body) = ada.post_json(&complete, &json!({})).await?;
    ensure!(!status.is_success(), "{status} {body}");
    ada.put_file(&upload, &announced).await?;
    ada.post_json(&complete, &json!({})).await?;
    ada.wait_until_ready(&workspace, &upload.document_id, timeouts::INGESTION)
        .await?;
    Ok(())
}

async fn unreadable_files_fail_with_an_explanation(site: &Site) -> Result<()> {
    let (ada, workspace) = site.sign_up("Odd").await?;
    let empty = local_stack::sample_pdf(&[""]);
    for (name, file) in [
        (
            "picture.pdf",
            b"\x89PNG\r\n\x1a\n not a PDF at all".to_vec(),
        ),
        (
            "cut off.pdf",
            sample_files::document_about("moles", 3)[..200].to_vec(),
        ),
        (
            "self-referencing.pdf",
            sample_files::self_referencing_form(),
        ),
        ("no text.pdf", empty),
    ] {
        let document = match ada.upload(&workspace, name, &file).await {
            Ok(document) => document,
            // The upload itself is rejected with an explanation.
            Err(error) => {
                ensure!(error.to_string().len() > 40, "{name}: {error}");
                continue;
            }
        };
        let row = ada
            .wait_for_document(&workspace, &document, timeouts::INGESTION, |row| {
                row.state == "ready" || row.state == "failed"
            })
            .await?;
        ensure!(
            row.state == "failed" && row.text.len() > name.len() + 60,
            "{name}: {row:?}"
        );
    }
    ensure!(
        site.count("select count(*) from documents where state in ('queued', 'working') and file_name in ('picture.pdf', 'cut off.pdf', 'self-referencing.pdf', 'no text.pdf')").await? == 0
    );
    Ok(())
}

async fn an_invited_member_sees_the_documents_and_cannot_delete_the_workspace(
    site: &Site,
) -> Result<()> {
    let (ada, workspace) = site.sign_up("Host").await?;
    let document = ada
        .upload(
            &workspace,
            "deer.pdf",
            &sample_files::document_about("deer", 1),
        )
        .await?;
    ada.wait_until_ready(&workspace, &document, timeouts::INGESTION)
        .await?;
    let members = format!("/w/{workspace}/members");
    ada.get(&members).await?;
    let page = ada
        .post(&format!("{members}/invitations"), &[("role", "member")])
        .await?
        .expect_success("invitation")?;
    let link = page
        .text_between("id=\"invitation-link\" type=\"text\" value=\"", "\"")
        .context("the page has no invitation link")?;
    let path = link
        .strip_prefix(&site.url())
        .context("the link is outside the app")?
        .to_owned();

    let guest = site.client()?;
    guest.sign_in_by_name("Guest").await?;
    guest.get(&path).await?.expect_success("invitation page")?;
    guest.post(&path, &[]).await?.expect_success("joining")?;
    ensure!(guest.documents(&workspace).await?.len() == 1);
    guest.get(&format!("/w/{workspace}/settings")).await?;
    let denied = guest
        .post(
            &format!("/w/{workspace}/settings/delete"),
            &[("confirm", "Host")],
        )
        .await?;
    ensure!(denied.status().is_client_error(), "{}", denied.status());
    let third = site.client()?;
    third.sign_in_by_name("Late").await?;
    third.get(&path).await?;
    third.post(&path, &[]).await?;
    let page = third.get(&format!("/w/{workspace}/documents")).await?;
    ensure!(
        page.status() == 404,
        "an invitation link worked twice: {}",
        page.status()
    );
    Ok(())
}

async fn an_export_contains_files_texts_and_a_manifest(site: &Site) -> Result<()> {
    let (ada, workspace) = site.sign_up("Leaver").await?;
    let file = sample_files::document_about("newts", 2);
    let document = ada.upload(&workspace, "newts.pdf", &file).await?;
    ada.wait_until_ready(&workspace, &document, timeouts::INGESTION)
        .await?;
    let response = ada
        .fetch(Method::GET, &format!("/w/{workspace}/export"))
        .await?;
    ensure!(response.status().is_success(), "{}", response.status());
    let archive = response.bytes().await?;
    let contains = |bytes: &[u8]| archive.windows(bytes.len()).any(|window| window == bytes);
    ensure!(
        archive.starts_with(b"PK"),
        "the export is not a ZIP archive"
    );
    for name in ["manifest.json", "newts"] {
        ensure!(contains(name.as_bytes()), "the archive has no {name}");
    }
    // The end of the central directory shows that the archive is complete.
    ensure!(contains(b"PK\x05\x06"), "the archive is incomplete");
    Ok(())
}

async fn a_changed_database_password_is_used_without_a_restart(site: &Site) -> Result<()> {
    let (ada, workspace) = site.sign_up("Rotate").await?;
    let document = ada
        .upload(
            &workspace,
            "toads.pdf",
            &sample_files::document_about("toads", 1),
        )
        .await?;
    ada.wait_until_ready(&workspace, &document, timeouts::INGESTION)
        .await?;
    let tenant = site
        .tenant(&workspace)
        .await?
        .context("the workspace has no Tenant")?;
    let project = project_id(&tenant)?;
    let owner = site.secret_data(&workspace).await?[crds::keys::USERNAME].clone();
    site.cluster()
        .account()
        .reset_password(&project, &owner)
        .await?;
    let found = wait::poll(
        timeouts::CONVERGE,
        "the search to work with the new password",
        || async {
            let page = ada
                .get(&format!("/w/{workspace}/documents/search?q=toads"))
                .await?;
            Ok(page.html().contains("#page=1").then_some(()))
        },
    );
    found.await
}

async fn a_request_starts_a_suspended_compute(site: &Site) -> Result<()> {
    let (ada, workspace) = site.sign_up("Sleeper").await?;
    let tenant = site
        .tenant(&workspace)
        .await?
        .context("the workspace has no Tenant")?;
    let (account, id) = (site.cluster().account(), project_id(&tenant)?);
    let emulator = site.cluster().emulator();
    wait::poll(timeouts::CONVERGE, "a cold start by a search", async || {
        if account.endpoint(&id).await?.current_state != EndpointState::Idle {
            return Ok(None);
        }
        let before = emulator.cold_starts();
        ada.get(&format!("/w/{workspace}/documents/search?q=anything"))
            .await?
            .expect_success("search")?;
        Ok((emulator.cold_starts() > before).then_some(()))
    })
    .await
}
