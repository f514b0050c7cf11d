//! Changing the embedding model of a workspace with documents.

use app::documents::DocumentStatus;
use app::ingestion::Reembed;
use app::ingestion::target_model::{heartbeat, target};
use app::ingestion::{Sweep, SweepContext};
use app::jobs::{self, Attempt, Job as _, JobHandler as _};

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
async fn old_embeddings_stay_in_use_until_the_new_ones_are_complete_and_are_then_deleted() {
    let world = World::start().await;
    let document = world.upload("a.pdf", &pdf(2, "model")).await;
    world.ingest(document).await.unwrap();
    assert_eq!(serving(&world).await.as_deref(), Some("first"));
    let chunks: i64 = sqlx::query_scalar("SELECT count(*) FROM chunks")
        .fetch_one(&world.tenant)
        .await
        .unwrap();

    *world.models.current.lock().unwrap() = Some("second");
    // A document ingested in the meantime gets embeddings of both models, and starts the
    // re-embedding.
    let other = world.upload("b.pdf", &pdf(1, "other")).await;
    world.ingest(other).await.unwrap();
    assert_eq!(world.state(other).await, DocumentStatus::Ready);
    assert_eq!(serving(&world).await.as_deref(), Some("first"));
    let job = Reembed {
        workspace: world.workspace.id.clone(),
        model: "second".to_owned(),
    };
    assert!(world.jobs().await.contains(&job.key()));

    let attempt = Attempt { number: 1 };
    let error = job
        .clone()
        .run(world.context.clone(), attempt)
        .await
        .unwrap_err();
    assert_eq!(error.retry_after, app::ingestion::OLD_VECTOR_RETENTION);
    assert_eq!(serving(&world).await.as_deref(), Some("second"));
    let both = models_of_chunks(&world).await;
    assert_eq!(both.len(), 2, "{both:?}");
    assert_eq!(both[0].1, both[1].1, "{both:?}");
    assert!(both[0].1 > chunks);

    // A restart right after the switch, as after a crash: searches in progress may still need the
    // old embeddings.
    let error = job
        .clone()
        .run(world.context.clone(), attempt)
        .await
        .unwrap_err();
    assert!(error.retry_after <= app::ingestion::OLD_VECTOR_RETENTION);
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

async fn age_heartbeats(world: &World, interval: &str) {
    let sql = format!(
        "UPDATE embedding_models SET came_at = came_at - interval '{interval}', seen_at = seen_at - interval '{interval}'"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .execute(&world.database)
        .await
        .unwrap();
}

async fn current_target(world: &World) -> String {
    target(&world.database, "own").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_model_in_use_is_the_target() {
    let world = World::start().await;
    let database = &world.database;
    assert_eq!(current_target(&world).await, "own", "no heartbeat yet");
    heartbeat(database, "old").await.unwrap();
    age_heartbeats(&world, "1 minute").await;
    heartbeat(database, "new").await.unwrap();
    for _ in 0..3 {
        age_heartbeats(&world, "5 minutes").await;
        heartbeat(database, "new").await.unwrap();
        heartbeat(database, "old").await.unwrap();
        assert_eq!(
            current_target(&world).await,
            "new",
            "both models are in use"
        );
    }
    // Restarting a process with the older model changes nothing.
    age_heartbeats(&world, "1 hour").await;
    heartbeat(database, "new").await.unwrap();
    heartbeat(database, "old").await.unwrap();
    assert_eq!(current_target(&world).await, "new");
    // After a rollback, no process has the newer model.
    age_heartbeats(&world, "11 minutes").await;
    heartbeat(database, "old").await.unwrap();
    assert_eq!(current_target(&world).await, "old");
    // Rolled out again, first right away and then after it was forgotten.
    heartbeat(database, "new").await.unwrap();
    assert_eq!(current_target(&world).await, "new");
    age_heartbeats(&world, "25 hours").await;
    heartbeat(database, "new").await.unwrap();
    age_heartbeats(&world, "1 minute").await;
    heartbeat(database, "old").await.unwrap();
    assert_eq!(
        current_target(&world).await,
        "old",
        "it counts as new again"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_with_different_models_do_not_undo_each_others_work() {
    let world = World::start().await;
    let document = world.upload("a.pdf", &pdf(1, "model")).await;
    world.ingest(document).await.unwrap();
    heartbeat(&world.database, "first").await.unwrap();
    age_heartbeats(&world, "1 minute").await;
    heartbeat(&world.database, "second").await.unwrap();
    let attempt = Attempt { number: 1 };
    let key = format!("reembed:{}", world.workspace.id);
    // Each process sweeps, then runs the job it finds; several rounds.
    let mut served = Vec::new();
    for model in ["first", "second", "first", "second", "first"] {
        *world.models.current.lock().unwrap() = Some(model);
        let state = SweepContext {
            context: world.context.clone(),
            sessions: crate::jobs::sessions(),
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
    let other = world.upload("b.pdf", &pdf(1, "other")).await;
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
