//! What people do to documents that are there: cancel, rename, read again, search.

use app::documents::{self, Failure, OwnFailure, State, Title};
use app::ingestion::queue::{Job as _, Turn};
use app::ingestion::{Checkpoint, RenameDocument};

use crate::crashes::StopAt;
use crate::support::{World, pdf};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_reading_stops_and_can_be_begun_again() {
    let world = World::start().await;
    let document = world.bring("a.pdf", &pdf(2, "cancelled")).await;
    let stop = StopAt::new(Checkpoint::Done(app::documents::Step::Chunk));
    let reading = tokio::spawn(world.job(document).await.run(
        world.workshop.with_checkpoints(stop.clone()),
        Turn { attempt: 1 },
    ));
    stop.is_reached().await;
    documents::cancel(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    // It looks by itself whether it is still wanted, also while nothing goes on.
    reading.await.unwrap().unwrap();
    let cancelled = State::Failed(Failure::Own(OwnFailure::Cancelled));
    assert_eq!(world.state(document).await, cancelled);
    assert_eq!(world.jobs().await, Vec::<String>::new());
    documents::retry(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    world.ingest(document).await.unwrap();
    assert_eq!(world.state(document).await, State::Ready);
    // Cancelling a second reading leaves what the first has brought.
    documents::retry(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    documents::cancel(&world.database, &world.workspace.id, document)
        .await
        .unwrap();
    assert_eq!(world.state(document).await, State::Ready);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_title_reaches_the_tenants_database_also_when_it_comes_while_the_rows_are_written() {
    let world = World::start().await;
    let document = world.bring("old.pdf", &pdf(1, "title")).await;
    let stop = StopAt::new(Checkpoint::Written);
    let reading = tokio::spawn(world.job(document).await.run(
        world.workshop.with_checkpoints(stop.clone()),
        Turn { attempt: 1 },
    ));
    stop.is_reached().await;
    let title: Title = "New title".parse().unwrap();
    documents::rename(&world.database, &world.workspace.id, document, &title)
        .await
        .unwrap();
    let job = RenameDocument {
        workspace: world.workspace.id.clone(),
        document,
    };
    let renaming = tokio::spawn(job.run(world.workshop.clone(), Turn { attempt: 1 }));
    stop.go_on();
    reading.await.unwrap().unwrap();
    renaming.await.unwrap().unwrap();
    let there: String = sqlx::query_scalar("SELECT title FROM documents")
        .fetch_one(&world.tenant)
        .await
        .unwrap();
    assert_eq!(there, "New title");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_again_keeps_what_conversations_refer_to() {
    let world = World::start().await;
    let document = world.bring("a.pdf", &pdf(1, "kept")).await;
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
async fn search_finds_words_on_their_pages_and_marks_them_and_nothing_else() {
    let world = World::start().await;
    let text = "<b>harvest</b> & \"quotes\" of the orchard\nA second line of the orchard.";
    let bytes = local_stack::sample_pdf(&["Nothing here to see at all.", text]);
    let document = world.bring("a.pdf", &bytes).await;
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
        .filter(|piece| piece.is_found)
        .map(|piece| piece.text.as_str())
        .collect();
    assert_eq!(marked, ["orchard", "orchard"]);
    let shown: String = hit
        .snippet
        .iter()
        .map(|piece| piece.text.as_str())
        .collect();
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
