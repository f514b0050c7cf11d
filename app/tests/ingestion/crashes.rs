//! A worker that crashes after any effect: the job runs again and ends in the same state.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use app::documents::DeleteDocument;
use app::documents::{self, DocumentStatus, IngestStep};
use app::ids::DocumentId;
use app::ingestion::{Checkpoint, Checkpoints};
use app::jobs::{Attempt, JobHandler as _};
use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};

use crate::support::{BUCKET, TIMEOUT, World, pdf};

/// Those of a first ingestion. A later one does not store the text early.
const ALL_CHECKPOINTS: [Checkpoint; 9] = [
    Checkpoint::Claimed,
    Checkpoint::StepDone(IngestStep::Fetch),
    Checkpoint::StepDone(IngestStep::Extract),
    Checkpoint::StepDone(IngestStep::Chunk),
    Checkpoint::TextWritten,
    Checkpoint::VectorsDrafted,
    Checkpoint::StepDone(IngestStep::Embed),
    Checkpoint::RowsWritten,
    Checkpoint::StepDone(IngestStep::Store),
];

/// Suspends a job at one checkpoint, like a process killed there, until [`Self::resume`].
pub(crate) struct PauseAt {
    checkpoint: Checkpoint,
    reached: Notify,
    resumed: watch::Sender<bool>,
}

impl PauseAt {
    pub(crate) fn new(checkpoint: Checkpoint) -> Arc<Self> {
        Arc::new(Self {
            checkpoint,
            reached: Notify::new(),
            resumed: watch::Sender::new(false),
        })
    }

    pub(crate) async fn wait_until_reached(&self) {
        tokio::time::timeout(TIMEOUT, self.reached.notified())
            .await
            .unwrap_or_else(|_| panic!("{:?} is not reached", self.checkpoint));
    }

    pub(crate) fn resume(&self) {
        self.resumed.send_replace(true);
    }
}

impl Checkpoints for PauseAt {
    fn reached(&self, checkpoint: Checkpoint) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if checkpoint == self.checkpoint {
                self.reached.notify_one();
                let mut resumed = self.resumed.subscribe();
                resumed.wait_for(|resumed| *resumed).await.unwrap();
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_effect_ends_in_the_same_state_and_embeds_no_text_twice() {
    let world = World::start().await;
    let bytes = pdf(30, "crash");
    let document = world.upload("crash.pdf", &bytes).await;
    world.ingest(document).await.unwrap();
    let (expected, cost) = (world.contents().await, world.models.count());
    assert!(cost > 64, "{cost} texts are not several slices");
    let ready = world.row(document).await.unwrap();
    assert_eq!(ready.state, DocumentStatus::Ready);
    assert_eq!(ready.page_count, Some(30));
    let first_and_later = ALL_CHECKPOINTS
        .into_iter()
        .flat_map(|checkpoint| [(checkpoint, true), (checkpoint, false)])
        .filter(|(checkpoint, is_first)| *is_first || *checkpoint != Checkpoint::TextWritten);
    for (checkpoint, is_first) in first_and_later {
        world.clear_tenant_database().await;
        documents::retry(&world.database, &world.workspace.id, document)
            .await
            .unwrap();
        if is_first {
            world.forget_results(document).await;
        }
        let before = world.models.count();
        let pause = PauseAt::new(checkpoint);
        let context = world.context.with_checkpoints(pause.clone());
        let job = world.job(document).await;
        let worker = tokio::spawn(job.run(context, Attempt { number: 1 }));
        pause.wait_until_reached().await;
        worker.abort();
        let _ = worker.await;
        world.ingest(document).await.unwrap();
        assert_eq!(
            world.contents().await,
            expected,
            "{checkpoint:?} {is_first}"
        );
        assert_eq!(
            world.state(document).await,
            DocumentStatus::Ready,
            "{checkpoint:?} {is_first}"
        );
        // Batches that were in flight at the crash are embedded again.
        let paid = world.models.count() - before;
        let lost = if checkpoint == Checkpoint::VectorsDrafted {
            4 * 64
        } else {
            0
        };
        assert!(
            paid <= cost + lost,
            "{checkpoint:?} {is_first}: {paid} texts for {cost}"
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_document_is_found_by_its_words_before_it_has_all_embeddings() {
    let world = World::start().await;
    // More batches than are embedded at the same time.
    let document = world.upload("a.pdf", &pdf(100, "early")).await;
    let counts = async || -> (i64, i64) {
        sqlx::query_as(
            "SELECT (SELECT count(*) FROM chunks), (SELECT count(*) FROM chunk_embeddings)",
        )
        .fetch_one(&world.tenant)
        .await
        .unwrap()
    };
    world.models.unavailable.store(true, Ordering::SeqCst);
    world.ingest(document).await.unwrap_err();
    let query: documents::SearchQuery = "harvest".parse().unwrap();
    let (hits, _) = documents::search(&world.tenant, &query).await.unwrap();
    assert!(!hits.is_empty());
    let (chunks, embedded) = counts().await;
    assert!(chunks > 64 && embedded == 0, "{chunks} {embedded}");

    world.models.unavailable.store(false, Ordering::SeqCst);
    let pause = PauseAt::new(Checkpoint::VectorsDrafted);
    let worker = tokio::spawn(world.job(document).await.run(
        world.context.with_checkpoints(pause.clone()),
        Attempt { number: 2 },
    ));
    pause.wait_until_reached().await;
    let (chunks, embedded) = counts().await;
    assert!(embedded > 0 && embedded < chunks, "{embedded} of {chunks}");
    pause.resume();
    worker.await.unwrap().unwrap();
    assert_eq!(counts().await, (chunks, chunks));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_earlier_text_of_a_document_stays_until_its_new_text_is_complete() {
    let world = World::start().await;
    let document = world.upload("a.pdf", &pdf(3, "again")).await;
    world.ingest(document).await.unwrap();
    let ready = world.contents().await;
    documents::retry(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    // Nothing of the earlier text can be reused.
    sqlx::query("UPDATE chunks SET content_sha256 = NULL")
        .execute(&world.tenant)
        .await
        .unwrap();
    world.models.unavailable.store(true, Ordering::SeqCst);
    world.ingest(document).await.unwrap_err();
    let embedded: i64 = sqlx::query_scalar("SELECT count(*) FROM chunk_embeddings")
        .fetch_one(&world.tenant)
        .await
        .unwrap();
    assert!(embedded > 0);
    world.models.unavailable.store(false, Ordering::SeqCst);
    world.ingest(document).await.unwrap();
    assert_eq!(world.contents().await, ready);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn running_the_job_twice_gives_the_same_rows_and_embeds_nothing_again() {
    let world = World::start().await;
    let document = world.upload("a.pdf", &pdf(3, "twice")).await;
    let job = world.job(document).await;
    world.ingest(document).await.unwrap();
    let (rows, cost) = (world.contents().await, world.models.count());
    assert!(rows.iter().any(|row| row.starts_with("chunk ")));
    // The queue may run a finished job again if its completion was not recorded: restore the row's
    // state from the start of the job.
    sqlx::query("UPDATE documents SET state = 'working'")
        .execute(&world.database)
        .await
        .unwrap();
    job.run(world.context.clone(), Attempt { number: 1 })
        .await
        .unwrap();
    assert_eq!(world.contents().await, rows);
    assert_eq!(world.models.count(), cost);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_passages_of_a_second_document_are_not_embedded_again() {
    let world = World::start().await;
    let first = world.upload("a.pdf", &pdf(4, "shared")).await;
    world.ingest(first).await.unwrap();
    let cost = world.models.count();
    let second = world.upload("b.pdf", &pdf(5, "shared")).await;
    world.ingest(second).await.unwrap();
    let more = world.models.count() - cost;
    assert!(more < cost, "{more} after {cost}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_declared_dead_writes_nothing_after_another_claimed_the_document() {
    let world = World::start().await;
    let document = world.upload("a.pdf", &pdf(3, "stale")).await;
    for checkpoint in ALL_CHECKPOINTS {
        if matches!(
            checkpoint,
            Checkpoint::RowsWritten | Checkpoint::TextWritten
        ) {
            // At this checkpoint the worker holds the lock and the other one waits for it: covered
            // below.
            continue;
        }
        world.clear_tenant_database().await;
        world.forget_results(document).await;
        let pause = PauseAt::new(checkpoint);
        let stale = tokio::spawn(world.job(document).await.run(
            world.context.with_checkpoints(pause.clone()),
            Attempt { number: 1 },
        ));
        pause.wait_until_reached().await;
        world.ingest(document).await.unwrap();
        let rows = world.contents().await;
        let row = world.row(document).await.unwrap();
        assert_eq!(row.state, DocumentStatus::Ready, "{checkpoint:?}");
        pause.resume();
        stale.await.unwrap().unwrap();
        assert_eq!(world.contents().await, rows, "{checkpoint:?}");
        assert_eq!(world.row(document).await.unwrap(), row, "{checkpoint:?}");
        documents::retry(&world.database, &world.workspace.id, document)
            .await
            .unwrap();
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_document_during_ingestion_leaves_nothing_behind() {
    let world = World::start().await;
    for checkpoint in ALL_CHECKPOINTS {
        let document = world.upload("a.pdf", &pdf(3, "removed")).await;
        let pause = PauseAt::new(checkpoint);
        let ingestion = tokio::spawn(world.job(document).await.run(
            world.context.with_checkpoints(pause.clone()),
            Attempt { number: 1 },
        ));
        pause.wait_until_reached().await;
        documents::delete(&world.database, &world.workspace.id, document)
            .await
            .unwrap();
        let deletion = tokio::spawn(delete_document(&world, document));
        if matches!(
            checkpoint,
            Checkpoint::RowsWritten | Checkpoint::TextWritten
        ) {
            // The deletion waits for the lock; the ingestion commits, then the deletion removes its
            // rows.
            pause.resume();
            ingestion.await.unwrap().unwrap();
            deletion.await.unwrap();
        } else {
            deletion.await.unwrap();
            pause.resume();
            ingestion.await.unwrap().unwrap();
        }
        assert_eq!(
            world.contents().await,
            Vec::<String>::new(),
            "{checkpoint:?}"
        );
        assert_eq!(
            world.s3.object_versions(BUCKET).await.unwrap(),
            [],
            "{checkpoint:?}"
        );
        assert_eq!(world.row(document).await, None, "{checkpoint:?}");
    }
    world.stop().await;
}

fn delete_document(
    world: &World,
    document: DocumentId,
) -> impl Future<Output = ()> + Send + 'static + use<> {
    let job = DeleteDocument {
        workspace: world.workspace.id.clone(),
        document,
    };
    let context = world.context.clone();
    async move { job.run(context, Attempt { number: 1 }).await.unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_crashes_after_any_effect_is_completed() {
    let world = World::start().await;
    for checkpoint in [Checkpoint::RowsDeleted, Checkpoint::FileDeleted] {
        let document = world.upload("a.pdf", &pdf(2, "removed")).await;
        world.ingest(document).await.unwrap();
        documents::delete(&world.database, &world.workspace.id, document)
            .await
            .unwrap();
        let job = DeleteDocument {
            workspace: world.workspace.id.clone(),
            document,
        };
        let pause = PauseAt::new(checkpoint);
        let worker = tokio::spawn(job.run(
            world.context.with_checkpoints(pause.clone()),
            Attempt { number: 1 },
        ));
        pause.wait_until_reached().await;
        worker.abort();
        let _ = worker.await;
        assert_eq!(world.state(document).await, DocumentStatus::Deleting);
        delete_document(&world, document).await;
        assert_eq!(world.contents().await, Vec::<String>::new());
        assert_eq!(world.s3.object_versions(BUCKET).await.unwrap(), []);
        assert_eq!(world.row(document).await, None);
    }
    world.stop().await;
}
