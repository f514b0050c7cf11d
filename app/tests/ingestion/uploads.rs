//! Uploads, from choosing a file to the queued job.

use app::documents::{
    self, CompleteUploadError, CreateUploadError, DocumentStatus, IngestError, SystemFailure,
    UploadOutcome,
};
use futures::future::join_all;

use crate::support::{BUCKET, World, pdf, put, send};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_concurrent_uploads_stay_within_the_quota() {
    let world = World::start().await;
    let files: Vec<Vec<u8>> = (0..50)
        .map(|n| format!("%PDF-1.7 {n}").into_bytes())
        .collect();
    let pending = join_all(
        files
            .iter()
            .map(|bytes| world.create_upload("a.pdf", bytes)),
    )
    .await;
    let accepted = pending.iter().filter(|pending| pending.is_ok()).count();
    assert_eq!(accepted, 20);
    assert!(
        pending
            .iter()
            .filter_map(|pending| pending.as_ref().err())
            .all(|error| matches!(error, CreateUploadError::TooMany { max_documents: 20 }))
    );
    let rows = documents::list(&world.database, &world.workspace.id)
        .await
        .unwrap();
    assert_eq!(rows.len(), 20);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_upload_reports_the_existing_document() {
    let world = World::start().await;
    let bytes = pdf(1, "same");
    let document = world.upload("First name.pdf", &bytes).await;
    let again = world.create_upload("Other name.pdf", &bytes).await;
    match again {
        Err(CreateUploadError::Duplicate {
            document: existing,
            title,
        }) => {
            assert_eq!(existing, document);
            assert_eq!(title, "First name");
        }
        other => panic!("{other:?}"),
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_uploads_of_the_same_file_share_one_row() {
    let world = World::start().await;
    let bytes = pdf(1, "same");
    let pending = join_all((0..10).map(|_| world.create_upload("a.pdf", &bytes))).await;
    let first = pending[0].as_ref().unwrap().document;
    assert!(
        pending
            .iter()
            .all(|pending| pending.as_ref().unwrap().document == first)
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completing_an_upload_twice_adds_one_job() {
    let world = World::start().await;
    let document = world.upload("a.pdf", &pdf(1, "twice")).await;
    let again =
        documents::complete_upload(&world.database, &world.objects, &world.workspace, document)
            .await;
    assert_eq!(again.unwrap(), UploadOutcome::Accepted);
    assert_eq!(world.jobs().await, [format!("ingest:{document}")]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completing_before_the_file_arrived_keeps_the_upload_open() {
    let world = World::start().await;
    let bytes = pdf(1, "late");
    let pending = world.create_upload("a.pdf", &bytes).await.unwrap();
    let early = documents::complete_upload(
        &world.database,
        &world.objects,
        &world.workspace,
        pending.document,
    )
    .await;
    assert!(
        matches!(early, Err(CompleteUploadError::NotArrived)),
        "{early:?}"
    );
    assert_eq!(
        world.state(pending.document).await,
        DocumentStatus::Uploading
    );
    assert_eq!(send(&pending, bytes).await, 200);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_object_store_rejects_bytes_that_were_not_signed() {
    let world = World::start().await;
    let bytes = pdf(1, "signed");
    let pending = world.create_upload("a.pdf", &bytes).await.unwrap();
    let mut other = bytes.clone();
    let last = other.len() - 1;
    other[last] ^= 1;
    for wrong in [other, bytes[1..].to_vec(), [&bytes[..], b" "].concat()] {
        let status = send(&pending, wrong).await;
        assert!((400..500).contains(&status), "{status}");
    }
    assert_eq!(world.s3.object_versions(BUCKET).await.unwrap(), []);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presigned_url_stores_one_version_however_often_it_is_used() {
    let world = World::start().await;
    let origin = "https://chat.example.org";
    world.objects.allow_pages_of(origin).await.unwrap();
    let bytes = pdf(1, "once");
    let pending = world.create_upload("a.pdf", &bytes).await.unwrap();
    assert_eq!(send(&pending, bytes.clone()).await, 200);
    let repeated = join_all((0..8).map(|_| send(&pending, bytes.clone()))).await;
    assert_eq!(repeated, [412; 8]);
    // Nor with a URL that was signed later.
    let again = world.create_upload("a.pdf", &bytes).await.unwrap();
    assert_eq!(send(&again, bytes.clone()).await, 412);
    assert_eq!(world.s3.object_versions(BUCKET).await.unwrap().len(), 1);
    // The page must be able to read the status.
    let response = put(&pending, bytes)
        .header("origin", origin)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 412);
    assert_eq!(response.headers()["access-control-allow-origin"], origin);
    let completed = documents::complete_upload(
        &world.database,
        &world.objects,
        &world.workspace,
        pending.document,
    );
    assert_eq!(completed.await.unwrap(), UploadOutcome::Accepted);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presigned_url_rejects_headers_other_than_the_signed_ones() {
    let world = World::start().await;
    let bytes = pdf(1, "headers");
    let pending = world.create_upload("a.pdf", &bytes).await.unwrap();
    let signed: Vec<&str> = pending
        .put
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    for name in [
        "content-encoding",
        "content-type",
        "if-none-match",
        "x-amz-checksum-sha256",
    ] {
        assert!(signed.contains(&name), "{signed:?}");
        for replacement in [None, Some("gzip")] {
            let mut changed = pending.clone();
            changed.put.headers.retain(|(other, _)| other != name);
            let replacement = replacement.map(|value| (name.to_owned(), value.to_owned()));
            changed.put.headers.extend(replacement.clone());
            let status = send(&changed, bytes.clone()).await;
            assert!(
                (400..500).contains(&status),
                "{name} {replacement:?}: {status}"
            );
        }
    }
    assert_eq!(world.s3.object_versions(BUCKET).await.unwrap(), []);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_past_the_signature_is_match_out_and_removed() {
    let world = World::start().await;
    let bytes = pdf(1, "announced");
    let pending = world.create_upload("a.pdf", &bytes).await.unwrap();
    let mut other = bytes.clone();
    let last = other.len() - 1;
    other[last] ^= 1;
    let key = format!(
        "workspaces/{}/documents/{}",
        world.workspace.id, pending.document
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
    let mismatch = IngestError::System(SystemFailure::UploadMismatch);
    let completed = documents::complete_upload(
        &world.database,
        &world.objects,
        &world.workspace,
        pending.document,
    )
    .await
    .unwrap();
    assert_eq!(completed, UploadOutcome::Rejected(mismatch.clone()));
    assert_eq!(
        world.state(pending.document).await,
        DocumentStatus::Failed(mismatch)
    );
    assert_eq!(world.s3.object_versions(BUCKET).await.unwrap(), []);
    assert_eq!(world.jobs().await, Vec::<String>::new());
    // The announced file itself can still be uploaded, into the same row.
    assert_eq!(
        world.create_upload("a.pdf", &bytes).await.unwrap().document,
        pending.document
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_only_claims_to_be_a_pdf_is_rejected() {
    let world = World::start().await;
    let bytes = b"PK\x03\x04 not at all".to_vec();
    let pending = world.create_upload("a.pdf", &bytes).await.unwrap();
    assert_eq!(send(&pending, bytes.clone()).await, 200);
    let completed = documents::complete_upload(
        &world.database,
        &world.objects,
        &world.workspace,
        pending.document,
    )
    .await
    .unwrap();
    assert_eq!(
        completed,
        UploadOutcome::Rejected(IngestError::File(pdf_text::DocumentError::NotPdf))
    );
    assert_eq!(world.s3.object_versions(BUCKET).await.unwrap(), []);
    // Uploading the same file again is checked again, in the same row, rather than rejected as a
    // duplicate.
    let again = world.create_upload("a.pdf", &bytes).await.unwrap();
    assert_eq!(again.document, pending.document);
    assert_eq!(world.state(again.document).await, DocumentStatus::Uploading);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overdue_upload_fails_and_can_be_restarted() {
    let world = World::start().await;
    let bytes = pdf(1, "slow");
    let pending = world.create_upload("a.pdf", &bytes).await.unwrap();
    assert_eq!(
        documents::fail_overdue_uploads(&world.database)
            .await
            .unwrap(),
        0
    );
    sqlx::query("UPDATE documents SET upload_deadline = now() - interval '1 second'")
        .execute(&world.database)
        .await
        .unwrap();
    assert_eq!(
        documents::fail_overdue_uploads(&world.database)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        world.state(pending.document).await,
        DocumentStatus::Failed(IngestError::System(SystemFailure::UploadMissing))
    );
    let again = world.create_upload("a.pdf", &bytes).await.unwrap();
    assert_eq!(again.document, pending.document);
    assert_eq!(
        world.state(pending.document).await,
        DocumentStatus::Uploading
    );
    world.stop().await;
}
