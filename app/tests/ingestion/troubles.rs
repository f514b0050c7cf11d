//! What jobs need is away for a while: the page says so, nothing is lost, and it goes on.

use std::sync::atomic::Ordering;

use app::documents::{Failure, OwnFailure, State, Trouble};
use app::ingestion::ATTEMPTS_MAX;
use app::ingestion::queue::{Job as _, Turn};

use crate::support::{World, pdf};

fn trouble(state: &State) -> Option<Trouble> {
    match state {
        State::Working {
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
    assert_eq!(trouble(&world.state(document).await), Some(Trouble::Model));
    world.models.away.store(false, Ordering::SeqCst);

    world.tenants.away.store(true, Ordering::SeqCst);
    world.ingest(document).await.unwrap_err();
    assert_eq!(
        trouble(&world.state(document).await),
        Some(Trouble::Database)
    );
    world.tenants.away.store(false, Ordering::SeqCst);

    world.s3.stop_server().await;
    world.ingest(document).await.unwrap_err();
    assert_eq!(
        trouble(&world.state(document).await),
        Some(Trouble::Storage)
    );
    world.s3.start_server().await.unwrap();

    world.ingest(document).await.unwrap();
    assert_eq!(world.state(document).await, State::Ready);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trouble_that_lasts_becomes_a_failure_that_can_be_tried_again() {
    let world = World::start().await;
    let document = world.bring("a.pdf", &pdf(1, "lasting")).await;
    world.models.away.store(true, Ordering::SeqCst);
    let job = world.job(document).await;
    let last = Turn {
        attempt: ATTEMPTS_MAX,
    };
    job.run(world.workshop.clone(), last).await.unwrap();
    let failure = Failure::Own(OwnFailure::ModelAway);
    assert_eq!(world.state(document).await, State::Failed(failure.clone()));
    assert!(failure.is_worth_a_retry());
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
        (local_stack::sample_pdf(&[""]), pdf_text::Refusal::NoText),
    ] {
        let document = world.bring("a.pdf", &bytes).await;
        world.ingest(document).await.unwrap();
        assert_eq!(
            world.state(document).await,
            State::Failed(Failure::File(refusal))
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_from_the_store_is_told() {
    let world = World::start().await;
    let document = world.bring("a.pdf", &pdf(1, "gone")).await;
    let place = world
        .objects
        .prefix(None, &world.workspace.id)
        .document(document);
    world.objects.remove(&place).await.unwrap();
    world.ingest(document).await.unwrap();
    assert_eq!(
        world.state(document).await,
        State::Failed(Failure::Own(OwnFailure::FileGone))
    );
    world.stop().await;
}
