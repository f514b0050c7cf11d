//! Changing the embedding model of a workspace with documents.

use app::documents::DocumentStatus;
use app::ingestion::Reembed;
use app::ingestion::target_model::{note, wanted};
use app::ingestion::{Sweep, SweepContext};
use app::jobs::{self, Attempt, Job as _};

use crate::support::{World, pdf};

async fn serving(world: &World) -> Option<String> {
    sqlx::query_scalar("SELECT embedding_model FROM workspaces WHERE id = $1")
        .bind(world.workspace.id.as_str())
        .fetch_one(&world.database)
        .await
        .unwrap()
}

async fn models_of_chunks(world: &World) -> Vec<(String, i64)> {
    sqlx::query_as("SELECT model, count(*) FROM chunk_embeddings GROUP BY model ORDER BY model")
        .fetch_all(&world.tenant)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_vectors_serve_until_the_new_are_complete_and_then_go() {
    let world = World::start().await;
    let document = world.bring("a.pdf", &pdf(2, "model")).await;
    world.ingest(document).await.unwrap();
    assert_eq!(serving(&world).await.as_deref(), Some("first"));
    let chunks: i64 = sqlx::query_scalar("SELECT count(*) FROM chunks")
        .fetch_one(&world.tenant)
        .await
        .unwrap();

    *world.models.current.lock().unwrap() = Some("second");
    // A document ingested in the meantime gets embeddings of both models, and starts the
    // re-embedding.
    let other = world.bring("b.pdf", &pdf(1, "other")).await;
    world.ingest(other).await.unwrap();
    assert_eq!(world.state(other).await, DocumentStatus::Ready);
    assert_eq!(serving(&world).await.as_deref(), Some("first"));
    let job = Reembed {
        workspace: world.workspace.id.clone(),
        model: "second".to_owned(),
    };
    assert!(world.jobs().await.contains(&job.key()));

    let attempt = Attempt { number: 1 };
    let waits = job
        .clone()
        .run(world.context.clone(), attempt)
        .await
        .unwrap_err();
    assert_eq!(waits.retry_after, app::ingestion::OLD_VECTOR_RETENTION);
    assert_eq!(serving(&world).await.as_deref(), Some("second"));
    let both = models_of_chunks(&world).await;
    assert_eq!(both.len(), 2, "{both:?}");
    assert_eq!(both[0].1, both[1].1, "{both:?}");
    assert!(both[0].1 > chunks);

    // A restart right after the switch, as after a crash: searches in progress may still need the
    // old embeddings.
    let waits = job
        .clone()
        .run(world.context.clone(), attempt)
        .await
        .unwrap_err();
    assert!(waits.retry_after <= app::ingestion::OLD_VECTOR_RETENTION);
    assert_eq!(models_of_chunks(&world).await, both);

    sqlx::query("UPDATE workspaces SET embedding_model_since = now() - interval '1 hour'")
        .execute(&world.database)
        .await
        .unwrap();
    job.run(world.context.clone(), attempt).await.unwrap();
    assert_eq!(
        models_of_chunks(&world).await,
        [("second".to_owned(), both[1].1)]
    );
    world.stop().await;
}

/// Ages all recorded heartbeats.
async fn later(world: &World, interval: &str) {
    let sql = format!(
        "UPDATE embedding_models SET came_at = came_at - interval '{interval}', seen_at = seen_at - interval '{interval}'"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .execute(&world.database)
        .await
        .unwrap();
}

async fn wanted_now(world: &World) -> String {
    wanted(&world.database, "own").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_that_came_last_is_wanted_as_long_as_somebody_has_it() {
    let world = World::start().await;
    let database = &world.database;
    assert_eq!(wanted_now(&world).await, "own", "nobody said anything");
    note(database, "old").await.unwrap();
    later(&world, "1 minute").await;
    note(database, "new").await.unwrap();
    for _ in 0..3 {
        later(&world, "5 minutes").await;
        note(database, "new").await.unwrap();
        note(database, "old").await.unwrap();
        assert_eq!(wanted_now(&world).await, "new", "both are there");
    }
    // Restarting a process with the older model changes nothing.
    later(&world, "1 hour").await;
    note(database, "new").await.unwrap();
    note(database, "old").await.unwrap();
    assert_eq!(wanted_now(&world).await, "new");
    // After a roll-back, no process has the newer model.
    later(&world, "11 minutes").await;
    note(database, "old").await.unwrap();
    assert_eq!(wanted_now(&world).await, "old");
    // Rolled out again, first right away and then after it was forgotten.
    note(database, "new").await.unwrap();
    assert_eq!(wanted_now(&world).await, "new");
    later(&world, "25 hours").await;
    note(database, "new").await.unwrap();
    later(&world, "1 minute").await;
    note(database, "old").await.unwrap();
    assert_eq!(wanted_now(&world).await, "old", "it came back as a new one");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_with_two_models_do_not_take_turns() {
    let world = World::start().await;
    let document = world.bring("a.pdf", &pdf(1, "model")).await;
    world.ingest(document).await.unwrap();
    note(&world.database, "first").await.unwrap();
    later(&world, "1 minute").await;
    note(&world.database, "second").await.unwrap();
    let attempt = Attempt { number: 1 };
    let key = format!("reembed:{}", world.workspace.id);
    // Each process sweeps, then runs the job it finds; several rounds.
    let mut served = Vec::new();
    for model in ["first", "second", "first", "second", "first"] {
        *world.models.current.lock().unwrap() = Some(model);
        let state = SweepContext {
            context: world.context.clone(),
            sessions: crate::queue::sessions(),
        };
        Sweep {}.run(state, attempt).await.unwrap();
        let job = Reembed {
            workspace: world.workspace.id.clone(),
            model: "second".to_owned(),
        };
        if world.jobs().await.contains(&key) {
            let _ = job.run(world.context.clone(), attempt).await;
        }
        // A job that a process with the older model started before the newer one appeared gives up.
        let earlier = Reembed {
            workspace: world.workspace.id.clone(),
            model: "first".to_owned(),
        };
        earlier.run(world.context.clone(), attempt).await.unwrap();
        jobs::cancel(&world.database, &key).await.unwrap();
        served.push(serving(&world).await.unwrap());
    }
    assert_eq!(served, ["first", "second", "second", "second", "second"]);
    // Documents ingested by the other process get embeddings of the serving model only.
    let other = world.bring("b.pdf", &pdf(1, "other")).await;
    *world.models.current.lock().unwrap() = Some("first");
    world.ingest(other).await.unwrap();
    let models: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT e.model FROM chunk_embeddings e JOIN chunks c ON c.id = e.chunk_id WHERE c.document_id = $1",
    )
    .bind(other.0)
    .fetch_all(&world.tenant)
    .await
    .unwrap();
    assert_eq!(models, ["second"]);
    assert!(!world.jobs().await.contains(&key));
    world.stop().await;
}
