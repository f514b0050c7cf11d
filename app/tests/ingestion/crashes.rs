//! A worker that dies after any effect: the job runs again, and the end is the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use app::documents::{self, State, Step};
use app::ids::DocumentId;
use app::ingestion::queue::{Job as _, Turn};
use app::ingestion::{Checkpoint, Checkpoints, RemoveDocument};
use futures::future::BoxFuture;
use tokio::sync::Notify;

use crate::support::{BUCKET, PATIENCE, World, pdf};

const EVERY: [Checkpoint; 8] = [
    Checkpoint::Claimed,
    Checkpoint::Done(Step::Fetch),
    Checkpoint::Done(Step::Extract),
    Checkpoint::Done(Step::Chunk),
    Checkpoint::Drafted,
    Checkpoint::Done(Step::Embed),
    Checkpoint::Written,
    Checkpoint::Done(Step::Store),
];

/// Stands still for ever at one checkpoint, as a process that is killed there, until it is let go on.
pub(crate) struct StopAt {
    checkpoint: Checkpoint,
    reached: Notify,
    go_on: Notify,
    passed: AtomicUsize,
}

impl StopAt {
    pub(crate) fn new(checkpoint: Checkpoint) -> Arc<Self> {
        Arc::new(Self {
            checkpoint,
            reached: Notify::new(),
            go_on: Notify::new(),
            passed: AtomicUsize::new(0),
        })
    }

    pub(crate) async fn is_reached(&self) {
        tokio::time::timeout(PATIENCE, self.reached.notified())
            .await
            .unwrap_or_else(|_| panic!("{:?} is not reached", self.checkpoint));
    }

    pub(crate) fn go_on(&self) {
        self.go_on.notify_one();
    }
}

impl Checkpoints for StopAt {
    fn reached(&self, checkpoint: Checkpoint) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if checkpoint == self.checkpoint && self.passed.fetch_add(1, Ordering::SeqCst) == 0 {
                self.reached.notify_one();
                self.go_on.notified().await;
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_after_any_effect_leaves_the_same_end_and_pays_for_no_vector_twice() {
    let world = World::start().await;
    let bytes = pdf(30, "crash");
    let document = world.bring("crash.pdf", &bytes).await;
    world.ingest(document).await.unwrap();
    let (expected, cost) = (world.contents().await, world.models.count());
    assert!(cost > 64, "{cost} texts are not several slices");
    let ready = world.row(document).await.unwrap();
    assert_eq!(ready.state, State::Ready);
    assert_eq!(ready.page_count, Some(30));
    for checkpoint in EVERY {
        world.forget().await;
        documents::retry(&world.database, &world.workspace.id, document)
            .await
            .unwrap();
        let before = world.models.count();
        let stop = StopAt::new(checkpoint);
        let workshop = world.workshop.with_checkpoints(stop.clone());
        let job = world.job(document).await;
        let worker = tokio::spawn(job.run(workshop, Turn { attempt: 1 }));
        stop.is_reached().await;
        worker.abort();
        let _ = worker.await;
        world.ingest(document).await.unwrap();
        assert_eq!(world.contents().await, expected, "{checkpoint:?}");
        assert_eq!(world.state(document).await, State::Ready, "{checkpoint:?}");
        // Slices that were under way when it died, and had not been kept, are made again.
        let paid = world.models.count() - before;
        let lost = if checkpoint == Checkpoint::Drafted {
            4 * 64
        } else {
            0
        };
        assert!(
            paid <= cost + lost,
            "{checkpoint:?}: {paid} texts for {cost}"
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_done_twice_gives_the_same_rows_and_makes_no_vector_again() {
    let world = World::start().await;
    let document = world.bring("a.pdf", &pdf(3, "twice")).await;
    let job = world.job(document).await;
    world.ingest(document).await.unwrap();
    let (rows, cost) = (world.contents().await, world.models.count());
    assert!(rows.iter().any(|row| row.starts_with("chunk ")));
    // The queue may run a job once more after its end was not noted: the row is as it was when it was begun.
    sqlx::query("UPDATE documents SET state = 'working'")
        .execute(&world.database)
        .await
        .unwrap();
    job.run(world.workshop.clone(), Turn { attempt: 1 })
        .await
        .unwrap();
    assert_eq!(world.contents().await, rows);
    assert_eq!(world.models.count(), cost);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_document_with_the_same_passages_pays_for_the_new_ones_only() {
    let world = World::start().await;
    let first = world.bring("a.pdf", &pdf(4, "shared")).await;
    world.ingest(first).await.unwrap();
    let cost = world.models.count();
    let second = world.bring("b.pdf", &pdf(5, "shared")).await;
    world.ingest(second).await.unwrap();
    let more = world.models.count() - cost;
    assert!(more < cost, "{more} after {cost}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_taken_for_dead_writes_nothing_once_another_has_the_document() {
    let world = World::start().await;
    let document = world.bring("a.pdf", &pdf(3, "stale")).await;
    for checkpoint in EVERY {
        if checkpoint == Checkpoint::Written {
            // There it holds the lock, and the other waits for it: see below.
            continue;
        }
        world.forget().await;
        let stop = StopAt::new(checkpoint);
        let stale = tokio::spawn(world.job(document).await.run(
            world.workshop.with_checkpoints(stop.clone()),
            Turn { attempt: 1 },
        ));
        stop.is_reached().await;
        world.ingest(document).await.unwrap();
        let rows = world.contents().await;
        let row = world.row(document).await.unwrap();
        assert_eq!(row.state, State::Ready, "{checkpoint:?}");
        stop.go_on();
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
async fn removal_during_ingestion_leaves_nothing_wherever_it_is() {
    let world = World::start().await;
    for checkpoint in EVERY {
        let document = world.bring("a.pdf", &pdf(3, "removed")).await;
        let stop = StopAt::new(checkpoint);
        let reading = tokio::spawn(world.job(document).await.run(
            world.workshop.with_checkpoints(stop.clone()),
            Turn { attempt: 1 },
        ));
        stop.is_reached().await;
        documents::remove(&world.database, &world.workspace.id, document)
            .await
            .unwrap();
        let removal = tokio::spawn(remove(&world, document));
        if checkpoint == Checkpoint::Written {
            // It waits for the lock; the reading commits, and then its rows go.
            stop.go_on();
            reading.await.unwrap().unwrap();
            removal.await.unwrap();
        } else {
            removal.await.unwrap();
            stop.go_on();
            reading.await.unwrap().unwrap();
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

fn remove(
    world: &World,
    document: DocumentId,
) -> impl Future<Output = ()> + Send + 'static + use<> {
    let job = RemoveDocument {
        workspace: world.workspace.id.clone(),
        document,
    };
    let workshop = world.workshop.clone();
    async move { job.run(workshop, Turn { attempt: 1 }).await.unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_dies_after_any_effect_is_carried_to_its_end() {
    let world = World::start().await;
    for checkpoint in [Checkpoint::RowsRemoved, Checkpoint::FileRemoved] {
        let document = world.bring("a.pdf", &pdf(2, "removed")).await;
        world.ingest(document).await.unwrap();
        documents::remove(&world.database, &world.workspace.id, document)
            .await
            .unwrap();
        let job = RemoveDocument {
            workspace: world.workspace.id.clone(),
            document,
        };
        let stop = StopAt::new(checkpoint);
        let worker = tokio::spawn(job.run(
            world.workshop.with_checkpoints(stop.clone()),
            Turn { attempt: 1 },
        ));
        stop.is_reached().await;
        worker.abort();
        let _ = worker.await;
        assert_eq!(world.state(document).await, State::Removing);
        remove(&world, document).await;
        assert_eq!(world.contents().await, Vec::<String>::new());
        assert_eq!(world.s3.object_versions(BUCKET).await.unwrap(), []);
        assert_eq!(world.row(document).await, None);
    }
    world.stop().await;
}
