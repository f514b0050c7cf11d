//! Outages of the services that ingestion needs: the document shows the reason, nothing is lost,
//! and ingestion continues afterwards.

use std::sync::atomic::Ordering;

use app::documents::{
    self, BlockedOn, DeleteDocument, DiscardText, DocumentStatus, IngestError, SystemFailure,
};
use app::ingestion::MAX_ATTEMPTS;
use app::jobs::{self, Attempt, Job as _, JobHandler as _};

use crate::support::{World, pdf};

fn blocked_on(state: &DocumentStatus) -> Option<BlockedOn> {
    match state {
        DocumentStatus::Working {
            blocked: Some((on, Some(_))),
            ..
        } => Some(*on),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_model_the_database_or_the_store_is_shown_and_retried() {
    let world = World::start().await;
    let document = world.upload("a.pdf", &pdf(2, "outage")).await;

    world.models.unavailable.store(true, Ordering::SeqCst);
    world.ingest(document).await.unwrap_err();
    assert_eq!(
        blocked_on(&world.state(document).await),
        Some(BlockedOn::Model)
    );
    world.models.unavailable.store(false, Ordering::SeqCst);

    world.tenants.unavailable.store(true, Ordering::SeqCst);
    world.ingest(document).await.unwrap_err();
    assert_eq!(
        blocked_on(&world.state(document).await),
        Some(BlockedOn::Database)
    );
    world.tenants.unavailable.store(false, Ordering::SeqCst);

    world.s3.stop_server().await;
    world.ingest(document).await.unwrap_err();
    assert_eq!(
        blocked_on(&world.state(document).await),
        Some(BlockedOn::Storage)
    );
    world.s3.start_server().await.unwrap();

    world.ingest(document).await.unwrap();
    assert_eq!(world.state(document).await, DocumentStatus::Ready);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_failed_attempt_leaves_a_failure_that_can_be_retried() {
    let world = World::start().await;
    let document = world.upload("a.pdf", &pdf(1, "lasting")).await;
    world.models.unavailable.store(true, Ordering::SeqCst);
    let job = world.job(document).await;
    let last = Attempt {
        number: MAX_ATTEMPTS,
    };
    job.run(world.context.clone(), last).await.unwrap();
    let failure = IngestError::System(SystemFailure::ModelUnavailable);
    assert_eq!(
        world.state(document).await,
        DocumentStatus::Failed(failure.clone())
    );
    assert!(failure.is_retryable());
    world.stop().await;
}

/// As in Neon, a full database rejects new rows and allows deletions.
const FILL: &str = "
    CREATE FUNCTION full_database() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE 'could not extend file because project size limit (512 MB) has been exceeded' USING ERRCODE = 'disk_full';
    END $$;
    CREATE TRIGGER full_database BEFORE INSERT ON embedding_drafts FOR EACH ROW EXECUTE FUNCTION full_database()";

#[tokio::test(flavor = "multi_thread")]
async fn a_full_database_fails_the_document_and_keeps_nothing_of_it_until_a_retry() {
    let world = World::start().await;
    let kept = world.upload("kept.pdf", &pdf(1, "kept")).await;
    world.ingest(kept).await.unwrap();
    let before = world.contents().await;
    sqlx::raw_sql(FILL).execute(&world.tenant).await.unwrap();

    let document = world.upload("a.pdf", &pdf(2, "full")).await;
    world.ingest(document).await.unwrap();
    let full = DocumentStatus::Failed(IngestError::System(SystemFailure::DatabaseFull));
    assert_eq!(world.state(document).await, full);
    assert_ne!(world.contents().await, before, "its text was stored");
    let discard = DiscardText {
        workspace: world.workspace.id.clone(),
        document,
    };
    assert!(world.jobs().await.contains(&discard.key()));
    let attempt = Attempt { number: 1 };
    discard.run(world.context.clone(), attempt).await.unwrap();
    assert_eq!(world.contents().await, before);

    sqlx::raw_sql("DROP FUNCTION full_database CASCADE")
        .execute(&world.tenant)
        .await
        .unwrap();
    documents::retry(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    world.ingest(document).await.unwrap();
    assert_eq!(world.state(document).await, DocumentStatus::Ready);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_for_a_full_database_waits_long_before_it_wakes_the_compute_again() {
    let world = World::start().await;
    let document = world.upload("a.pdf", &pdf(1, "full")).await;
    world.ingest(document).await.unwrap();
    let fill = FILL.replace("INSERT ON embedding_drafts", "DELETE ON documents");
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill))
        .execute(&world.tenant)
        .await
        .unwrap();
    documents::delete(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    let delete = DeleteDocument {
        workspace: world.workspace.id.clone(),
        document,
    };
    let attempt = Attempt { number: 1 };
    let failed = delete.run(world.context.clone(), attempt).await;
    assert!(failed.unwrap_err().retry_after > jobs::MAX_BACKOFF);
    assert_eq!(world.state(document).await, DocumentStatus::Deleting);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_file_fails_with_its_reason() {
    let world = World::start().await;
    for (bytes, reason) in [
        (
            b"%PDF-1.7\nnothing of the kind".to_vec(),
            pdf_text::DocumentError::Broken,
        ),
        (
            local_stack::sample_pdf(&[""]),
            pdf_text::DocumentError::NoText,
        ),
    ] {
        let document = world.upload("a.pdf", &bytes).await;
        world.ingest(document).await.unwrap();
        assert_eq!(
            world.state(document).await,
            DocumentStatus::Failed(IngestError::File(reason))
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_missing_from_the_store_fails_the_document() {
    let world = World::start().await;
    let document = world.upload("a.pdf", &pdf(1, "missing")).await;
    let key = world
        .objects
        .prefix(None, &world.workspace.id)
        .document(document);
    world.objects.delete(&key).await.unwrap();
    world.ingest(document).await.unwrap();
    assert_eq!(
        world.state(document).await,
        DocumentStatus::Failed(IngestError::System(SystemFailure::FileMissing))
    );
    world.stop().await;
}
