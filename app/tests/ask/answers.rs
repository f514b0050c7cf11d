//! The content of answers: citations, failures, and what is stored.

use std::time::Duration;

use app::ask::threads::{self, QuestionTarget};
use app::ask::{AnswerFailure, Author, InvalidQuestion, MessageState, Question};
use openai_stub::{Fault, Route};

use crate::support::{ANSWERS, Stage};

const PUMP: [&str; 3] = [
    "This manual describes the circulation pump model seven. Keep the manual near the pump.",
    "The filter must be changed every 500 hours of operation. Close both valves before opening the filter housing.",
    "Technical data. The motor draws 2.4 kilowatts at 400 volts.",
];
const LEASE: [&str; 2] = [
    "The tenant pays the monthly rent of 1,200 euros before the fifth day of each month.",
    "Notice of termination must be given in writing three months ahead.",
];

#[tokio::test]
async fn an_answer_cites_its_pages_and_is_kept() {
    let stage = Stage::start().await;
    let pump = stage.document("Pump manual", &PUMP).await;
    stage.document("Lease", &LEASE).await;
    let process = stage.process();
    let asked = stage
        .ask(
            "How often must the pump filter be changed?",
            QuestionTarget::NewThread(None),
        )
        .await
        .unwrap();
    let (shown, answer) = stage.read(&process, &asked).await;
    assert_eq!(answer.state, MessageState::Complete);
    assert_eq!(answer.author, Author::Model(ANSWERS.to_owned()));
    assert!(
        answer
            .text
            .contains("The filter must be changed every 500 hours of operation. [1]"),
        "{}",
        answer.text
    );
    assert!(
        shown.iter().all(|text| answer.text.starts_with(text)),
        "{shown:?}"
    );
    let first = &answer.citations[0];
    assert_eq!((first.number, first.document, first.page), (1, pump, 2));
    assert_eq!(first.title, "Pump manual");
    assert!(first.cited && first.quote.contains("500 hours") && !first.document_removed);
    let kept = threads::messages(&stage.database, asked.thread)
        .await
        .unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0].text, "How often must the pump filter be changed?");
    assert_eq!(kept[0].created_by, Some(stage.user));
    assert_eq!(kept[1], answer);
    let threads = threads::list(&stage.database).await.unwrap();
    assert_eq!(
        threads[0].title,
        "How often must the pump filter be changed?"
    );
}

#[tokio::test]
async fn what_the_documents_do_not_speak_of_is_not_found_and_no_model_is_asked() {
    let stage = Stage::start().await;
    let process = stage.process();
    let nothing = stage
        .answered(&process, "Who won the chess championship?")
        .await;
    assert_eq!(nothing.state, MessageState::NotFound, "no document at all");
    stage.document("Pump manual", &PUMP).await;
    let far = stage
        .answered(&process, "Who won the chess championship?")
        .await;
    assert_eq!((far.state, far.text.as_str()), (MessageState::NotFound, ""));
    assert_eq!(stage.stub.counts().chat_requests, 0);
    stage.stub.fail_next(Route::Chat, Fault::NotFound);
    let judged = stage
        .answered(&process, "What does the pump filter cost?")
        .await;
    assert_eq!(
        judged.state,
        MessageState::NotFound,
        "near in words, and yet no answer"
    );
    assert_eq!(judged.text, "The passages say nothing of this.");
}

#[tokio::test]
async fn without_a_model_for_answers_the_passages_are_quoted() {
    let stage = Stage::start().await;
    stage.document("Pump manual", &PUMP).await;
    let process = stage.process_with(None);
    assert!(process.ask.is_extractive());
    let answer = stage
        .answered(&process, "How often must the filter be changed?")
        .await;
    assert_eq!(
        (answer.state, &answer.author),
        (MessageState::Complete, &Author::Extracts)
    );
    assert_eq!(answer.text, "");
    let quote = &answer.citations[0];
    assert!(
        quote
            .quote
            .starts_with("The filter must be changed every 500 hours"),
        "{quote:?}"
    );
    assert_eq!((quote.page, quote.cited), (2, true));
    assert_eq!(stage.stub.counts().chat_requests, 0);
}

#[tokio::test]
async fn a_conversation_about_one_document_stays_with_it() {
    let stage = Stage::start().await;
    let pump = stage.document("Pump manual", &PUMP).await;
    let lease = stage.document("Lease", &LEASE).await;
    let process = stage.process();
    let asked = stage
        .ask(
            "When is the monthly rent paid?",
            QuestionTarget::NewThread(Some(lease)),
        )
        .await
        .unwrap();
    let (_, answer) = stage.read(&process, &asked).await;
    assert_eq!(answer.state, MessageState::Complete);
    assert!(
        answer
            .citations
            .iter()
            .all(|citation| citation.document == lease)
    );
    let again = stage
        .ask(
            "How often must the filter be changed?",
            QuestionTarget::Thread(asked.thread),
        )
        .await
        .unwrap();
    assert_eq!(again.question.ordinal, 2);
    let (_, other) = stage.read(&process, &again).await;
    assert!(
        other
            .citations
            .iter()
            .all(|citation| citation.document != pump)
    );
    assert_eq!(other.state, MessageState::NotFound);
    // After its deletion the document is no longer quoted, and questions about it are not extended
    // to all others.
    sqlx::query("DELETE FROM documents WHERE id = $1")
        .bind(lease.0)
        .execute(stage.database.pool())
        .await
        .unwrap();
    threads::clear_quotes_of_document(stage.database.pool(), lease)
        .await
        .unwrap();
    let row = stage.row(&asked).await;
    assert!(
        row.citations
            .iter()
            .all(|citation| citation.document_removed && citation.quote.is_empty())
    );
    assert_eq!(row.citations.len(), answer.citations.len());
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM messages WHERE citations::text LIKE '%1,200%'")
            .fetch_one(stage.database.pool())
            .await
            .unwrap();
    assert_eq!(kept, 0, "quotes are gone from the rows too");
    let last = stage
        .ask(
            "How often must the filter be changed?",
            QuestionTarget::Thread(asked.thread),
        )
        .await
        .unwrap();
    assert_eq!(
        stage.read(&process, &last).await.1.state,
        MessageState::NotFound
    );
    assert!(
        stage
            .ask("And now?", QuestionTarget::NewThread(Some(lease)))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn citations_of_passages_that_were_not_given_are_taken_out() {
    let stage = Stage::start().await;
    stage.document("Pump manual", &PUMP).await;
    stage.stub.fail_next(Route::Chat, Fault::InvalidCitation);
    let answer = stage
        .answered(
            &stage.process(),
            "How often must the pump filter be changed?",
        )
        .await;
    assert_eq!(answer.state, MessageState::Complete);
    assert!(
        answer.text.contains("[1]") && answer.text.contains("That is all"),
        "{}",
        answer.text
    );
    assert!(
        !answer.text.contains("99") && !answer.text.contains("77"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn where_the_vectors_model_cannot_be_had_the_words_are_looked_for() {
    let mut stage = Stage::start().await;
    stage.document("Pump manual", &PUMP).await;
    stage.workspace.embedding_model = Some("a-model-of-old".to_owned());
    let answer = stage
        .answered(&stage.process(), "How often must the filter be changed?")
        .await;
    assert_eq!(answer.state, MessageState::Complete);
    assert!(answer.text.contains("500 hours"), "{}", answer.text);
    assert_eq!(stage.stub.counts().embedding_requests, 0);
    let far = stage
        .answered(&stage.process(), "Who won the chess championship?")
        .await;
    assert_eq!(far.state, MessageState::NotFound);
}

#[tokio::test]
async fn an_answer_that_fails_says_why_and_keeps_what_was_written() {
    let stage = Stage::start().await;
    stage.document("Pump manual", &PUMP).await;
    let process = stage.process();
    let question = "How often must the pump filter be changed?";
    stage.stub.fail_next(Route::Chat, Fault::CutAfter(3));
    let cut = stage.answered(&process, question).await;
    assert_eq!(cut.state, MessageState::Failed(AnswerFailure::Interrupted));
    assert_eq!(cut.text, "The filter must");
    for (fault, failure) in [
        (Fault::InsufficientQuota, AnswerFailure::ModelQuotaExhausted),
        (Fault::Status(400), AnswerFailure::ModelRejected),
    ] {
        stage.stub.fail_next(Route::Chat, fault);
        let failed = stage.answered(&process, question).await;
        assert_eq!(failed.state, MessageState::Failed(failure));
    }
    stage
        .stub
        .fail_always(Route::Chat, Some(Fault::Status(503)));
    let busy = stage.answered(&process, question).await;
    assert_eq!(busy.state, MessageState::Failed(AnswerFailure::ModelBusy));
}

#[tokio::test]
async fn an_answer_that_stalls_is_ended() {
    let stage = Stage::slow(Duration::from_millis(1)).await;
    stage.document("Pump manual", &PUMP).await;
    stage.stub.fail_next(Route::Chat, Fault::StallAfter(2));
    let stalled = stage
        .answered(
            &stage.process(),
            "How often must the pump filter be changed?",
        )
        .await;
    assert_eq!(
        stalled.state,
        MessageState::Failed(AnswerFailure::Interrupted)
    );
    assert_eq!(stalled.text, "The filter");
}

#[test]
fn a_question_has_words_and_an_end() {
    assert_eq!("  \n\0 ".parse::<Question>(), Err(InvalidQuestion::Empty));
    assert_eq!(
        "\u{e9}".repeat(2_001).parse::<Question>(),
        Err(InvalidQuestion::TooLong)
    );
    assert!("\u{e9}".repeat(2_000).parse::<Question>().is_ok());
}

#[tokio::test]
async fn answers_show_in_the_metrics_as_numbers_alone() {
    let stage = Stage::start().await;
    stage.document("Pump manual", &PUMP).await;
    let process = stage.process();
    for (question, state) in [
        (
            "How often must the pump filter be changed?",
            MessageState::Complete,
        ),
        (
            "Who won the chess tournament in Reykjavik?",
            MessageState::NotFound,
        ),
    ] {
        assert_eq!(stage.answered(&process, question).await.state, state);
    }
    stage.stub.fail_next(Route::Chat, Fault::InsufficientQuota);
    let failed = stage
        .answered(&process, "How often must the filter be changed?")
        .await;
    assert_eq!(
        failed.state,
        MessageState::Failed(AnswerFailure::ModelQuotaExhausted)
    );
    let text = process.metrics.encode().unwrap();
    for line in [
        r#"chat_app_answers_total{outcome="complete",source="model"} 1"#,
        r#"chat_app_answers_total{outcome="not_found",source="model"} 1"#,
        r#"chat_app_answers_total{outcome="model_account",source="model"} 1"#,
        "chat_app_answer_time_to_first_token_seconds_count 1",
        "chat_app_answer_duration_seconds_count 3",
    ] {
        assert!(text.lines().any(|l| l == line), "missing: {line}\n{text}");
    }
    assert!(
        text.contains(r#"chat_app_answer_tokens_total{kind="answer"}"#),
        "{text}"
    );
    for word in ["filter", "chess", "500 hours"] {
        assert!(!text.contains(word), "{word}");
    }
}
