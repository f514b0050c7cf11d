//! Writes an answer, from the question to its end.
//!
//! A second future runs beside the writer: it saves the text every second, renews the claim, and
//! ends the writing when the claim is lost.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use llm::{AnswerEvent, ChatModel, Finish, ModelError, Retry};
use rag::{AnswerParser, Passage};
use tokio::time::{Instant, sleep, timeout};
use tracing::{Instrument as _, info, info_span, warn};

use super::claim::{AnswerClaim, AnswerOutcome, CLAIM_TTL};
use super::in_flight::{AnswerProgress, AnswerWriter, PartialAnswer};
use super::retrieve::{self, Retrieved};
use super::threads::{Citation, shorten};
use super::{ANSWER_TIMEOUT, AnswerFailure, Inner, MAX_ANSWER_TOKENS};
use crate::domain::Workspace;
use crate::ids::DocumentId;
use crate::telemetry::AnswerSource;
use crate::tenants::TenantDatabase;

/// How often new text is saved; also the delay for readers in other processes.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the claim is renewed while there is no new text.
const RENEW_INTERVAL: Duration = Duration::from_secs(4);
/// The final save is retried this often, within the claim's lifetime.
const MAX_FINISH_ATTEMPTS: u32 = 4;
const FINISH_RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Includes embedding the question.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(20);
/// Characters of a passage shown on the page.
const MAX_QUOTE_CHARS: usize = 600;

pub(super) async fn write(
    service: &Inner,
    workspace: &Workspace,
    claim: AnswerClaim,
    writer: AnswerWriter,
) {
    let span = info_span!("answer", workspace.id = %workspace.id, message.id = %claim.message);
    run(service, workspace, claim, writer)
        .instrument(span)
        .await;
}

/// Why writing ended without an outcome.
enum Interruption {
    /// A user stopped the answer.
    Stopped,
    /// The process is shutting down.
    Shutdown,
    /// Another writer took over, or the answer was deleted.
    ClaimLost,
}

async fn run(service: &Inner, workspace: &Workspace, claim: AnswerClaim, writer: AnswerWriter) {
    let database = match service.pools.get(workspace).await {
        Ok(database) => database,
        Err(reason) => {
            // The claim expires, and the next reader starts the answer again.
            warn!(%reason, "cannot start an answer");
            return;
        }
    };
    let outcome = tokio::select! {
        outcome = within_limits(service, workspace, &database, claim, &writer) => Ok(outcome),
        () = save_periodically(&database, claim, &writer) => Err(Interruption::ClaimLost),
        () = writer.stopped.cancelled() => Err(Interruption::Stopped),
        () = service.stop.cancelled() => Err(Interruption::Shutdown),
    };
    let partial = writer.partial();
    let elapsed = writer.started.elapsed();
    let elapsed_ms = elapsed.as_millis();
    let source = match service.models.chat_model() {
        Some(_) => AnswerSource::Model,
        None => AnswerSource::Excerpts,
    };
    service
        .metrics
        .answers
        .ended(label(&outcome), source, elapsed);
    match outcome {
        Ok(outcome) => {
            info!(
                answer.outcome = ?outcome,
                answer.passages = partial.citations.len(),
                elapsed_ms,
                "answer finished"
            );
            finish(&database, claim, outcome, &partial).await;
        }
        Err(Interruption::Stopped) => {
            info!(elapsed_ms, "answer stopped");
            // The row is `stopped` already, which finishing does not change.
            finish(&database, claim, AnswerOutcome::Complete, &partial).await;
        }
        Err(Interruption::Shutdown) => {
            info!("releasing the answer for another process");
            if let Err(error) = claim.release(&database).await {
                warn!(
                    error = %service_kit::error_chain(&error),
                    "failed to release the answer's claim; it expires on its own"
                );
            }
        }
        Err(Interruption::ClaimLost) => info!("claim lost, answer abandoned"),
    }
}

/// The outcome as a metric label.
fn label(outcome: &Result<AnswerOutcome, Interruption>) -> &'static str {
    match outcome {
        Ok(AnswerOutcome::Complete) => "complete",
        Ok(AnswerOutcome::NotFound) => "not_found",
        Ok(AnswerOutcome::Failed(failure)) => failure.as_str(),
        Err(Interruption::Stopped) => "stopped",
        Err(Interruption::Shutdown) => "shutdown",
        Err(Interruption::ClaimLost) => "claim_lost",
    }
}

/// Saves the end of the answer, with retries while the claim certainly holds.
async fn finish(
    database: &TenantDatabase,
    claim: AnswerClaim,
    outcome: AnswerOutcome,
    partial: &PartialAnswer,
) {
    let citations = with_cited(partial);
    for attempt in 1..=MAX_FINISH_ATTEMPTS {
        match claim
            .finish(database, outcome, &partial.text, &citations)
            .await
        {
            Ok(()) => return,
            Err(error) => warn!(
                error = %service_kit::error_chain(&error),
                attempt,
                "failed to save the end of an answer"
            ),
        }
        sleep(FINISH_RETRY_INTERVAL).await;
    }
}

/// The citations, each with whether the text refers to it. In an answer made of excerpts, all
/// are marked already.
fn with_cited(partial: &PartialAnswer) -> Vec<Citation> {
    let given = u32::try_from(partial.citations.len()).unwrap_or(u32::MAX);
    let cited = rag::cited_numbers(&partial.text, given);
    partial
        .citations
        .iter()
        .map(|citation| Citation {
            cited: citation.cited || cited.contains(&citation.number),
            ..citation.clone()
        })
        .collect()
}

/// Saves the text and renews the claim, until the claim is lost.
async fn save_periodically(database: &TenantDatabase, claim: AnswerClaim, writer: &AnswerWriter) {
    let (mut saved_bytes, mut saved_at) = (0, Instant::now());
    loop {
        sleep(SAVE_INTERVAL).await;
        let partial = writer.partial();
        if partial.text.len() == saved_bytes && saved_at.elapsed() < RENEW_INTERVAL {
            continue;
        }
        match claim
            .save(database, &partial.text, &with_cited(&partial))
            .await
        {
            Ok(true) => {
                saved_bytes = partial.text.len();
                saved_at = Instant::now();
            }
            Ok(false) => return,
            Err(error) => {
                warn!(
                    error = %service_kit::error_chain(&error),
                    "failed to save an answer in progress"
                );
                if saved_at.elapsed() >= CLAIM_TTL {
                    return;
                }
            }
        }
    }
}

async fn within_limits(
    service: &Inner,
    workspace: &Workspace,
    database: &TenantDatabase,
    claim: AnswerClaim,
    writer: &AnswerWriter,
) -> AnswerOutcome {
    // The time waiting for a permit counts as well, because the reader waits too.
    let limited = timeout(ANSWER_TIMEOUT, async {
        let _permit = service.writers.acquire().await;
        match answer(service, workspace, database, claim, writer).await {
            Ok(end) => end,
            Err(error) => {
                service.pools.report_error(workspace, &error).await;
                warn!(
                    error = %service_kit::error_chain(&error),
                    "query on the workspace's database failed, answer failed"
                );
                AnswerOutcome::Failed(AnswerFailure::Database)
            }
        }
    });
    limited
        .await
        .unwrap_or(AnswerOutcome::Failed(AnswerFailure::Timeout))
}

async fn answer(
    service: &Inner,
    workspace: &Workspace,
    database: &TenantDatabase,
    claim: AnswerClaim,
    writer: &AnswerWriter,
) -> Result<AnswerOutcome, sqlx::Error> {
    let Some((question, document)) = load_question(database, claim).await? else {
        // The conversation was deleted in the meantime.
        return Ok(AnswerOutcome::NotFound);
    };
    let search = retrieve::passages(
        database,
        &service.models,
        workspace.embedding_model.as_deref(),
        &question,
        document,
    );
    let Ok(found) = timeout(SEARCH_TIMEOUT, search).await else {
        return Ok(AnswerOutcome::Failed(AnswerFailure::Timeout));
    };
    let found = found?;
    tracing::debug!(
        answer.passages = found.passages.len(),
        answer.full_text = found.is_full_text,
        "passages retrieved"
    );
    if found.passages.is_empty() {
        return Ok(AnswerOutcome::NotFound);
    }
    let count = u32::try_from(found.passages.len()).unwrap_or(u32::MAX);
    let Some(answerer) = service.models.chat_model() else {
        excerpt_passages(&question, &found, writer);
        return Ok(AnswerOutcome::Complete);
    };
    writer.update(|partial| {
        partial.progress = AnswerProgress::Reading(count);
        partial.citations = citations(&found);
    });
    Ok(
        match ask_model(service, answerer, &question, &found, writer).await {
            Ok(end) => end,
            Err(error) => {
                warn!(
                    error.kind = error.kind(),
                    error = %service_kit::error_chain(&error),
                    "the chat model failed"
                );
                AnswerOutcome::Failed(failure(&error))
            }
        },
    )
}

/// The question that this answer belongs to, and the document that the conversation is about.
async fn load_question(
    database: &TenantDatabase,
    claim: AnswerClaim,
) -> Result<Option<(String, Option<DocumentId>)>, sqlx::Error> {
    let row: Option<(String, Option<uuid::Uuid>)> = sqlx::query_as(
        "SELECT q.text, t.document_id FROM messages a JOIN threads t ON t.id = a.thread_id
         JOIN messages q ON q.thread_id = a.thread_id AND q.ordinal < a.ordinal AND q.author = 'person'
         WHERE a.id = $1 ORDER BY q.ordinal DESC LIMIT 1",
    )
    .bind(claim.message.0)
    .fetch_optional(database.pool())
    .await?;
    Ok(row.map(|(question, document)| (question, document.map(DocumentId))))
}

/// Lets the chat model answer.
async fn ask_model(
    service: &Inner,
    answerer: &ChatModel,
    question: &str,
    found: &Retrieved,
    writer: &AnswerWriter,
) -> Result<AnswerOutcome, ModelError> {
    let prompt = rag::prompt(question, &found.passages, |passage| title(found, passage));
    let mut stream = answerer
        .answer(&prompt.system, &prompt.user, MAX_ANSWER_TOKENS)
        .await?;
    let passages = u32::try_from(found.passages.len()).unwrap_or(u32::MAX);
    let mut reader = AnswerParser::new(passages);
    let mut is_first = true;
    let finish = loop {
        match stream.next().await {
            Some(Ok(AnswerEvent::Text(piece))) => {
                let shown = reader.push(&piece);
                if !shown.is_empty() {
                    if std::mem::take(&mut is_first) {
                        service
                            .metrics
                            .answers
                            .time_to_first_token(writer.started.elapsed());
                    }
                    writer.update(|partial| {
                        partial.progress = AnswerProgress::Writing;
                        partial.text.push_str(&shown);
                    });
                }
            }
            Some(Ok(AnswerEvent::Finished { finish, usage })) => {
                if let Some(usage) = usage {
                    let (prompt, answer) = (usage.prompt_tokens, usage.answer_tokens);
                    service.metrics.answers.tokens(prompt.into(), answer.into());
                }
                info!(
                    model.name = answerer.name(),
                    answer.finish = ?finish,
                    answer.tokens = usage.map(|usage| usage.answer_tokens),
                    prompt.tokens = usage.map(|usage| usage.prompt_tokens),
                    "the chat model answered"
                );
                break Ok(finish);
            }
            Some(Err(error)) => break Err(error),
            None => break Err(ModelError::Interrupted),
        }
    };
    let read = reader.finish();
    if read.removed > 0 {
        info!(
            answer.removed = read.removed,
            "removed citations of passages that the model was not given"
        );
    }
    writer.update(|partial| partial.text.push_str(read.text.trim_end()));
    Ok(match finish? {
        _ if read.not_found => AnswerOutcome::NotFound,
        Finish::Complete => AnswerOutcome::Complete,
        Finish::Length | Finish::Filtered => AnswerOutcome::Failed(AnswerFailure::Interrupted),
    })
}

fn failure(error: &ModelError) -> AnswerFailure {
    match error {
        ModelError::QuotaExhausted => AnswerFailure::ModelQuotaExhausted,
        ModelError::Interrupted => AnswerFailure::Interrupted,
        error => match error.retry() {
            Retry::Later(_) => AnswerFailure::ModelBusy,
            Retry::Never => AnswerFailure::ModelRejected,
        },
    }
}

/// Answers with excerpts from the passages.
fn excerpt_passages(question: &str, found: &Retrieved, writer: &AnswerWriter) {
    let quotes = rag::extractive_answer(question, &found.passages);
    let citations: Arc<[Citation]> = citations(found)
        .iter()
        .filter_map(|citation| {
            let quote = quotes
                .iter()
                .find(|quote| quote.number == citation.number)?;
            Some(Citation {
                page: quote.page,
                page_from: quote.page,
                page_to: quote.page,
                cited: true,
                quote: quote.quote.clone(),
                ..citation.clone()
            })
        })
        .collect();
    writer.update(|partial| partial.citations = citations);
}

fn citations(found: &Retrieved) -> Arc<[Citation]> {
    found
        .passages
        .iter()
        .map(|passage| Citation {
            number: passage.number,
            document: DocumentId(passage.document),
            title: title(found, passage).to_owned(),
            page: passage.page,
            page_from: passage.page_from,
            page_to: passage.page_to,
            cited: false,
            quote: shorten(&passage.text[passage.found.clone()], MAX_QUOTE_CHARS),
            document_removed: false,
        })
        .collect()
}

fn title<'found>(found: &'found Retrieved, passage: &Passage) -> &'found str {
    found
        .passages
        .iter()
        .position(|other| other.number == passage.number)
        .and_then(|at| found.titles.get(at))
        .map_or("", String::as_str)
}
