//! The writer of an answer: one at a time, even if tabs close, users stop answers, or processes are
//! killed.

use std::pin::Pin;
use std::time::Duration;

use app::ask::threads::{self, AskedQuestion, Deletion, QuestionTarget};
use app::ask::{AnswerUpdate, AskError, MAX_ANSWERS_PER_WORKSPACE, MessageState};
use futures::{Stream, StreamExt as _};
use tokio::time::timeout;
use uuid::Uuid;

use super::support::{ChatFixture, Process};
use crate::fixture::TIMEOUT;

const QUESTION: &str = "How often must the pump filter be changed?";
const PAGES: [&str; 2] = [
    "The pump filter must be changed every 500 hours of operation and after every flood of the basement, whichever comes first in the year.",
    "The pump filter housing is opened with the changed key number nine.",
];
/// The delay between two pieces of an answer: long enough for a test to act in between.
const PIECE: Duration = Duration::from_millis(60);

/// A fixture with a document and slow answers.
async fn slow_fixture() -> ChatFixture {
    let fixture = ChatFixture::slow(PIECE).await;
    fixture.document("Pump", &PAGES).await;
    fixture
}

impl ChatFixture {
    /// Asks about all documents in a new conversation, without starting the answer.
    async fn ask_about_the_pump(&self) -> AskedQuestion {
        self.ask(QUESTION, QuestionTarget::NewThread(&[]))
            .await
            .unwrap()
    }

    /// Asks, and lets this process write about half of the answer. Returns the stream and the text
    /// it has delivered.
    async fn half_answer(
        &self,
        process: &Process,
    ) -> (
        AskedQuestion,
        Pin<Box<dyn Stream<Item = AnswerUpdate> + Send>>,
        String,
    ) {
        let asked = self.ask_about_the_pump().await;
        let mut following: Pin<Box<dyn Stream<Item = AnswerUpdate> + Send>> =
            Box::pin(self.follow(process, &asked));
        let seen = self.until_text(&mut following).await;
        (asked, following, seen)
    }
}

impl Process {
    /// Waits until all of the process's tasks are done.
    async fn idle(&self) {
        self.tasks.close();
        timeout(TIMEOUT, self.tasks.wait()).await.unwrap();
    }
}

#[tokio::test]
async fn all_readers_see_the_same_answer_which_is_written_once() {
    let fixture = slow_fixture().await;
    let (one, other) = (fixture.process(), fixture.process());
    let asked = fixture.ask_about_the_pump().await;
    let (first, second, elsewhere) = tokio::join!(
        fixture.read(&one, &asked),
        fixture.read(&one, &asked),
        fixture.read(&other, &asked),
    );
    assert_eq!(first.1.state, MessageState::Complete);
    assert_eq!((&first.1, &first.1), (&second.1, &elsewhere.1));
    assert!(first.0.len() > 3, "piece by piece: {:?}", first.0);
    assert_eq!(fixture.stub.counts().chat_requests, 1);
}

#[tokio::test]
async fn an_answer_continues_without_readers() {
    let fixture = slow_fixture().await;
    let process = fixture.process();
    let (asked, following, _) = fixture.half_answer(&process).await;
    drop(following);
    let answer = fixture.until_ended(&asked).await;
    assert_eq!(answer.state, MessageState::Complete);
    assert_eq!(fixture.stub.counts().chat_requests, 1);
    assert_eq!(fixture.read(&process, &asked).await.1, answer);
}

#[tokio::test]
async fn stopping_an_answer_in_any_process_keeps_the_text_so_far() {
    let fixture = slow_fixture().await;
    for elsewhere in [false, true] {
        let (writing, other) = (fixture.process(), fixture.process());
        let (asked, mut following, seen) = fixture.half_answer(&writing).await;
        let stopping = if elsewhere { &other } else { &writing };
        let row = fixture.row(&asked).await;
        let stopped = stopping
            .ask
            .stop(&fixture.workspace, &fixture.database, &row, fixture.user)
            .await;
        assert!(stopped.unwrap());
        let ended = loop {
            match timeout(TIMEOUT, following.next()).await.unwrap() {
                Some(AnswerUpdate::Ended(message)) => break message,
                Some(_) => {}
                None => panic!("no final update"),
            }
        };
        assert_eq!(ended.state, MessageState::Stopped);
        if !elsewhere {
            writing.idle().await;
            let row = fixture.row(&asked).await;
            assert!(row.text.starts_with(&seen), "{:?} {seen:?}", row.text);
        }
        assert!(
            !fixture.row(&asked).await.text.ends_with("[1]"),
            "not complete"
        );
        assert!(
            !stopping
                .ask
                .stop(&fixture.workspace, &fixture.database, &row, fixture.user)
                .await
                .unwrap()
        );
    }
    assert_eq!(fixture.stub.counts().answers, 0);
}

#[tokio::test]
async fn a_process_that_shuts_down_releases_its_answers_immediately() {
    let fixture = slow_fixture().await;
    let ending = fixture.process();
    let (asked, _following, _) = fixture.half_answer(&ending).await;
    ending.stop.cancel();
    ending.idle().await;
    assert!(
        !ending
            .ask
            .start_answer(&fixture.workspace, asked.answer.id)
            .await
            .unwrap()
    );
    assert_eq!(fixture.row(&asked).await.state, MessageState::Pending);
    let next = fixture.process();
    let (_, answer) = fixture.read(&next, &asked).await;
    assert_eq!(answer.state, MessageState::Complete);
    assert_eq!(
        answer.text.matches("500 hours").count(),
        1,
        "restarted rather than appended"
    );
    assert_eq!(fixture.stub.counts().answers, 1);
}

/// Puts the row into the state that a killed process leaves behind: claimed, but not renewed.
async fn simulate_killed_writer(
    fixture: &ChatFixture,
    message: app::ids::MessageId,
    seconds: f64,
    starts: i32,
) {
    sqlx::query("UPDATE messages SET claimed_by = $2, claimed_until = now() + $3 * interval '1 second', text = 'half', takes = $4 WHERE id = $1")
        .bind(message.0)
        .bind(Uuid::new_v4())
        .bind(seconds)
        .bind(starts)
        .execute(fixture.database.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_answer_whose_writer_was_killed_restarts_when_its_claim_expires() {
    let fixture = ChatFixture::start().await;
    fixture.document("Pump", &PAGES).await;
    let process = fixture.process();
    let asked = fixture.ask_about_the_pump().await;
    simulate_killed_writer(&fixture, asked.answer.id, 1.5, 1).await;
    assert!(
        !process
            .ask
            .start_answer(&fixture.workspace, asked.answer.id)
            .await
            .unwrap(),
        "the claim has not expired"
    );
    let (shown, answer) = fixture.read(&process, &asked).await;
    assert_eq!(shown[0], "half", "the existing text is shown first");
    assert_eq!(answer.state, MessageState::Complete);
    assert!(!answer.text.contains("half"));
}

#[tokio::test]
async fn an_answer_that_repeatedly_kills_its_writer_is_given_up() {
    let fixture = ChatFixture::start().await;
    let process = fixture.process();
    let asked = fixture.ask_about_the_pump().await;
    simulate_killed_writer(&fixture, asked.answer.id, -1.0, 5).await;
    let (_, answer) = fixture.read(&process, &asked).await;
    assert_eq!(
        answer.state,
        MessageState::Failed(app::ask::AnswerFailure::Abandoned)
    );
    assert_eq!(fixture.stub.counts().embedding_requests, 0);
}

#[tokio::test]
async fn a_writer_that_lost_its_claim_changes_nothing() {
    let fixture = slow_fixture().await;
    let process = fixture.process();
    let asked = fixture.ask_about_the_pump().await;
    assert!(
        process
            .ask
            .start_answer(&fixture.workspace, asked.answer.id)
            .await
            .unwrap()
    );
    simulate_killed_writer(&fixture, asked.answer.id, 60.0, 2).await;
    process.idle().await;
    let row = fixture.row(&asked).await;
    assert_eq!(
        (row.state, row.text.as_str()),
        (MessageState::Pending, "half")
    );
}

#[tokio::test]
async fn deleting_a_conversation_ends_its_answer() {
    let fixture = slow_fixture().await;
    let process = fixture.process();
    let (asked, mut following, _) = fixture.half_answer(&process).await;
    let delete = || threads::delete(&fixture.database, asked.thread, fixture.user);
    assert_eq!(delete().await.unwrap(), Deletion::CanBeUndone);
    while let Some(followed) = timeout(TIMEOUT, following.next()).await.unwrap() {
        if let AnswerUpdate::Ended(message) = followed {
            assert_eq!(message.state, MessageState::Stopped);
        }
    }
    process.idle().await;
    assert_eq!(delete().await.unwrap(), Deletion::NotFound);
    assert_eq!(
        fixture.stub.counts().answers,
        0,
        "the answer was not completed"
    );
}

#[tokio::test]
async fn deleting_a_document_during_an_answer_leaves_no_quotes() {
    let fixture = ChatFixture::slow(PIECE).await;
    let document = fixture.document("Pump", &PAGES).await;
    let process = fixture.process();
    let (asked, _following, _) = fixture.half_answer(&process).await;
    let mut deletion = fixture.database.begin().await.unwrap();
    sqlx::query("DELETE FROM documents WHERE id = $1")
        .bind(document.0)
        .execute(&mut *deletion)
        .await
        .unwrap();
    threads::clear_quotes_of_document(&mut *deletion, document)
        .await
        .unwrap();
    deletion.commit().await.unwrap();
    assert_eq!(
        fixture.until_ended(&asked).await.state,
        MessageState::Complete
    );
    // Reads the row itself, because the query functions hide quotes of deleted documents anyway.
    let quotes: Vec<String> = sqlx::query_scalar(
        "SELECT citation ->> 'quote' FROM messages, jsonb_array_elements(citations) citation WHERE id = $1",
    )
    .bind(asked.answer.id.0)
    .fetch_all(fixture.database.pool())
    .await
    .unwrap();
    assert!(!quotes.is_empty());
    assert!(quotes.iter().all(String::is_empty), "{quotes:?}");
}

#[tokio::test]
async fn the_number_of_answers_in_progress_per_workspace_is_limited() {
    let fixture = ChatFixture::start().await;
    // One answer is being written and the others are about to be.
    let first = fixture.ask_about_the_pump().await;
    simulate_killed_writer(&fixture, first.answer.id, 60.0, 1).await;
    for _ in 1..MAX_ANSWERS_PER_WORKSPACE {
        fixture.ask_about_the_pump().await;
    }
    let refused = fixture.ask(QUESTION, QuestionTarget::NewThread(&[])).await;
    assert!(
        matches!(refused, Err(AskError::TooManyAnswers)),
        "{refused:?}"
    );
    assert_eq!(
        threads::list(&fixture.database, fixture.user)
            .await
            .unwrap()
            .len(),
        4,
        "the rejected question leaves nothing behind"
    );
    // Abandoned answers do not block new questions.
    sqlx::query("UPDATE messages SET created_at = created_at - interval '1 hour'")
        .execute(fixture.database.pool())
        .await
        .unwrap();
    fixture.ask_about_the_pump().await;
}
