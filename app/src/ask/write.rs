//! Writing an answer: from the question to the last word.
//!
//! Beside the writing runs the keeping: it saves what is there every second, renews the claim, and ends the writing when the answer is no
//! longer this writer's.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use llm::{AnswerEvent, Answerer, Finish, ModelError, Retry};
use rag::{AnswerReader, Passage};
use tokio::time::{Instant, sleep, timeout};
use tracing::{Instrument as _, info, info_span, warn};

use super::claim::{Claim, End, LEASE};
use super::live::{Draft, Progress, Writing};
use super::retrieve::{self, Found};
use super::threads::{Citation, shortened};
use super::{ANSWER_LIMIT, ANSWER_TOKENS_MAX, Failure, Inner};
use crate::ids::DocumentId;
use crate::telemetry::Voice;
use crate::tenants::TenantDatabase;
use crate::domain::Workspace;

/// What was written is saved so often; who reads along in another process sees it so late.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// Where nothing new was written, the claim is renewed so often.
const RENEW_INTERVAL: Duration = Duration::from_secs(4);
/// The last word is tried so often to be saved, while the lease lasts.
const END_ATTEMPTS: u32 = 4;
const END_RETRY: Duration = Duration::from_secs(2);
/// Looking for passages ends by then.
const SEARCH_LIMIT: Duration = Duration::from_secs(20);
/// Characters of a passage that a page shows.
const QUOTE_CHARS_MAX: usize = 600;

/// Writes the answer to its end, whatever that is.
pub(super) async fn write(ask: &Inner, workspace: &Workspace, claim: Claim, writing: Writing) {
    let span = info_span!("answer", workspace.id = %workspace.id, message.id = %claim.message);
    run(ask, workspace, claim, writing).instrument(span).await;
}

/// Why the writing ended without an end of its own.
enum Cut {
    /// Somebody stopped it.
    Stopped,
    /// The process ends.
    Leaving,
    /// Somebody else writes it, or it was removed.
    Lost,
}

async fn run(ask: &Inner, workspace: &Workspace, claim: Claim, writing: Writing) {
    let database = match ask.pools.get(workspace).await {
        Ok(database) => database,
        Err(reason) => {
            // The lease runs out by itself, and whoever reads takes it up again.
            warn!(%reason, "An answer cannot be begun");
            return;
        }
    };
    let outcome = tokio::select! {
        outcome = within_limits(ask, workspace, &database, claim, &writing) => Ok(outcome),
        () = keep(&database, claim, &writing) => Err(Cut::Lost),
        () = writing.stopped.cancelled() => Err(Cut::Stopped),
        () = ask.stop.cancelled() => Err(Cut::Leaving),
    };
    let draft = writing.draft();
    let took = writing.began.elapsed();
    let milliseconds = took.as_millis();
    let by = match ask.models.answerer() {
        Some(_) => Voice::Model,
        None => Voice::Extracts,
    };
    ask.metrics.answers.ended(word(&outcome), by, took);
    match outcome {
        Ok(end) => {
            info!(answer.end = ?end, answer.passages = draft.citations.len(), "Answered after {milliseconds} ms");
            last_word(&database, claim, end, &draft).await;
        }
        Err(Cut::Stopped) => {
            info!("An answer was stopped after {milliseconds} ms");
            // Its row says so already, and this end leaves that as it is.
            last_word(&database, claim, End::Complete, &draft).await;
        }
        Err(Cut::Leaving) => {
            info!("An answer is left to be taken up elsewhere");
            if let Err(error) = claim.release(&database).await {
                warn!(error = %error, "An answer could not be let go of; its lease runs out by itself");
            }
        }
        Err(Cut::Lost) => info!("An answer is no longer this writer's"),
    }
}

/// How the writing ended, for the metrics.
fn word(outcome: &Result<End, Cut>) -> &'static str {
    match outcome {
        Ok(End::Complete) => "complete",
        Ok(End::NotFound) => "not_found",
        Ok(End::Failed(failure)) => failure.as_str(),
        Err(Cut::Stopped) => "stopped",
        Err(Cut::Leaving) => "left",
        Err(Cut::Lost) => "lost",
    }
}

/// Saves the end, for as long as the answer is surely this writer's.
async fn last_word(database: &TenantDatabase, claim: Claim, end: End, draft: &Draft) {
    let citations = with_cited(draft);
    for attempt in 1..=END_ATTEMPTS {
        match claim.end(database, end, &draft.text, &citations).await {
            Ok(()) => return,
            Err(error) => warn!(error = %error, attempt, "An answer's end could not be saved"),
        }
        sleep(END_RETRY).await;
    }
}

/// The citations, each with whether the text so far refers to it. Of extracts all are the answer.
fn with_cited(draft: &Draft) -> Vec<Citation> {
    let given = u32::try_from(draft.citations.len()).unwrap_or(u32::MAX);
    let cited = rag::cited_numbers(&draft.text, given);
    draft
        .citations
        .iter()
        .map(|citation| Citation {
            cited: citation.cited || cited.contains(&citation.number),
            ..citation.clone()
        })
        .collect()
}

/// Saves what is there and renews the claim, until the answer is no longer this writer's.
async fn keep(database: &TenantDatabase, claim: Claim, writing: &Writing) {
    let (mut saved_bytes, mut kept_at) = (0, Instant::now());
    loop {
        sleep(SAVE_INTERVAL).await;
        let draft = writing.draft();
        if draft.text.len() == saved_bytes && kept_at.elapsed() < RENEW_INTERVAL {
            continue;
        }
        match claim.keep(database, &draft.text, &with_cited(&draft)).await {
            Ok(true) => {
                saved_bytes = draft.text.len();
                kept_at = Instant::now();
            }
            Ok(false) => return,
            Err(error) => {
                warn!(error = %error, "An answer under way could not be saved");
                if kept_at.elapsed() >= LEASE {
                    return;
                }
            }
        }
    }
}

async fn within_limits(
    ask: &Inner,
    workspace: &Workspace,
    database: &TenantDatabase,
    claim: Claim,
    writing: &Writing,
) -> End {
    // Waiting for a place counts too: whoever reads waits.
    let limited = timeout(ANSWER_LIMIT, async {
        let _place = ask.writers.acquire().await;
        match answer(ask, workspace, database, claim, writing).await {
            Ok(end) => end,
            Err(error) => {
                ask.pools.report_error(workspace, &error).await;
                warn!(error = %error, "An answer failed in the workspace's database");
                End::Failed(Failure::Database)
            }
        }
    });
    limited.await.unwrap_or(End::Failed(Failure::TooSlow))
}

async fn answer(
    ask: &Inner,
    workspace: &Workspace,
    database: &TenantDatabase,
    claim: Claim,
    writing: &Writing,
) -> Result<End, sqlx::Error> {
    let Some((question, document)) = asked(database, claim).await? else {
        // Removed while it was taken up.
        return Ok(End::NotFound);
    };
    let search = retrieve::passages(
        database,
        &ask.models,
        workspace.embedding_model.as_deref(),
        &question,
        document,
    );
    let Ok(found) = timeout(SEARCH_LIMIT, search).await else {
        return Ok(End::Failed(Failure::TooSlow));
    };
    let found = found?;
    tracing::debug!(
        answer.passages = found.passages.len(),
        answer.by_words = found.by_words,
        "Passages were looked for"
    );
    if found.passages.is_empty() {
        return Ok(End::NotFound);
    }
    let count = u32::try_from(found.passages.len()).unwrap_or(u32::MAX);
    let Some(answerer) = ask.models.answerer() else {
        quote(&question, &found, writing);
        return Ok(End::Complete);
    };
    writing.change(|draft| {
        draft.progress = Progress::Reading(count);
        draft.citations = citations(&found);
    });
    Ok(
        match speak(ask, answerer, &question, &found, writing).await {
            Ok(end) => end,
            Err(error) => {
                warn!(error.kind = error.kind(), %error, "A model gave no answer");
                End::Failed(failure(&error))
            }
        },
    )
}

/// The question that an answer is to, and the one document it is about.
async fn asked(
    database: &TenantDatabase,
    claim: Claim,
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

/// The answer in a model's words.
async fn speak(
    ask: &Inner,
    answerer: &Answerer,
    question: &str,
    found: &Found,
    writing: &Writing,
) -> Result<End, ModelError> {
    let prompt = rag::prompt(question, &found.passages, |passage| title(found, passage));
    let mut stream = answerer
        .answer(&prompt.system, &prompt.user, ANSWER_TOKENS_MAX)
        .await?;
    let passages = u32::try_from(found.passages.len()).unwrap_or(u32::MAX);
    let mut reader = AnswerReader::new(passages);
    let mut is_silent = true;
    let ended = loop {
        match stream.next().await {
            Some(Ok(AnswerEvent::Text(piece))) => {
                let shown = reader.push(&piece);
                if !shown.is_empty() {
                    if std::mem::take(&mut is_silent) {
                        ask.metrics.answers.first_words(writing.began.elapsed());
                    }
                    writing.change(|draft| {
                        draft.progress = Progress::Writing;
                        draft.text.push_str(&shown);
                    });
                }
            }
            Some(Ok(AnswerEvent::Finished { finish, usage })) => {
                if let Some(usage) = usage {
                    let (prompt, answer) = (usage.prompt_tokens, usage.answer_tokens);
                    ask.metrics.answers.tokens(prompt.into(), answer.into());
                }
                info!(
                    model.name = answerer.name(),
                    answer.finish = ?finish,
                    answer.tokens = usage.map(|usage| usage.answer_tokens),
                    prompt.tokens = usage.map(|usage| usage.prompt_tokens),
                    "A model answered"
                );
                break Ok(finish);
            }
            Some(Err(error)) => break Err(error),
            None => break Err(ModelError::BrokenOff),
        }
    };
    let read = reader.finish();
    if read.removed > 0 {
        info!(
            answer.removed = read.removed,
            "An answer cited passages that it was not given"
        );
    }
    writing.change(|draft| draft.text.push_str(read.text.trim_end()));
    Ok(match ended? {
        _ if read.not_found => End::NotFound,
        Finish::Complete => End::Complete,
        Finish::Length | Finish::Filtered => End::Failed(Failure::BrokenOff),
    })
}

fn failure(error: &ModelError) -> Failure {
    match error {
        ModelError::QuotaExhausted => Failure::ModelAccount,
        ModelError::BrokenOff => Failure::BrokenOff,
        error => match error.retry() {
            Retry::Later(_) => Failure::ModelBusy,
            Retry::Never => Failure::ModelRefused,
        },
    }
}

/// The answer in the documents' own words: what is quoted is all there is.
fn quote(question: &str, found: &Found, writing: &Writing) {
    let quotes = rag::extracts(question, &found.passages);
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
    writing.change(|draft| draft.citations = citations);
}

fn citations(found: &Found) -> Arc<[Citation]> {
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
            quote: shortened(&passage.text[passage.found.clone()], QUOTE_CHARS_MAX),
            is_gone: false,
        })
        .collect()
}

fn title<'found>(found: &'found Found, passage: &Passage) -> &'found str {
    found
        .passages
        .iter()
        .position(|other| other.number == passage.number)
        .and_then(|at| found.titles.get(at))
        .map_or("", String::as_str)
}
