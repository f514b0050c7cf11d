//! The content of answers: citations, failures, and what is stored.

use std::time::Duration;

use app::ask::threads::{self, QuestionTarget};
use app::ask::{AnswerFailure, Author, InvalidQuestion, MessageState, Question};
use openai_stub::{Fault, Route};

use super::support::{ANSWERS, ChatFixture};

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
async fn an_answer_cites_its_pages_and_is_stored() {
    let fixture = ChatFixture::start().await;
    let pump = fixture.document("Pump manual", &PUMP).await;
    fixture.document("Lease", &LEASE).await;
    let process = fixture.process();
    let asked = fixture
        .ask(
            "How often must the pump filter be changed?",
            QuestionTarget::NewThread(&[]),
        )
        .await
        .unwrap();
    let (shown, answer) = fixture.read(&process, &asked).await;
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
    let stored = threads::messages(&fixture.database, asked.thread)
        .await
        .unwrap();
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[0].text, "How often must the pump filter be changed?");
    assert_eq!(stored[0].created_by, Some(fixture.user));
    assert_eq!(stored[1], answer);
    let threads = threads::list(&fixture.database, fixture.user)
        .await
        .unwrap();
    assert_eq!(
        threads[0].title,
        "How often must the pump filter be changed?"
    );
}

#[tokio::test]
async fn an_unrelated_question_is_not_found_without_calling_the_model() {
    let fixture = ChatFixture::start().await;
    let process = fixture.process();
    let nothing = fixture
        .answered(&process, "Who won the chess championship?")
        .await;
    assert_eq!(
        nothing.state,
        MessageState::NotFound,
        "the workspace has no documents"
    );
    fixture.document("Pump manual", &PUMP).await;
    let far = fixture
        .answered(&process, "Who won the chess championship?")
        .await;
    assert_eq!((far.state, far.text.as_str()), (MessageState::NotFound, ""));
    assert_eq!(fixture.stub.counts().chat_requests, 0);
    fixture.stub.fail_next(Route::Chat, Fault::NotFound);
    let unanswerable = fixture
        .answered(&process, "How often must the pump filter be changed?")
        .await;
    assert_eq!(
        unanswerable.state,
        MessageState::NotFound,
        "passages match, but the model finds no answer"
    );
    assert_eq!(unanswerable.text, "The passages say nothing of this.");
}

#[tokio::test]
async fn without_a_chat_model_the_answer_quotes_passages() {
    let fixture = ChatFixture::start().await;
    fixture.document("Pump manual", &PUMP).await;
    let process = fixture.process_with(None);
    assert!(process.ask.is_extractive());
    let answer = fixture
        .answered(&process, "How often must the filter be changed?")
        .await;
    assert_eq!(
        (answer.state, &answer.author),
        (MessageState::Complete, &Author::Excerpts)
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
    assert_eq!(fixture.stub.counts().chat_requests, 0);
}

#[tokio::test]
async fn a_conversation_about_one_document_searches_only_that_document() {
    let fixture = ChatFixture::start().await;
    let pump = fixture.document("Pump manual", &PUMP).await;
    let lease = fixture.document("Lease", &LEASE).await;
    let process = fixture.process();
    let asked = fixture
        .ask(
            "When is the monthly rent paid?",
            QuestionTarget::NewThread(&[lease]),
        )
        .await
        .unwrap();
    let (_, answer) = fixture.read(&process, &asked).await;
    assert_eq!(answer.state, MessageState::Complete);
    assert!(
        answer
            .citations
            .iter()
            .all(|citation| citation.document == lease)
    );
    let again = fixture
        .ask(
            "How often must the filter be changed?",
            QuestionTarget::Thread(asked.thread),
        )
        .await
        .unwrap();
    assert_eq!(again.question.ordinal, 2);
    let (_, other) = fixture.read(&process, &again).await;
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
        .execute(fixture.database.pool())
        .await
        .unwrap();
    threads::clear_quotes_of_document(fixture.database.pool(), lease)
        .await
        .unwrap();
    let row = fixture.row(&asked).await;
    assert!(
        row.citations
            .iter()
            .all(|citation| citation.document_removed && citation.quote.is_empty())
    );
    assert_eq!(row.citations.len(), answer.citations.len());
    let stored: i64 =
        sqlx::query_scalar("SELECT count(*) FROM messages WHERE citations::text LIKE '%1,200%'")
            .fetch_one(fixture.database.pool())
            .await
            .unwrap();
    assert_eq!(stored, 0, "the stored quotes are cleared too");
    let last = fixture
        .ask(
            "How often must the filter be changed?",
            QuestionTarget::Thread(asked.thread),
        )
        .await
        .unwrap();
    assert_eq!(
        fixture.read(&process, &last).await.1.state,
        MessageState::NotFound
    );
    assert!(
        fixture
            .ask("And now?", QuestionTarget::NewThread(&[lease]))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn citations_of_unknown_passages_are_removed() {
    let fixture = ChatFixture::start().await;
    fixture.document("Pump manual", &PUMP).await;
    fixture.stub.fail_next(Route::Chat, Fault::InvalidCitation);
    let answer = fixture
        .answered(
            &fixture.process(),
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
async fn full_text_search_is_used_if_the_embedding_model_is_unavailable() {
    let mut fixture = ChatFixture::start().await;
    fixture.document("Pump manual", &PUMP).await;
    fixture.workspace.embedding_model = Some("an-old-model".to_owned());
    let answer = fixture
        .answered(&fixture.process(), "How often must the filter be changed?")
        .await;
    assert_eq!(answer.state, MessageState::Complete);
    assert!(answer.text.contains("500 hours"), "{}", answer.text);
    assert_eq!(fixture.stub.counts().embedding_requests, 0);
    let far = fixture
        .answered(&fixture.process(), "Who won the chess championship?")
        .await;
    assert_eq!(far.state, MessageState::NotFound);
}

#[tokio::test]
async fn a_failed_answer_keeps_its_reason_and_the_text_so_far() {
    let fixture = ChatFixture::start().await;
    fixture.document("Pump manual", &PUMP).await;
    let process = fixture.process();
    let question = "How often must the pump filter be changed?";
    fixture.stub.fail_next(Route::Chat, Fault::CutAfter(3));
    let cut = fixture.answered(&process, question).await;
    assert_eq!(cut.state, MessageState::Failed(AnswerFailure::Interrupted));
    assert_eq!(cut.text, "The filter must");
    for (fault, failure) in [
        (Fault::InsufficientQuota, AnswerFailure::ModelQuotaExhausted),
        (Fault::Status(400), AnswerFailure::ModelRejected),
    ] {
        fixture.stub.fail_next(Route::Chat, fault);
        let failed = fixture.answered(&process, question).await;
        assert_eq!(failed.state, MessageState::Failed(failure));
    }
    fixture
        .stub
        .fail_always(Route::Chat, Some(Fault::Status(503)));
    let busy = fixture.answered(&process, question).await;
    assert_eq!(busy.state, MessageState::Failed(AnswerFailure::ModelBusy));
}

#[tokio::test]
async fn an_answer_without_text_is_a_failure() {
    let fixture = ChatFixture::start().await;
    fixture.document("Pump manual", &PUMP).await;
    let process = fixture.process();
    // Nothing is left of the last one without its citations.
    for text in ["", " \n\n ", "[9] [8]"] {
        fixture
            .stub
            .fail_next(Route::Chat, Fault::Answer(text.to_owned()));
        let empty = fixture
            .answered(&process, "How often must the pump filter be changed?")
            .await;
        let failure = MessageState::Failed(AnswerFailure::EmptyAnswer);
        assert_eq!(empty.state, failure, "{text:?}");
    }
}

#[tokio::test]
async fn an_answer_that_reaches_the_maximum_length_keeps_its_text() {
    let fixture = ChatFixture::start().await;
    fixture.document("Pump manual", &PUMP).await;
    let long = "The filter [1] ".repeat(3_000);
    fixture.stub.fail_next(Route::Chat, Fault::Answer(long));
    let cut = fixture
        .answered(
            &fixture.process(),
            "How often must the pump filter be changed?",
        )
        .await;
    assert_eq!(cut.state, MessageState::Failed(AnswerFailure::MaxLength));
    assert!(cut.text.starts_with("The filter [1] The filter [1]"));
    assert!(cut.citations[0].cited);
}

#[tokio::test]
async fn a_stalled_answer_is_ended() {
    let fixture = ChatFixture::slow(Duration::from_millis(1)).await;
    fixture.document("Pump manual", &PUMP).await;
    fixture.stub.fail_next(Route::Chat, Fault::StallAfter(2));
    let stalled = fixture
        .answered(
            &fixture.process(),
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
fn a_question_is_neither_empty_nor_too_long() {
    assert_eq!("  \n\0 ".parse::<Question>(), Err(InvalidQuestion::Empty));
    assert_eq!(
        "\u{e9}".repeat(2_001).parse::<Question>(),
        Err(InvalidQuestion::TooLong)
    );
    assert!("\u{e9}".repeat(2_000).parse::<Question>().is_ok());
}

#[tokio::test]
async fn metrics_count_answers_without_revealing_content() {
    let fixture = ChatFixture::start().await;
    fixture.document("Pump manual", &PUMP).await;
    let process = fixture.process();
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
        assert_eq!(fixture.answered(&process, question).await.state, state);
    }
    fixture
        .stub
        .fail_next(Route::Chat, Fault::InsufficientQuota);
    let failed = fixture
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
        r#"chat_app_answers_total{outcome="model_quota_exhausted",source="model"} 1"#,
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
