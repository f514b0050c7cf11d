//! What people do.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::json;
use tests::{Site, files, limits};

super::tests_on![super::QUIET:
    a_newcomer_brings_a_pdf_asks_it_and_is_shown_its_page,
    signing_in_in_two_windows_at_once_makes_one_workspace,
    a_form_sent_twice_makes_one_workspace,
    the_same_file_is_told_and_not_doubled,
    a_file_other_than_promised_is_not_taken,
    files_that_are_no_readable_pdfs_end_with_a_word,
    an_invited_member_sees_the_documents_and_may_not_remove_the_workspace,
    an_export_holds_files_text_and_manifest,
    a_password_that_changed_is_picked_up_without_a_restart,
];

async fn a_newcomer_brings_a_pdf_asks_it_and_is_shown_its_page(site: &Site) -> Result<()> {
    let (ada, workspace) = site.newcomer("Ada").await?;
    let file = files::about("herons", 5);
    let document = ada.upload(&workspace, "herons.pdf", &file).await?;
    let row = ada
        .until_ready(&workspace, &document, limits::SEARCHABLE)
        .await?;
    ensure!(row.words.contains("5 pages"), "{}", row.words);

    let answer = ada
        .ask(
            &workspace,
            "What is the secret number of herons, part 3?",
            limits::ANSWER,
        )
        .await?;
    let number = files::secret_number("herons", 3).to_string();
    ensure!(answer.words().contains(&number), "{}", answer.words());
    let citation = format!("/w/{workspace}/documents/{document}/file#page=3");
    ensure!(answer.text().contains(&citation), "{}", answer.text());

    let search = ada
        .get(&format!("/w/{workspace}/documents/search?q={number}"))
        .await?
        .expect_success("the search")?;
    ensure!(search.text().contains("#page=3"), "{}", search.words());

    let file_route = format!("/w/{workspace}/documents/{document}/file");
    let opened = ada.answer(Method::GET, &file_route).await?;
    let place = opened.headers().get("location").context("no place")?;
    let opened = reqwest::get(place.to_str()?).await?.error_for_status()?;
    ensure!(opened.bytes().await? == file, "another file");

    // Everything is in the tenant's database, and nothing of it in the app's own.
    let kept = site
        .in_tenant(
            &workspace,
            "select (select count(*) > 0 from chunks), (select count(*) from chunks) = (select count(*) from chunk_embeddings), \
             (select count(*) from messages), (select count(*) from embedding_drafts)",
        )
        .await?;
    ensure!(kept == "t|t|2|0", "{kept}");
    let main = site.all_rows().await?;
    ensure!(main.contains(&document), "nothing was looked at");
    for words in ["secret number", &number, "Nothing else on this page"] {
        ensure!(!main.contains(words), "the main database holds {words:?}");
    }
    Ok(())
}

async fn signing_in_in_two_windows_at_once_makes_one_workspace(site: &Site) -> Result<()> {
    let (one, two) = (site.visitor()?, site.visitor()?);
    tokio::try_join!(one.sign_in_by_name("Twice"), two.sign_in_by_name("Twice"))?;
    let (first, second) = (one.workspace().await?, two.workspace().await?);
    ensure!(first == second, "{first} and {second}");
    one.until_available(&first, limits::CONVERGE).await?;
    let of_twice = sqlx::query_scalar::<_, i64>(
        "select count(*) from workspaces join users on users.id = created_by where display_name = 'Twice'",
    )
    .fetch_one(site.database())
    .await?;
    ensure!(of_twice == 1, "{of_twice} workspaces");
    Ok(())
}

async fn a_form_sent_twice_makes_one_workspace(site: &Site) -> Result<()> {
    let (ada, first) = site.newcomer("Clicker").await?;
    let form = ada
        .get("/workspaces/new")
        .await?
        .expect_success("the form")?;
    let request = form
        .between("name=\"request_id\" value=\"", "\"")
        .context("no request id")?;
    let mut fields = vec![("request_id", request.as_str()), ("name", "Second")];
    let hidden: Vec<(&str, String)> = ["class", "region"]
        .into_iter()
        .filter_map(|name| {
            let value = form.between(&format!("name=\"{name}\" value=\""), "\"")?;
            Some((name, value))
        })
        .collect();
    fields.extend(hidden.iter().map(|(name, value)| (*name, value.as_str())));
    let mut made = BTreeSet::new();
    for _ in 0..2 {
        let page = ada
            .post("/workspaces", &fields)
            .await?
            .expect_success("a workspace")?;
        let path = page.path().to_owned();
        let workspace = path.split('/').nth(2).context("no workspace")?;
        made.insert(workspace.to_owned());
    }
    ensure!(made.len() == 1 && !made.contains(&first), "{made:?}");
    for workspace in &made {
        ada.until_available(workspace, limits::CONVERGE).await?;
    }
    Ok(())
}

async fn the_same_file_is_told_and_not_doubled(site: &Site) -> Result<()> {
    let (ada, workspace) = site.newcomer("Again").await?;
    let file = files::about("otters", 1);
    let document = ada.upload(&workspace, "otters.pdf", &file).await?;
    ada.until_ready(&workspace, &document, limits::SEARCHABLE)
        .await?;
    let again = ada.upload(&workspace, "other name.pdf", &file).await;
    ensure!(again.is_err(), "the same file was taken twice");
    ensure!(ada.documents(&workspace).await?.len() == 1);
    Ok(())
}

async fn a_file_other_than_promised_is_not_taken(site: &Site) -> Result<()> {
    let (ada, workspace) = site.newcomer("Promise").await?;
    ada.get(&format!("/w/{workspace}/documents")).await?;
    let (promised, other) = (files::about("owls", 1), files::about("bats", 1));
    ensure!(promised.len() == other.len(), "the sizes tell them apart");
    let (document, url, headers) = ada.reserve(&workspace, "owls.pdf", &promised).await?;
    ensure!(
        ada.put(&url, &headers, &other).await.is_err(),
        "other bytes are taken under the signed checksum"
    );
    let longer = [promised.clone(), vec![b' ']].concat();
    ensure!(
        ada.put(&url, &headers, &longer).await.is_err(),
        "more bytes are taken than were signed"
    );
    // Who says so without having put anything is not believed.
    let complete = format!("/w/{workspace}/documents/{document}/complete");
    let (status, said) = ada.fetch(&complete, &json!({})).await?;
    ensure!(!status.is_success(), "{status} {said}");
    ada.put(&url, &headers, &promised).await?;
    ada.fetch(&complete, &json!({})).await?;
    ada.until_ready(&workspace, &document, limits::SEARCHABLE)
        .await?;
    Ok(())
}

async fn files_that_are_no_readable_pdfs_end_with_a_word(site: &Site) -> Result<()> {
    let (ada, workspace) = site.newcomer("Odd").await?;
    let empty = xtask::sample_pdf(&[""]);
    for (name, file) in [
        (
            "picture.pdf",
            b"\x89PNG\r\n\x1a\n not a PDF at all".to_vec(),
        ),
        ("cut off.pdf", files::about("moles", 3)[..200].to_vec()),
        ("draws itself.pdf", files::that_draws_itself()),
        ("no text.pdf", empty),
    ] {
        let document = match ada.upload(&workspace, name, &file).await {
            Ok(document) => document,
            // Refused on the spot, with a word.
            Err(error) => {
                ensure!(error.to_string().len() > 40, "{name}: {error}");
                continue;
            }
        };
        let row = ada
            .until_document(&workspace, &document, limits::SEARCHABLE, |row| {
                row.state == "ready" || row.state == "failed"
            })
            .await?;
        ensure!(
            row.state == "failed" && row.words.len() > name.len() + 60,
            "{name}: {row:?}"
        );
    }
    ensure!(
        site.count("select count(*) from documents where state in ('queued', 'working') and file_name in ('picture.pdf', 'cut off.pdf', 'draws itself.pdf', 'no text.pdf')").await? == 0
    );
    Ok(())
}

async fn an_invited_member_sees_the_documents_and_may_not_remove_the_workspace(
    site: &Site,
) -> Result<()> {
    let (ada, workspace) = site.newcomer("Host").await?;
    let document = ada
        .upload(&workspace, "deer.pdf", &files::about("deer", 1))
        .await?;
    ada.until_ready(&workspace, &document, limits::SEARCHABLE)
        .await?;
    let members = format!("/w/{workspace}/members");
    ada.get(&members).await?;
    let page = ada
        .post(&format!("{members}/invitations"), &[("role", "member")])
        .await?
        .expect_success("an invitation")?;
    let link = page
        .between("id=\"invitation-link\" type=\"text\" value=\"", "\"")
        .context("no link")?;
    let path = link
        .strip_prefix(&site.url())
        .context("the link leads elsewhere")?
        .to_owned();

    let guest = site.visitor()?;
    guest.sign_in_by_name("Guest").await?;
    guest.get(&path).await?.expect_success("the invitation")?;
    guest.post(&path, &[]).await?.expect_success("joining")?;
    ensure!(guest.documents(&workspace).await?.len() == 1);
    guest.get(&format!("/w/{workspace}/settings")).await?;
    let refused = guest
        .post(
            &format!("/w/{workspace}/settings/delete"),
            &[("confirm", "Host")],
        )
        .await?;
    ensure!(refused.status().is_client_error(), "{}", refused.status());
    let late = site.visitor()?;
    late.sign_in_by_name("Late").await?;
    late.get(&path).await?;
    late.post(&path, &[]).await?;
    let closed = late.get(&format!("/w/{workspace}/documents")).await?;
    ensure!(
        closed.status() == 404,
        "a link lets a second person in: {}",
        closed.status()
    );
    Ok(())
}

async fn an_export_holds_files_text_and_manifest(site: &Site) -> Result<()> {
    let (ada, workspace) = site.newcomer("Leaver").await?;
    let file = files::about("newts", 2);
    let document = ada.upload(&workspace, "newts.pdf", &file).await?;
    ada.until_ready(&workspace, &document, limits::SEARCHABLE)
        .await?;
    let answer = ada
        .answer(Method::GET, &format!("/w/{workspace}/export"))
        .await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    let archive = answer.bytes().await?;
    let holds = |bytes: &[u8]| archive.windows(bytes.len()).any(|window| window == bytes);
    ensure!(archive.starts_with(b"PK"), "no archive");
    for name in ["manifest.json", "newts"] {
        ensure!(holds(name.as_bytes()), "the archive has no {name}");
    }
    // The end of the central directory: the archive is whole.
    ensure!(holds(b"PK\x05\x06"), "the archive is cut off");
    Ok(())
}

async fn a_password_that_changed_is_picked_up_without_a_restart(site: &Site) -> Result<()> {
    let (ada, workspace) = site.newcomer("Rotate").await?;
    let document = ada
        .upload(&workspace, "toads.pdf", &files::about("toads", 1))
        .await?;
    ada.until_ready(&workspace, &document, limits::SEARCHABLE)
        .await?;
    let tenant = site.tenant(&workspace).await?.context("no Tenant")?;
    let project = tests::case::project_id(&tenant)?;
    let owner = site.secret(&workspace).await?[crds::keys::USERNAME].clone();
    site.cluster()
        .account()
        .reset_password(&project, &owner)
        .await?;
    let found = tests::wait::poll(
        limits::CONVERGE,
        "the search works with the new password",
        || async {
            let page = ada
                .get(&format!("/w/{workspace}/documents/search?q=toads"))
                .await?;
            Ok(page.text().contains("#page=1").then_some(()))
        },
    );
    found.await
}
