//! User actions on existing documents: cancel, rename, retry, search.

use std::sync::atomic::Ordering;

use app::ask::threads::{DeletePrivateConversations, PurgeConversations};
use app::documents::{self, DocumentStatus, IngestError, SystemFailure, Title};
use app::documents::{DiscardText, RenameDocument};
use app::ids::UserId;
use app::ingestion::Checkpoint;
use app::jobs::{Attempt, Job as _, JobHandler as _};

use crate::crashes::PauseAt;
use crate::support::{World, pdf};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_ingestion_stops_and_can_be_retried() {
    let world = World::start().await;
    let document = world.upload("a.pdf", &pdf(2, "cancelled")).await;
    let pause = PauseAt::new(Checkpoint::StepDone(app::documents::IngestStep::Chunk));
    let ingestion = tokio::spawn(world.job(document).await.run(
        world.context.with_checkpoints(pause.clone()),
        Attempt { number: 1 },
    ));
    pause.wait_until_reached().await;
    documents::cancel(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    // The job notices on its own that its claim is lost, even while it makes no progress.
    ingestion.await.unwrap().unwrap();
    let cancelled = DocumentStatus::Failed(IngestError::System(SystemFailure::Cancelled));
    assert_eq!(world.state(document).await, cancelled);
    assert_eq!(
        world.jobs().await,
        [DiscardText {
            workspace: world.workspace.id.clone(),
            document
        }
        .key()]
    );
    documents::retry(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    world.ingest(document).await.unwrap();
    assert_eq!(world.state(document).await, DocumentStatus::Ready);
    // Cancelling a second ingestion keeps the results of the first.
    documents::retry(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    documents::cancel(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    assert_eq!(world.state(document).await, DocumentStatus::Ready);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_of_a_cancelled_document_is_discarded_unless_it_was_ready_before() {
    let world = World::start().await;
    let document = world.upload("a.pdf", &pdf(2, "discarded")).await;
    let discard = DiscardText {
        workspace: world.workspace.id.clone(),
        document,
    };
    let attempt = Attempt { number: 1 };
    let pause = PauseAt::new(Checkpoint::VectorsDrafted);
    let ingestion = tokio::spawn(
        world
            .job(document)
            .await
            .run(world.context.with_checkpoints(pause.clone()), attempt),
    );
    pause.wait_until_reached().await;
    documents::cancel(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    ingestion.await.unwrap().unwrap();
    assert_ne!(world.contents().await, Vec::<String>::new());
    discard
        .clone()
        .run(world.context.clone(), attempt)
        .await
        .unwrap();
    assert_eq!(world.contents().await, Vec::<String>::new());

    documents::retry(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    discard
        .clone()
        .run(world.context.clone(), attempt)
        .await
        .unwrap();
    world.ingest(document).await.unwrap();
    let ready = world.contents().await;
    documents::retry(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    documents::cancel(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    discard.run(world.context.clone(), attempt).await.unwrap();
    assert_eq!(world.contents().await, ready);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_during_ingestion_reaches_the_tenants_database() {
    let world = World::start().await;
    let document = world.upload("old.pdf", &pdf(1, "title")).await;
    let pause = PauseAt::new(Checkpoint::RowsWritten);
    let ingestion = tokio::spawn(world.job(document).await.run(
        world.context.with_checkpoints(pause.clone()),
        Attempt { number: 1 },
    ));
    pause.wait_until_reached().await;
    let title: Title = "New title".parse().unwrap();
    documents::rename(&world.database, &world.workspace.id, document, &title)
        .await
        .unwrap();
    let job = RenameDocument {
        workspace: world.workspace.id.clone(),
        document,
    };
    let renaming = tokio::spawn(job.run(world.context.clone(), Attempt { number: 1 }));
    pause.resume();
    ingestion.await.unwrap().unwrap();
    renaming.await.unwrap().unwrap();
    let there: String = sqlx::query_scalar("SELECT title FROM documents")
        .fetch_one(&world.tenant)
        .await
        .unwrap();
    assert_eq!(there, "New title");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ingesting_again_keeps_the_row_that_conversations_refer_to() {
    let world = World::start().await;
    let document = world.upload("a.pdf", &pdf(1, "kept")).await;
    world.ingest(document).await.unwrap();
    sqlx::query(
        "INSERT INTO threads (id, title, created_by, document_id) VALUES (gen_random_uuid(), 't', gen_random_uuid(), $1)",
    )
    .bind(document.0)
    .execute(&world.tenant)
    .await
    .unwrap();
    documents::retry(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    world.ingest(document).await.unwrap();
    let refers: Option<uuid::Uuid> = sqlx::query_scalar("SELECT document_id FROM threads")
        .fetch_one(&world.tenant)
        .await
        .unwrap();
    assert_eq!(refers, Some(document.0));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_conversations_are_purged_when_their_deletion_cannot_be_undone_any_more() {
    let world = World::start().await;
    sqlx::query(
        "INSERT INTO threads (id, title, created_by, deleted_at)
         SELECT gen_random_uuid(), title, gen_random_uuid(), now() - age::interval
         FROM (VALUES ('old', '1 minute'), ('new', '0 seconds'), ('kept', NULL)) AS thread (title, age)",
    )
    .execute(&world.tenant)
    .await
    .unwrap();
    let purge = || {
        let job = PurgeConversations {
            workspace: world.workspace.id.clone(),
        };
        job.run(world.context.clone(), Attempt { number: 1 })
    };
    world.tenants.unavailable.store(true, Ordering::SeqCst);
    assert!(purge().await.is_err(), "it is repeated later");
    world.tenants.unavailable.store(false, Ordering::SeqCst);
    purge().await.unwrap();
    let left: Vec<String> = sqlx::query_scalar("SELECT title FROM threads ORDER BY title")
        .fetch_all(&world.tenant)
        .await
        .unwrap();
    assert_eq!(left, ["kept", "new"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_conversations_of_former_members_are_deleted() {
    let world = World::start().await;
    let (former, member) = (UserId::random(), UserId::random());
    sqlx::query("INSERT INTO users (id, display_name) VALUES ($1, 'Ada')")
        .bind(member.0)
        .execute(&world.database)
        .await
        .unwrap();
    sqlx::query("INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'member')")
        .bind(world.workspace.id.as_str())
        .bind(member.0)
        .execute(&world.database)
        .await
        .unwrap();
    for user in [former, member] {
        sqlx::query(
            "INSERT INTO threads (id, title, created_by, is_shared)
             SELECT gen_random_uuid(), CASE WHEN shared THEN 'shared' ELSE 'private' END, $1, shared
             FROM unnest(ARRAY[true, false]) AS shared",
        )
        .bind(user.0)
        .execute(&world.tenant)
        .await
        .unwrap();
    }
    let delete = |user| {
        let job = DeletePrivateConversations {
            workspace: world.workspace.id.clone(),
            user,
        };
        job.run(world.context.clone(), Attempt { number: 1 })
    };
    world.tenants.unavailable.store(true, Ordering::SeqCst);
    assert!(delete(former).await.is_err(), "it is repeated later");
    world.tenants.unavailable.store(false, Ordering::SeqCst);
    delete(former).await.unwrap();
    // This user has come back.
    delete(member).await.unwrap();
    let left: Vec<(uuid::Uuid, String)> =
        sqlx::query_as("SELECT created_by, title FROM threads ORDER BY title, created_by = $1")
            .bind(member.0)
            .fetch_all(&world.tenant)
            .await
            .unwrap();
    let expected = [(member, "private"), (former, "shared"), (member, "shared")]
        .map(|(user, title)| (user.0, title.to_owned()));
    assert_eq!(left, expected);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn search_returns_pages_and_marks_only_the_matches() {
    let world = World::start().await;
    let text = "<b>harvest</b> & \"quotes\" of the orchard\nA second line of the orchard.";
    let bytes = local_stack::sample_pdf(&["Nothing here to see at all.", text]);
    let document = world.upload("a.pdf", &bytes).await;
    world.ingest(document).await.unwrap();
    let (hits, more) = documents::search(&world.tenant, &"orchard".parse().unwrap())
        .await
        .unwrap();
    assert!(!more);
    assert_eq!(hits.len(), 1);
    let hit = &hits[0];
    assert_eq!((hit.document, hit.title.as_str()), (document, "a"));
    assert_eq!((hit.page_from, hit.page_to), (2, 2));
    let marked: Vec<&str> = hit
        .snippet
        .iter()
        .filter(|part| part.is_match)
        .map(|part| part.text.as_str())
        .collect();
    assert_eq!(marked, ["orchard", "orchard"]);
    let shown: String = hit.snippet.iter().map(|part| part.text.as_str()).collect();
    assert!(shown.contains("<b>harvest</b> & \"quotes\""), "{shown}");
    for nothing in ["unheard", "\"orchard harvest\"", "orchard -harvest"] {
        let (hits, _) = documents::search(&world.tenant, &nothing.parse().unwrap())
            .await
            .unwrap();
        assert_eq!(hits, [], "{nothing}");
    }
    for odd in ["'", "a & | !", "\\", "\"", "((", "%", "<script>"] {
        documents::search(&world.tenant, &odd.parse().unwrap())
            .await
            .unwrap_or_else(|error| panic!("{odd}: {error}"));
    }
    world.stop().await;
}
