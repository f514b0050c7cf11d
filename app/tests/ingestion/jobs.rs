//! The jobs of ingestion, run by the queue.

use std::time::Duration;

use app::documents::{DocumentStatus, IngestError, SystemFailure};
use app::jobs::{Attempt, JobHandler as _, JobRegistry};
use test_support::wait::until_some;

use crate::queue::start_worker;
use crate::support::{TIMEOUT, World, pdf};

pub(crate) fn sessions() -> app::config::SessionLifetimes {
    app::config::SessionLifetimes {
        idle: Duration::from_hours(1),
        absolute: Duration::from_hours(1),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_ingests_an_uploaded_document_and_deletes_it() {
    let world = World::start().await;
    let registry = app::ingestion::jobs(&world.context, sessions(), JobRegistry::new());
    let worker = start_worker(&world.database, registry, TIMEOUT);
    let document = world.upload("a.pdf", &pdf(3, "worker")).await;
    until_some("the document is ready", || async {
        (world.state(document).await == DocumentStatus::Ready).then_some(())
    })
    .await;
    app::documents::delete(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    until_some("the document is deleted", || async {
        world.row(document).await.is_none().then_some(())
    })
    .await;
    assert_eq!(world.contents().await, Vec::<String>::new());
    // The file is deleted once more after the presigned URL has expired.
    worker.stop().await;
    assert_eq!(
        world.jobs().await,
        [format!("orphaned-file:{document}"), "sweep".to_owned()]
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_requeues_lost_jobs_and_fails_documents_whose_job_was_given_up() {
    let world = World::start().await;
    let lost = world.upload("lost.pdf", &pdf(1, "lost")).await;
    let crashing = world.upload("crashing.pdf", &pdf(1, "crashing")).await;
    let fresh = world.upload("fresh.pdf", &pdf(1, "fresh")).await;
    for sql in [
        format!("DELETE FROM jobs WHERE key IN ('ingest:{lost}', 'ingest:{fresh}')"),
        format!("UPDATE jobs SET dead_at = now() WHERE key = 'ingest:{crashing}'"),
        format!(
            "UPDATE documents SET updated_at = now() - interval '1 hour' WHERE id <> '{fresh}'"
        ),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&world.database)
            .await
            .unwrap();
    }
    let state = app::ingestion::SweepContext {
        context: world.context.clone(),
        sessions: sessions(),
    };
    app::ingestion::Sweep {}
        .run(state, Attempt { number: 1 })
        .await
        .unwrap();
    assert_eq!(
        world.state(crashing).await,
        DocumentStatus::Failed(IngestError::System(SystemFailure::WorkerCrashed))
    );
    assert_eq!(world.state(lost).await, DocumentStatus::Queued);
    assert!(world.jobs().await.contains(&format!("ingest:{lost}")));
    // The job of a document that changed a moment ago may be part of a transaction that is not
    // committed yet.
    assert!(!world.jobs().await.contains(&format!("ingest:{fresh}")));
    world.stop().await;
}

#[tokio::test]
async fn many_uploads_get_decreasing_priorities_and_a_queue_per_document() {
    let world = World::start().await;
    let mut documents = Vec::new();
    for number in 0..3 {
        let subject = format!("subject {number}");
        documents.push(world.upload(&subject, &pdf(1, &subject)).await);
    }
    let queued: Vec<(String, i16, Option<String>)> = sqlx::query_as(
        "SELECT key, priority, queue FROM jobs WHERE key LIKE 'ingest:%' ORDER BY priority",
    )
    .fetch_all(&world.database)
    .await
    .unwrap();
    // Another workspace's first document precedes this workspace's second.
    let expected: Vec<(String, i16, Option<String>)> = (10..)
        .zip(&documents)
        .map(|(priority, document)| {
            let (key, queue) = (format!("ingest:{document}"), format!("document:{document}"));
            (key, priority, Some(queue))
        })
        .collect();
    assert_eq!(queued, expected);
    world.stop().await;
}
