//! From choosing a file to its job.

use app::documents::{self, BeginError, CompleteError, Completed, Failure, OwnFailure, State};
use futures::future::join_all;

use crate::support::{BUCKET, World, pdf, put};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_beginnings_at_once_stay_within_the_quota() {
    let world = World::start().await;
    let files: Vec<Vec<u8>> = (0..50)
        .map(|n| format!("%PDF-1.7 {n}").into_bytes())
        .collect();
    let begun = join_all(files.iter().map(|bytes| world.begin("a.pdf", bytes))).await;
    let accepted = begun.iter().filter(|begun| begun.is_ok()).count();
    assert_eq!(accepted, 20);
    assert!(
        begun
            .iter()
            .filter_map(|begun| begun.as_ref().err())
            .all(|error| matches!(error, BeginError::TooMany { documents_max: 20 }))
    );
    let rows = documents::list(&world.database, &world.workspace.id)
        .await
        .unwrap();
    assert_eq!(rows.len(), 20);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_is_told_by_the_name_of_the_document_that_has_it() {
    let world = World::start().await;
    let bytes = pdf(1, "same");
    let document = world.bring("First name.pdf", &bytes).await;
    let again = world.begin("Other name.pdf", &bytes).await;
    match again {
        Err(BeginError::Duplicate {
            document: told,
            title,
        }) => {
            assert_eq!(told, document);
            assert_eq!(title, "First name");
        }
        other => panic!("{other:?}"),
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_begun_by_many_at_once_is_one_row() {
    let world = World::start().await;
    let bytes = pdf(1, "same");
    let begun = join_all((0..10).map(|_| world.begin("a.pdf", &bytes))).await;
    let first = begun[0].as_ref().unwrap().document;
    assert!(
        begun
            .iter()
            .all(|begun| begun.as_ref().unwrap().document == first)
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completing_twice_adds_one_job() {
    let world = World::start().await;
    let document = world.bring("a.pdf", &pdf(1, "twice")).await;
    let again =
        documents::complete(&world.database, &world.objects, &world.workspace, document).await;
    assert_eq!(again.unwrap(), Completed::Accepted);
    assert_eq!(world.jobs().await, [format!("ingest:{document}")]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_has_not_arrived_can_still_be_sent() {
    let world = World::start().await;
    let bytes = pdf(1, "late");
    let begun = world.begin("a.pdf", &bytes).await.unwrap();
    let early = documents::complete(
        &world.database,
        &world.objects,
        &world.workspace,
        begun.document,
    )
    .await;
    assert!(matches!(early, Err(CompleteError::NotArrived)), "{early:?}");
    assert_eq!(world.state(begun.document).await, State::Uploading);
    assert_eq!(put(&begun, bytes).await, 200);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_itself_refuses_other_bytes_than_were_signed() {
    let world = World::start().await;
    let bytes = pdf(1, "signed");
    let begun = world.begin("a.pdf", &bytes).await.unwrap();
    let mut other = bytes.clone();
    let last = other.len() - 1;
    other[last] ^= 1;
    for wrong in [other, bytes[1..].to_vec(), [&bytes[..], b" "].concat()] {
        let status = put(&begun, wrong).await;
        assert!((400..500).contains(&status), "{status}");
    }
    assert_eq!(world.s3.object_versions(BUCKET).await.unwrap(), []);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_past_the_signature_is_found_out_and_removed() {
    let world = World::start().await;
    let bytes = pdf(1, "announced");
    let begun = world.begin("a.pdf", &bytes).await.unwrap();
    let mut other = bytes.clone();
    let last = other.len() - 1;
    other[last] ^= 1;
    let key = format!(
        "workspaces/{}/documents/{}",
        world.workspace.id, begun.document
    );
    let sent = world
        .s3
        .client()
        .put_object()
        .bucket(BUCKET)
        .key(&key)
        .body(other.into())
        .send();
    sent.await.unwrap();
    let mismatch = Failure::Own(OwnFailure::UploadMismatch);
    let completed = documents::complete(
        &world.database,
        &world.objects,
        &world.workspace,
        begun.document,
    )
    .await
    .unwrap();
    assert_eq!(completed, Completed::Refused(mismatch.clone()));
    assert_eq!(world.state(begun.document).await, State::Failed(mismatch));
    assert_eq!(world.s3.object_versions(BUCKET).await.unwrap(), []);
    assert_eq!(world.jobs().await, Vec::<String>::new());
    // The file itself is welcome, in the same row.
    assert_eq!(
        world.begin("a.pdf", &bytes).await.unwrap().document,
        begun.document
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_only_says_it_is_a_pdf_is_refused() {
    let world = World::start().await;
    let bytes = b"PK\x03\x04 not at all".to_vec();
    let begun = world.begin("a.pdf", &bytes).await.unwrap();
    assert_eq!(put(&begun, bytes.clone()).await, 200);
    let completed = documents::complete(
        &world.database,
        &world.objects,
        &world.workspace,
        begun.document,
    )
    .await
    .unwrap();
    assert_eq!(
        completed,
        Completed::Refused(Failure::File(pdf_text::Refusal::NotPdf))
    );
    assert_eq!(world.s3.object_versions(BUCKET).await.unwrap(), []);
    // Brought once more it is looked at once more, in the same row: nothing is kept of it that could be "there already".
    let again = world.begin("a.pdf", &bytes).await.unwrap();
    assert_eq!(again.document, begun.document);
    assert_eq!(world.state(again.document).await, State::Uploading);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_past_its_deadline_says_so_and_can_be_begun_again() {
    let world = World::start().await;
    let bytes = pdf(1, "slow");
    let begun = world.begin("a.pdf", &bytes).await.unwrap();
    assert_eq!(
        documents::sweep_uploads(&world.database)
            .await
            .unwrap()
            .uploads,
        0
    );
    sqlx::query("UPDATE documents SET upload_deadline = now() - interval '1 second'")
        .execute(&world.database)
        .await
        .unwrap();
    assert_eq!(
        documents::sweep_uploads(&world.database)
            .await
            .unwrap()
            .uploads,
        1
    );
    assert_eq!(
        world.state(begun.document).await,
        State::Failed(Failure::Own(OwnFailure::UploadMissing))
    );
    let again = world.begin("a.pdf", &bytes).await.unwrap();
    assert_eq!(again.document, begun.document);
    assert_eq!(world.state(begun.document).await, State::Uploading);
    world.stop().await;
}
