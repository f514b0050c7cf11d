//! The writer of an answer: one at a time, even if tabs close, users stop answers, or processes are
//! killed.

use std::pin::Pin;
use std::time::Duration;

use app::ask::threads::{self, AskedQuestion, QuestionTarget};
use app::ask::{AnswerUpdate, AskError, MAX_ANSWERS_PER_WORKSPACE, MessageState};
use futures::{Stream, StreamExt as _};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{Process, Stage};
use crate::world::SOON;

const QUESTION: &str = "How often must the pump filter be changed?";
const PAGES: [&str; 2] = [
    "The pump filter must be changed every 500 hours of operation and after every flood of the basement, whichever comes first in the year.",
    "The pump filter housing is opened with the changed key number nine.",
];
/// The delay between two pieces of an answer: long enough for a test to act in between.
const PIECE: Duration = Duration::from_millis(60);

/// A fixture with a document and slow answers.
async fn slow_stage() -> Stage {
    let stage = Stage::slow(PIECE).await;
    stage.document("Pump", &PAGES).await;
    stage
}

impl Stage {
    /// Asks about all documents in a new conversation, without starting the answer.
    async fn ask_of_the_pump(&self) -> AskedQuestion {
        self.ask(QUESTION, QuestionTarget::NewThread(None))
            .await
            .unwrap()
    }

    /// Asks, and lets this process write about half of the answer. Returns the stream and the text
    /// it has delivered.
    async fn half_answered(
        &self,
        process: &Process,
    ) -> (
        AskedQuestion,
        Pin<Box<dyn Stream<Item = AnswerUpdate> + Send>>,
        String,
    ) {
        let asked = self.ask_of_the_pump().await;
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
        timeout(SOON, self.tasks.wait()).await.unwrap();
    }
}

#[tokio::test]
async fn all_who_read_along_see_one_answer_that_is_written_once() {
    let stage = slow_stage().await;
    let (one, other) = (stage.process(), stage.process());
    let asked = stage.ask_of_the_pump().await;
    let (first, second, elsewhere) = tokio::join!(
        stage.read(&one, &asked),
        stage.read(&one, &asked),
        stage.read(&other, &asked),
    );
    assert_eq!(first.1.state, MessageState::Complete);
    assert_eq!((&first.1, &first.1), (&second.1, &elsewhere.1));
    assert!(first.0.len() > 3, "piece by piece: {:?}", first.0);
    assert_eq!(stage.stub.counts().chat_requests, 1);
}

#[tokio::test]
async fn an_answer_goes_on_when_nobody_reads_it_any_more() {
    let stage = slow_stage().await;
    let process = stage.process();
    let (asked, following, _) = stage.half_answered(&process).await;
    drop(following);
    let answer = stage.until_ended(&asked).await;
    assert_eq!(answer.state, MessageState::Complete);
    assert_eq!(stage.stub.counts().chat_requests, 1);
    assert_eq!(stage.read(&process, &asked).await.1, answer);
}

#[tokio::test]
async fn stopping_keeps_what_was_written_wherever_it_is_stopped() {
    let stage = slow_stage().await;
    for elsewhere in [false, true] {
        let (writing, other) = (stage.process(), stage.process());
        let (asked, mut following, seen) = stage.half_answered(&writing).await;
        let stopping = if elsewhere { &other } else { &writing };
        let row = stage.row(&asked).await;
        let stopped = stopping
            .ask
            .end(&stage.workspace, &stage.database, &row)
            .await;
        assert!(stopped.unwrap());
        let ended = loop {
            match timeout(SOON, following.next()).await.unwrap() {
                Some(AnswerUpdate::Ended(message)) => break message,
                Some(_) => {}
                None => panic!("no word of the end"),
            }
        };
        assert_eq!(ended.state, MessageState::Stopped);
        if !elsewhere {
            writing.idle().await;
            let row = stage.row(&asked).await;
            assert!(row.text.starts_with(&seen), "{:?} {seen:?}", row.text);
        }
        assert!(
            !stage.row(&asked).await.text.ends_with("[1]"),
            "not to its end"
        );
        assert!(
            !stopping
                .ask
                .end(&stage.workspace, &stage.database, &row)
                .await
                .unwrap()
        );
    }
    assert_eq!(stage.stub.counts().answers, 0);
}

#[tokio::test]
async fn a_process_that_ends_leaves_its_answer_to_the_next_at_once() {
    let stage = slow_stage().await;
    let ending = stage.process();
    let (asked, _following, _) = stage.half_answered(&ending).await;
    ending.stop.cancel();
    ending.idle().await;
    assert!(
        !ending
            .ask
            .start_answer(&stage.workspace, asked.answer.id)
            .await
            .unwrap()
    );
    assert_eq!(stage.row(&asked).await.state, MessageState::Pending);
    let next = stage.process();
    let (_, answer) = stage.read(&next, &asked).await;
    assert_eq!(answer.state, MessageState::Complete);
    assert_eq!(
        answer.text.matches("500 hours").count(),
        1,
        "written anew, not behind the old"
    );
    assert_eq!(stage.stub.counts().answers, 1);
}

/// Puts the row into the state that a killed process leaves behind: claimed, but not renewed.
async fn leave_claimed(stage: &Stage, message: app::ids::MessageId, seconds: f64, takes: i32) {
    sqlx::query("UPDATE messages SET claimed_by = $2, claimed_until = now() + $3 * interval '1 second', text = 'half', takes = $4 WHERE id = $1")
        .bind(message.0)
        .bind(Uuid::new_v4())
        .bind(seconds)
        .bind(takes)
        .execute(stage.database.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_answer_whose_writer_was_killed_is_taken_up_when_its_lease_is_over() {
    let stage = Stage::start().await;
    stage.document("Pump", &PAGES).await;
    let process = stage.process();
    let asked = stage.ask_of_the_pump().await;
    leave_claimed(&stage, asked.answer.id, 1.5, 1).await;
    assert!(
        !process
            .ask
            .start_answer(&stage.workspace, asked.answer.id)
            .await
            .unwrap(),
        "believed alive"
    );
    let (shown, answer) = stage.read(&process, &asked).await;
    assert_eq!(shown[0], "half", "what is there is shown meanwhile");
    assert_eq!(answer.state, MessageState::Complete);
    assert!(!answer.text.contains("half"));
}

#[tokio::test]
async fn an_answer_that_kills_its_writers_is_given_up() {
    let stage = Stage::start().await;
    let process = stage.process();
    let asked = stage.ask_of_the_pump().await;
    leave_claimed(&stage, asked.answer.id, -1.0, 5).await;
    let (_, answer) = stage.read(&process, &asked).await;
    assert_eq!(
        answer.state,
        MessageState::Failed(app::ask::AnswerFailure::Abandoned)
    );
    assert_eq!(stage.stub.counts().embedding_requests, 0);
}

#[tokio::test]
async fn a_writer_that_lost_its_claim_changes_nothing_any_more() {
    let stage = slow_stage().await;
    let process = stage.process();
    let asked = stage.ask_of_the_pump().await;
    assert!(
        process
            .ask
            .start_answer(&stage.workspace, asked.answer.id)
            .await
            .unwrap()
    );
    leave_claimed(&stage, asked.answer.id, 60.0, 2).await;
    process.idle().await;
    let row = stage.row(&asked).await;
    assert_eq!(
        (row.state, row.text.as_str()),
        (MessageState::Pending, "half")
    );
}

#[tokio::test]
async fn a_conversation_that_is_removed_takes_its_answer_along() {
    let stage = slow_stage().await;
    let process = stage.process();
    let (asked, mut following, _) = stage.half_answered(&process).await;
    assert!(
        threads::delete(&stage.database, asked.thread)
            .await
            .unwrap()
    );
    while let Some(followed) = timeout(SOON, following.next()).await.unwrap() {
        assert!(!matches!(followed, AnswerUpdate::Ended(_)), "{followed:?}");
    }
    process.idle().await;
    assert!(
        !threads::delete(&stage.database, asked.thread)
            .await
            .unwrap()
    );
    assert_eq!(
        stage.stub.counts().answers,
        0,
        "not written to its end for nobody"
    );
}

#[tokio::test]
async fn a_document_removed_while_an_answer_cites_it_leaves_no_quote_behind() {
    let stage = Stage::slow(PIECE).await;
    let document = stage.document("Pump", &PAGES).await;
    let process = stage.process();
    let (asked, _following, _) = stage.half_answered(&process).await;
    let mut removal = stage.database.begin().await.unwrap();
    sqlx::query("DELETE FROM documents WHERE id = $1")
        .bind(document.0)
        .execute(&mut *removal)
        .await
        .unwrap();
    threads::clear_quotes_of_document(&mut *removal, document)
        .await
        .unwrap();
    removal.commit().await.unwrap();
    assert_eq!(
        stage.until_ended(&asked).await.state,
        MessageState::Complete
    );
    // Reads the row itself, because the query functions hide quotes of deleted documents anyway.
    let quotes: Vec<String> = sqlx::query_scalar(
        "SELECT citation ->> 'quote' FROM messages, jsonb_array_elements(citations) citation WHERE id = $1",
    )
    .bind(asked.answer.id.0)
    .fetch_all(stage.database.pool())
    .await
    .unwrap();
    assert!(!quotes.is_empty());
    assert!(quotes.iter().all(String::is_empty), "{quotes:?}");
}

#[tokio::test]
async fn a_workspace_has_so_many_answers_under_way_and_no_more() {
    let stage = Stage::start().await;
    // One answer is being written and the others are about to be.
    let first = stage.ask_of_the_pump().await;
    leave_claimed(&stage, first.answer.id, 60.0, 1).await;
    for _ in 1..MAX_ANSWERS_PER_WORKSPACE {
        stage.ask_of_the_pump().await;
    }
    let refused = stage.ask(QUESTION, QuestionTarget::NewThread(None)).await;
    assert!(
        matches!(refused, Err(AskError::TooManyAnswers)),
        "{refused:?}"
    );
    assert_eq!(
        threads::list(&stage.database).await.unwrap().len(),
        4,
        "nothing is left of it"
    );
    // Abandoned answers do not block new questions.
    sqlx::query("UPDATE messages SET created_at = created_at - interval '1 hour'")
        .execute(stage.database.pool())
        .await
        .unwrap();
    stage.ask_of_the_pump().await;
}
