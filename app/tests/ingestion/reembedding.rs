//! Another embedding model for a workspace that has documents.

use app::documents::State;
use app::ingestion::Reembed;
use app::ingestion::queue::{Job as _, Turn};

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
    // A document that comes meanwhile gets both, and asks for the rest.
    let other = world.bring("b.pdf", &pdf(1, "other")).await;
    world.ingest(other).await.unwrap();
    assert_eq!(world.state(other).await, State::Ready);
    assert_eq!(serving(&world).await.as_deref(), Some("first"));
    let job = Reembed {
        workspace: world.workspace.id.clone(),
        model: Some("second".to_owned()),
    };
    assert!(world.jobs().await.contains(&job.key()));

    let turn = Turn { attempt: 1 };
    let elsewhere = Reembed {
        model: Some("third".to_owned()),
        ..job.clone()
    };
    elsewhere
        .run(world.workshop.clone(), turn)
        .await
        .unwrap_err();
    assert_eq!(
        serving(&world).await.as_deref(),
        Some("first"),
        "a worker with another model leaves it as it is"
    );
    let waits = job
        .clone()
        .run(world.workshop.clone(), turn)
        .await
        .unwrap_err();
    assert_eq!(waits.after, app::ingestion::VECTORS_KEPT_AFTER_FLIP);
    assert_eq!(serving(&world).await.as_deref(), Some("second"));
    let both = models_of_chunks(&world).await;
    assert_eq!(both.len(), 2, "{both:?}");
    assert_eq!(both[0].1, both[1].1, "{both:?}");
    assert!(both[0].1 > chunks);

    job.run(world.workshop.clone(), turn).await.unwrap();
    assert_eq!(
        models_of_chunks(&world).await,
        [("second".to_owned(), both[1].1)]
    );
    world.stop().await;
}
