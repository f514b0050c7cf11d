//! Writes an answer, from the question to its end.
//!
//! A second future runs beside the writer: it saves the text every second, renews the claim, and
//! ends the writing when the claim is lost.

mod answer;

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::{Instrument as _, info, info_span, warn};

use self::answer::answer;
use super::claim::{AnswerClaim, AnswerOutcome, CLAIM_TTL};
use super::in_flight::{AnswerWriter, PartialAnswer};
use super::threads::Citation;
use super::{ANSWER_TIMEOUT, AnswerFailure, Inner};
use crate::domain::Workspace;
use crate::telemetry::AnswerSource;
use crate::tenants::{TenantDatabase, is_full};

/// How often new text is saved; also the delay for readers in other processes.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the claim is renewed while there is no new text.
const RENEW_INTERVAL: Duration = Duration::from_secs(4);
/// The final save is retried this often, within the claim's lifetime.
const MAX_FINISH_ATTEMPTS: u32 = 4;
const FINISH_RETRY_INTERVAL: Duration = Duration::from_secs(2);

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
    /// The claim could not be renewed because the database is full.
    DatabaseFull,
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
        interruption = save_periodically(&database, claim, &writer) => Err(interruption),
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
        Err(Interruption::DatabaseFull) => {
            info!(elapsed_ms, "the database is full, answer failed");
            let outcome = AnswerOutcome::Failed(AnswerFailure::DatabaseFull);
            finish(&database, claim, outcome, &partial).await;
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
        Err(Interruption::DatabaseFull) => AnswerFailure::DatabaseFull.as_str(),
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
            Err(error) if is_full(&error) => return finish_without_text(database, claim).await,
            Err(error) => warn!(
                error = %service_kit::error_chain(&error),
                attempt,
                "failed to save the end of an answer"
            ),
        }
        sleep(FINISH_RETRY_INTERVAL).await;
    }
}

/// Records that the database has no space for the answer. This update needs almost none. If even that
/// fails, the answer stays pending, and cannot be started until there is space.
async fn finish_without_text(database: &TenantDatabase, claim: AnswerClaim) {
    if let Err(error) = claim.fail(database, AnswerFailure::DatabaseFull).await {
        warn!(
            error = %service_kit::error_chain(&error),
            "failed to save that the database has no space for an answer"
        );
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
async fn save_periodically(
    database: &TenantDatabase,
    claim: AnswerClaim,
    writer: &AnswerWriter,
) -> Interruption {
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
            Ok(false) => return Interruption::ClaimLost,
            Err(error) => {
                warn!(
                    error = %service_kit::error_chain(&error),
                    "failed to save an answer in progress"
                );
                if saved_at.elapsed() >= CLAIM_TTL {
                    return if is_full(&error) {
                        Interruption::DatabaseFull
                    } else {
                        Interruption::ClaimLost
                    };
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
                AnswerOutcome::Failed(if is_full(&error) {
                    AnswerFailure::DatabaseFull
                } else {
                    AnswerFailure::Database
                })
            }
        }
    });
    limited
        .await
        .unwrap_or(AnswerOutcome::Failed(AnswerFailure::Timeout))
}
