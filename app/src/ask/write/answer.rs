//! The content of an answer: retrieval, the model's answer or excerpts, and citations.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use llm::{AnswerEvent, ChatModel, Finish, ModelError, Retry};
use rag::{AnswerParser, Passage, Prompt};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::ask::claim::{AnswerClaim, AnswerOutcome};
use crate::ask::conversation;
use crate::ask::in_flight::{AnswerProgress, AnswerWriter};
use crate::ask::retrieve::{self, Retrieved};
use crate::ask::threads::{Citation, shorten};
use crate::ask::{AnswerFailure, Inner};
use crate::domain::Workspace;
use crate::ids::DocumentId;
use crate::tenants::TenantDatabase;

/// Includes embedding the question.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(20);
/// Characters of a passage shown on the page.
const MAX_QUOTE_CHARS: usize = 600;

/// Answers the question, and passes the text to the writer as it arrives.
pub(super) async fn answer(
    service: &Inner,
    workspace: &Workspace,
    database: &TenantDatabase,
    claim: AnswerClaim,
    writer: &AnswerWriter,
) -> Result<AnswerOutcome, sqlx::Error> {
    let Some(asked) = conversation::load(database, claim).await? else {
        // The conversation was deleted in the meantime.
        return Ok(AnswerOutcome::NotFound);
    };
    let question = conversation::standalone(service, &asked).await;
    let search = retrieve::passages(
        database,
        &service.models,
        workspace.embedding_model.as_deref(),
        &question.search,
        &asked.documents,
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
    let Some(model) = service.models.chat_model() else {
        excerpt_passages(&question.search, &found, writer);
        return Ok(AnswerOutcome::Complete);
    };
    writer.update(|partial| {
        partial.progress = AnswerProgress::Reading(count);
        partial.citations = citations(&found);
    });
    let prompt = rag::prompt(
        &question.prompt,
        &asked.history,
        &found.passages,
        |passage| title(&found, passage),
    );
    Ok(
        match ask_model(service, model, prompt, &found, writer).await {
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

/// Lets the chat model answer.
async fn ask_model(
    service: &Inner,
    model: &ChatModel,
    prompt: Prompt,
    found: &Retrieved,
    writer: &AnswerWriter,
) -> Result<AnswerOutcome, ModelError> {
    let mut stream = model
        .answer(
            &conversation::messages(prompt),
            service.max_answer_tokens.get(),
        )
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
                    model.name = model.name(),
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
    let is_empty = writer.partial().text.trim().is_empty();
    Ok(match finish? {
        _ if read.not_found => AnswerOutcome::NotFound,
        Finish::Filtered => AnswerOutcome::Failed(AnswerFailure::Interrupted),
        _ if is_empty => AnswerOutcome::Failed(AnswerFailure::EmptyAnswer),
        Finish::Complete => AnswerOutcome::Complete,
        Finish::Length => AnswerOutcome::Failed(AnswerFailure::MaxLength),
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
