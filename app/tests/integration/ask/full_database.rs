//! A database that has reached its size limit: what cannot be stored is rejected with the reason, what
//! is stored can be read, and nothing is lost.

use std::time::Duration;

use app::ask::threads::{self, AskedQuestion, QuestionTarget};
use app::ask::{AnswerFailure, AnswerUpdate, Message, MessageState};
use app::tenants::is_full;
use axum::http::StatusCode;
use futures::{Stream, StreamExt as _};
use serde_json::Value;
use test_support::wait::until_true;
use tokio::time::timeout;

use super::page_fixture::{PageFixture, QUESTION};
use super::support::ChatFixture;
use crate::fixture::TIMEOUT;

/// Less than any database has, in bytes.
const REACHED: u64 = 1;
/// The delay between two pieces of an answer: long enough to limit the database in between.
const PIECE: Duration = Duration::from_millis(300);
const UNLIMITED: u64 = 0;
const FULL: MessageState = MessageState::Failed(AnswerFailure::DatabaseFull);
const PAGE: &str = "The pump filter must be changed every 500 hours of operation and after every flood of the basement, \
    whichever comes first in the year.";

#[tokio::test]
async fn writes_are_rejected_with_the_reason_and_reads_work() {
    let mut fixture = PageFixture::start(Duration::ZERO).await;
    let [_, conversation] = fixture.streamed_and_reloaded(QUESTION).await;
    let answer = conversation
        .split_once("data-copy-url=\"")
        .and_then(|(_, rest)| rest.split_once("/text\""))
        .expect("a button that copies")
        .0
        .to_owned();
    let (thread, _) = answer.split_once("/messages/").expect("an answer");
    let (chat, rating) = (fixture.chat(), format!("{answer}/rating"));
    let documents = format!("/w/{}/documents", fixture.workspace.id);
    let mut script = fixture.ada.clone().with("accept", "application/json");

    fixture.emulator.limit_size(REACHED).await;
    // The connections from before the limit are closed.
    until_true("a session with the limit", || async {
        let rated = script.clone().post(&rating, &[("rating", "good")]).await;
        rated.status == StatusCode::INSUFFICIENT_STORAGE
    })
    .await;
    for (path, fields) in [
        (&chat, vec![("question", QUESTION), ("document", "")]),
        (&rating, vec![("rating", "bad")]),
        (&format!("{thread}/rename"), vec![("title", "Filters")]),
        (&format!("{answer}/regenerate"), vec![]),
    ] {
        let rejected = script.post(path, &fields).await;
        assert_eq!(rejected.status, StatusCode::INSUFFICIENT_STORAGE, "{path}");
        let problem: Value = serde_json::from_str(&rejected.text).expect("a problem");
        assert_eq!(problem["code"], "database_full", "{path}: {problem}");
        // Where the user can make space.
        assert_eq!(problem["link"]["path"], documents, "{path}: {problem}");
    }

    for (path, shown) in [
        (thread.to_owned(), "500 hours"),
        (format!("{answer}/text"), "500 hours"),
        (format!("{documents}/search?q=filter"), "Pump manual"),
    ] {
        let page = fixture.ada.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.text.contains(shown), "{path}: {}", page.text);
    }

    fixture.emulator.limit_size(UNLIMITED).await;
    until_true("a session without the limit", || async {
        let rated = script.clone().post(&rating, &[("rating", "good")]).await;
        rated.status.is_redirection()
    })
    .await;
    let [answered, _] = fixture.streamed_and_reloaded(QUESTION).await;
    assert!(answered.contains("500 hours"), "{answered}");
}

impl ChatFixture {
    /// Limits the size of the database, and waits until its sessions have this limit.
    async fn limit_size(&self, asked: &AskedQuestion, bytes: u64) {
        self.emulator.limit_size(bytes).await;
        let title = "Filters".parse().expect("a title");
        until_true("sessions with the limit", || async {
            let renamed = threads::rename(&self.database, asked.thread, &title).await;
            match bytes {
                UNLIMITED => renamed.is_ok(),
                _ => renamed.is_err_and(|error| is_full(&error)),
            }
        })
        .await;
    }

    async fn pending(&self) -> AskedQuestion {
        self.document("Pump", &[PAGE]).await;
        let asked = self.ask(QUESTION, QuestionTarget::NewThread(&[])).await;
        asked.expect("a question")
    }
}

/// The final answer of a stream.
async fn end(mut following: impl Stream<Item = AnswerUpdate> + Unpin) -> Message {
    loop {
        match timeout(TIMEOUT, following.next()).await {
            Ok(Some(AnswerUpdate::Ended(message))) => return *message,
            Ok(Some(_)) => {}
            other => panic!("the stream ended without the final update: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_started_says_why_and_is_written_once_there_is_space() {
    let fixture = ChatFixture::start().await;
    let asked = fixture.pending().await;
    fixture.limit_size(&asked, REACHED).await;
    let process = fixture.process();
    let ended = end(Box::pin(fixture.follow(&process, &asked))).await;
    assert_eq!(ended.state, FULL);
    assert_eq!(fixture.stub.counts().chat_requests, 0);
    assert_eq!(fixture.row(&asked).await.state, MessageState::Pending);

    fixture.limit_size(&asked, UNLIMITED).await;
    let (_, answer) = fixture.read(&process, &asked).await;
    assert_eq!(answer.state, MessageState::Complete);
}

#[tokio::test]
async fn an_answer_that_cannot_be_saved_is_shown_with_the_reason_and_can_be_written_again() {
    let fixture = ChatFixture::slow(PIECE).await;
    let asked = fixture.pending().await;
    let process = fixture.process();
    let mut following = Box::pin(fixture.follow(&process, &asked));
    let seen = fixture.until_text(&mut following).await;
    fixture.limit_size(&asked, REACHED).await;
    let ended = end(following).await;
    assert_eq!(ended.state, FULL);
    assert!(
        ended.text.starts_with(&seen) && !seen.is_empty(),
        "{}",
        ended.text
    );
    assert_eq!(fixture.row(&asked).await.state, MessageState::Pending);

    fixture.limit_size(&asked, UNLIMITED).await;
    let answer = end(Box::pin(fixture.follow(&process, &asked))).await;
    assert_eq!(answer.state, MessageState::Complete);
}
