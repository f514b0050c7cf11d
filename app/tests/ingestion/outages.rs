//! Outages of the services that ingestion needs: the document shows the reason, nothing is lost,
//! and ingestion continues afterwards.

use std::sync::atomic::Ordering;

use app::documents::{BlockedOn, DocumentStatus, IngestError, SystemFailure};
use app::ingestion::MAX_ATTEMPTS;
use app::jobs::{Attempt, Job as _};

use crate::support::{World, pdf};

fn trouble(state: &DocumentStatus) -> Option<BlockedOn> {
    match state {
        DocumentStatus::Working {
            trouble: Some((trouble, Some(_))),
            ..
        } => Some(*trouble),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_the_database_and_the_store_may_each_be_away() {
    let world = World::start().await;
    let document = world.bring("a.pdf", &pdf(2, "away")).await;

    world.models.away.store(true, Ordering::SeqCst);
    world.ingest(document).await.unwrap_err();
    assert_eq!(
        trouble(&world.state(document).await),
        Some(BlockedOn::Model)
    );
    world.models.away.store(false, Ordering::SeqCst);

    world.tenants.away.store(true, Ordering::SeqCst);
    world.ingest(document).await.unwrap_err();
    assert_eq!(
        trouble(&world.state(document).await),
        Some(BlockedOn::Database)
    );
    world.tenants.away.store(false, Ordering::SeqCst);

    world.s3.take_away().await;
    world.ingest(document).await.unwrap_err();
    assert_eq!(
        trouble(&world.state(document).await),
        Some(BlockedOn::Storage)
    );
    world.s3.bring_back().await.unwrap();

    world.ingest(document).await.unwrap();
    assert_eq!(world.state(document).await, DocumentStatus::Ready);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trouble_that_lasts_becomes_a_failure_that_can_be_tried_again() {
    let world = World::start().await;
    let document = world.bring("a.pdf", &pdf(1, "lasting")).await;
    world.models.away.store(true, Ordering::SeqCst);
    let job = world.job(document).await;
    let last = Attempt {
        attempt: MAX_ATTEMPTS,
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

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_fails_with_its_reason() {
    let world = World::start().await;
    for (bytes, refusal) in [
        (
            b"%PDF-1.7\nnothing of the kind".to_vec(),
            pdf_text::Refusal::Broken,
        ),
        (xtask::sample_pdf(&[""]), pdf_text::Refusal::NoText),
    ] {
        let document = world.bring("a.pdf", &bytes).await;
        world.ingest(document).await.unwrap();
        assert_eq!(
            world.state(document).await,
            DocumentStatus::Failed(IngestError::File(refusal))
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_from_the_store_is_told() {
    let world = World::start().await;
    let document = world.bring("a.pdf", &pdf(1, "gone")).await;
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
