//! Conversations in a browser: the pages, streaming an answer, stopping it, and deleting a
//! conversation.

use std::time::Duration;

use app::ask::MAX_QUESTION_CHARS;
use app::ask::threads::{self, MessageState};
use app::ids::{DocumentId, ThreadId};
use axum::http::StatusCode;
use openai_stub::{Fault, Route};
use serde_json::json;

use super::page_fixture::{PageFixture, QUESTION};
use super::support::document;

#[tokio::test]
async fn an_answer_is_streamed_and_its_citation_links_to_the_page() {
    let mut fixture = PageFixture::start(Duration::from_millis(10)).await;
    let empty = fixture.ada.get(&fixture.chat()).await;
    assert_eq!(empty.status, StatusCode::OK);
    assert!(empty.text.contains("Pump manual") && empty.text.contains("maxlength=\"2000\""));
    // The model takes a while, so that the stream is open before the first token.
    fixture
        .stub
        .fail_next(Route::Chat, Fault::Slow(Duration::from_secs(3)));
    let (thread, answer) = fixture.ask().await;
    let stream = fixture.ada.get(&format!("{answer}/events")).await;
    assert_eq!(stream.header("content-type"), "text/event-stream");
    for event in ["event: status", "event: text", "event: done"] {
        assert!(stream.text.contains(event), "no {event} in {}", stream.text);
    }
    let link = format!(
        "/w/{}/documents/{}/file#page=2",
        fixture.workspace.id, fixture.manual
    );
    let done = stream.text.split_once("event: done").unwrap().1;
    assert!(done.contains(&link), "{done}");
    assert!(
        done.contains("operation &amp; after floods"),
        "escaped: {done}"
    );
    let reopened = fixture.ada.get(&thread).await;
    assert!(reopened.text.contains(&link) && reopened.text.contains("Ada"));
    assert!(
        !reopened.text.contains("sse-connect"),
        "the answer is complete"
    );
    let again = fixture.ada.get(&format!("{answer}/events")).await;
    assert!(
        again.text.contains("event: done"),
        "a late reader gets the final update immediately"
    );
    assert_eq!(fixture.stub.counts().chat_requests, 1);
}

#[tokio::test]
async fn a_stream_sends_at_most_three_times_the_final_answer() {
    // Each piece could be an event of its own.
    let mut fixture = PageFixture::start(Duration::from_millis(3)).await;
    let row = "| after floods | every 500 hours of operation, whichever comes first [1] |\n";
    let paragraph =
        "The filter must be changed **every 500 hours** of operation and after floods [1]. ";
    let text = format!(
        "{}\n\n- {}\n\n| When | Why |\n|---|---|\n{}",
        paragraph.repeat(25),
        paragraph.repeat(10),
        row.repeat(12)
    );
    fixture.stub.fail_next(Route::Chat, Fault::Answer(text));
    let (thread, answer) = fixture.ask().await;
    let stream = fixture.ada.get(&format!("{answer}/events")).await;
    let (updates, done) = stream.text.split_once("event: done").expect("the end");
    let count = updates.matches("event: text").count();
    assert!(count > 10, "only {count} updates");
    assert!(
        done.contains("<td>every 500 hours") && done.contains("<strong>"),
        "{done}"
    );
    let (all, end) = (stream.text.len(), done.len());
    assert!(
        all <= 3 * end,
        "{all} bytes for an answer of {end} bytes in {count} updates"
    );
    // The first update carries all the text so far, and the later ones only what follows it.
    let kept: Vec<&str> = updates
        .split("event: text\ndata: ")
        .skip(1)
        .filter_map(|update| update.split(':').next())
        .collect();
    assert_eq!(kept[0], "0");
    assert!(kept[1..].iter().all(|kept| *kept != "0"), "{kept:?}");
    let reopened = fixture.ada.get(&thread).await;
    assert!(
        reopened.text.contains("<td>every 500 hours"),
        "{}",
        reopened.text
    );
}

#[tokio::test]
async fn an_answer_names_the_pages_that_could_not_be_read_and_the_printed_page_number() {
    let mut fixture = PageFixture::start(Duration::ZERO).await;
    let scan = DocumentId::random();
    let images = json!({"page_count": 9, "ranges": [{"first": 1, "last": 9, "kind": "image"}]});
    let manual = json!({
        "page_count": 3,
        "ranges": [
            {"first": 1, "last": 2, "kind": "text"},
            {"first": 3, "last": 3, "kind": "damaged"}
        ],
        "labels": [[1, "i"], [2, "ii"]]
    });
    for (id, title, report, unread) in [
        (fixture.manual, "Pump manual", manual, vec![3]),
        (scan, "Scanned minutes", images, (1..=9).collect()),
    ] {
        sqlx::query(
            "INSERT INTO documents (id, workspace_id, file_name, title, media_type, byte_count, content_sha256,
                                    state, upload_deadline, unreadable_pages, page_report)
             VALUES ($1, $2, 'a.pdf', $3::text, 'application/pdf', 1, sha256(convert_to($3::text, 'UTF8')), 'ready', now(), $4, $5)",
        )
        .bind(id.0)
        .bind(fixture.workspace.id.as_str())
        .bind(title)
        .bind(unread)
        .bind(report)
        .execute(&fixture.app.database)
        .await
        .unwrap();
    }
    for shown in fixture.streamed_and_reloaded(QUESTION).await {
        let pages = "pages 1\u{2013}2 (printed i\u{2013}ii)";
        assert!(shown.contains(pages), "{shown}");
        assert!(shown.contains(": 1 of 3 pages"), "{shown}");
        assert!(!shown.contains("Scanned minutes"), "not cited: {shown}");
    }
    let search = format!("/w/{}/documents/search?q=filter", fixture.workspace.id);
    let found = fixture.ada.get(&search).await.text;
    assert!(found.contains("(printed i"), "{found}");
    // If nothing is found, the answer may be on any page that could not be read.
    let question = "Who won the chess championship?";
    for shown in fixture.streamed_and_reloaded(question).await {
        assert!(shown.contains(": 9 of 9 pages are images."), "{shown}");
        assert!(shown.contains(": 1 of 3 pages"), "{shown}");
    }
}

#[tokio::test]
async fn a_question_from_an_open_page_returns_a_fragment() {
    // Slow enough that the first answer is still pending when its page opens.
    let mut fixture = PageFixture::start(Duration::from_millis(150)).await;
    let (thread, _) = fixture.ask().await;
    let id = thread.rsplit('/').next().unwrap().to_owned();
    let mut page = fixture.ada.clone().with("hx-request", "true");
    let piece = page
        .post(&fixture.chat(), &[("question", QUESTION), ("thread", &id)])
        .await;
    assert_eq!(piece.status, StatusCode::OK, "{}", piece.text);
    assert!(piece.text.contains("sse-connect") && !piece.text.contains("<html"));
    let refused = page
        .post(&fixture.chat(), &[("question", " "), ("thread", &id)])
        .await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn an_invalid_question_is_returned_with_the_reason() {
    let mut fixture = PageFixture::start(Duration::ZERO).await;
    let long = "why ".repeat(MAX_QUESTION_CHARS / 4 + 1) + "?";
    let refused = fixture
        .ada
        .post(&fixture.chat(), &[("question", &long)])
        .await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("role=\"alert\"") && refused.text.contains("why why"));
    let unknown = DocumentId::random().to_string();
    let refused = fixture
        .ada
        .post(
            &fixture.chat(),
            &[("question", "Why?"), ("document", &unknown)],
        )
        .await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    for thread in [ThreadId::random().to_string(), "no-id".to_owned()] {
        let lost = fixture
            .ada
            .post(
                &fixture.chat(),
                &[("question", "Why?"), ("thread", &thread)],
            )
            .await;
        assert_eq!(lost.status, StatusCode::NOT_FOUND);
        assert_eq!(
            fixture
                .ada
                .get(&format!("{}/{thread}", fixture.chat()))
                .await
                .status,
            StatusCode::NOT_FOUND
        );
    }
    let threads: i64 = sqlx::query_scalar("SELECT count(*) FROM threads")
        .fetch_one(
            fixture
                .app
                .pools
                .get(&fixture.workspace)
                .await
                .unwrap()
                .pool(),
        )
        .await
        .unwrap();
    assert_eq!(threads, 0);
}

#[tokio::test]
async fn an_answer_can_be_stopped_and_a_conversation_deleted() {
    let mut fixture = PageFixture::start(Duration::from_millis(150)).await;
    let (thread, answer) = fixture.ask().await;
    let mut page = fixture.ada.clone().with("hx-request", "true");
    let stopped = page.post(&format!("{answer}/stop"), &[]).await;
    assert_eq!(stopped.status, StatusCode::NO_CONTENT, "{}", stopped.text);
    let end = fixture.ada.get(&format!("{answer}/events")).await;
    assert!(end.text.contains("event: done"), "{}", end.text);
    let by = "<bdi>You</bdi> stopped this answer";
    assert!(end.text.contains(by), "{}", end.text);
    let tenant = fixture.app.pools.get(&fixture.workspace).await.unwrap();
    let id = |url: &str| url.rsplit('/').next().unwrap().to_owned();
    let (in_thread, message) = (id(&thread).parse().unwrap(), id(&answer).parse().unwrap());
    let stored = threads::message(&tenant, in_thread, message).await.unwrap();
    assert_eq!(stored.unwrap().state, MessageState::Stopped);
    assert_eq!(fixture.stub.counts().answers, 0);
    let removed = fixture.ada.post(&format!("{thread}/delete"), &[]).await;
    assert_eq!(removed.status, StatusCode::SEE_OTHER);
    assert_eq!(fixture.ada.get(&thread).await.status, StatusCode::NOT_FOUND);
    let end = fixture.ada.get(&format!("{answer}/events")).await;
    assert!(end.text.starts_with("event: done\n"), "{}", end.text);
    assert!(!end.text.contains(by), "{}", end.text);
    let again = fixture.ada.post(&format!("{thread}/delete"), &[]).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_conversation_can_be_renamed_and_searched() {
    let mut fixture = PageFixture::start(Duration::ZERO).await;
    let [_, page] = fixture.streamed_and_reloaded(QUESTION).await;
    let id = page
        .split_once("/rename\"")
        .and_then(|(before, _)| before.rsplit_once("/chat/"))
        .expect("a form")
        .1
        .to_owned();
    let thread = format!("{}/{id}", fixture.chat());
    let rename = format!("{thread}/rename");
    let renamed = fixture
        .ada
        .post(&rename, &[("title", " Pump &\nfilter ")])
        .await;
    assert_eq!(renamed.status, StatusCode::SEE_OTHER, "{}", renamed.text);
    let shown = fixture.ada.get(&thread).await;
    assert!(
        shown.text.contains("Pump &amp; filter</h1>"),
        "{}",
        shown.text
    );
    let invalid = fixture.ada.post(&rename, &[("title", " ")]).await;
    assert_eq!(invalid.status, StatusCode::UNPROCESSABLE_ENTITY);
    // A conversation is found by its title, its question and its answer.
    for (text, is_found) in [
        ("PUMP+%26", true),
        ("how+often", true),
        ("AFTER+FLOODS", true),
        ("chess", false),
        ("%25", false),
        ("%00", true),
    ] {
        let found = fixture
            .ada
            .get(&format!("{}?q={text}", fixture.chat()))
            .await;
        assert_eq!(found.status, StatusCode::OK);
        assert_eq!(found.text.contains(&id), is_found, "{text}");
    }
    let lost = format!("{}/{}/rename", fixture.chat(), ThreadId::random());
    assert_eq!(
        fixture.ada.post(&lost, &[("title", "a")]).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn the_documents_of_a_conversation_can_be_changed_with_a_question() {
    let mut fixture = PageFixture::start(Duration::ZERO).await;
    let [_, page] = fixture.streamed_and_reloaded(QUESTION).await;
    assert!(page.contains("Searching: all documents"), "{page}");
    let (_, id) = page.split_once("name=\"thread\" value=\"").expect("a form");
    let (id, _) = id.split_once('"').expect("an id");
    let manual = fixture.manual.to_string();
    let thread = format!("{}/{id}", fixture.chat());
    let mut script = fixture.ada.clone().with("hx-request", "true");
    let tenant = fixture.app.pools.get(&fixture.workspace).await.unwrap();
    let lease = document(&tenant, "Lease", &["The rent is due."]).await;
    drop(tenant);
    let lease = lease.to_string();
    let (manual, lease) = (manual.as_str(), lease.as_str());
    for (documents, scope) in [
        (&["", manual][..], "Pump manual</a>"),
        // Unchanged.
        (&[], "Pump manual</a>"),
        (&["", lease, manual], "Lease</a>, <a href=\"/w/"),
        (&[], "Pump manual</a>"),
        (&["", manual, manual], ": <a href=\"/w/"),
        (&[""], "all documents"),
    ] {
        let mut fields = vec![("question", "How often?"), ("thread", id)];
        fields.extend(documents.iter().map(|document| ("document", *document)));
        let exchange = script.post(&fixture.chat(), &fields).await;
        assert_eq!(exchange.status, StatusCode::OK, "{}", exchange.text);
        let shown = fixture.ada.get(&thread).await;
        for html in [&exchange.text, &shown.text] {
            let (_, line) = html.split_once("Searching").expect("the scope");
            let (line, _) = line.split_once("</p>").expect("its end");
            assert!(line.contains(scope), "{line}");
        }
    }
    let unknown = DocumentId::random().to_string();
    let fields = [("question", "Why?"), ("thread", id), ("document", &unknown)];
    let refused = script.post(&fixture.chat(), &fields).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn only_its_author_and_owners_can_delete_a_conversation() {
    let mut fixture = PageFixture::start(Duration::ZERO).await;
    let mut grace = fixture.member("Grace").await;
    let fields = [("question", QUESTION), ("document", "")];
    let of_ada = fixture.ada.post(&fixture.chat(), &fields).await;
    let of_grace = [
        grace.post(&fixture.chat(), &fields).await,
        grace.post(&fixture.chat(), &fields).await,
    ];
    for (thread, is_own) in [
        (&of_ada, true),
        (&of_grace[0], false),
        (&of_grace[1], false),
    ] {
        let author = if is_own { &mut fixture.ada } else { &mut grace };
        let shared = author
            .post(&format!("{}/share", thread.location()), &[])
            .await;
        assert_eq!(shared.status, StatusCode::SEE_OTHER, "{}", shared.text);
    }
    let delete = format!("{}/delete", of_ada.location());
    let shown = grace.get(of_ada.location()).await;
    assert!(
        shown.text.contains("/rename\"") && !shown.text.contains(&delete),
        "{}",
        shown.text
    );
    let denied = grace.post(&delete, &[]).await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN, "{}", denied.text);
    let [first, second] = of_grace.map(|asked| format!("{}/delete", asked.location()));
    let by_author = grace.post(&first, &[]).await;
    assert_eq!(
        by_author.status,
        StatusCode::SEE_OTHER,
        "{}",
        by_author.text
    );
    let by_owner = fixture.ada.post(&second, &[]).await;
    assert_eq!(by_owner.status, StatusCode::SEE_OTHER, "{}", by_owner.text);
}
