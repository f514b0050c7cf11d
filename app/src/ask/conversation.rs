//! What an answer needs to know of its conversation: the question, the turns before it, and the
//! question as it can be understood without them.

use std::time::Duration;

use llm::{ChatMessage, ChatModel};
use rag::Turn;
use sqlx::PgPool;
use sqlx::types::Json;
use tokio::time::timeout;
use tracing::{info, warn};
use uuid::Uuid;

use super::claim::AnswerClaim;
use super::threads::{Citation, ScopeDocument, StoredAuthor, scope};
use super::{Inner, MAX_QUESTION_CHARS};
use crate::ids::DocumentId;

/// Tokens of earlier turns in a prompt.
pub const MAX_HISTORY_TOKENS: usize = 1_500;
/// Earlier messages that are read: twice the number of turns.
const MAX_HISTORY_MESSAGES: i64 = 20;
/// Tokens of a rewritten question.
const MAX_REWRITTEN_TOKENS: u32 = 200;
/// A rewriting that takes longer is given up.
const REWRITE_TIMEOUT: Duration = Duration::from_secs(8);

/// A question in its conversation.
#[derive(Debug)]
pub(super) struct AskedInThread {
    pub(super) question: String,
    /// The documents that the conversation is limited to; empty for all documents.
    pub(super) documents: Vec<DocumentId>,
    /// The turns before the question that fit into [`MAX_HISTORY_TOKENS`], oldest first.
    pub(super) history: Vec<Turn>,
}

/// A question as it can be understood without its conversation.
#[derive(Debug)]
pub(super) struct StandaloneQuestion {
    /// For the search.
    pub(super) search: String,
    /// For the model that answers.
    pub(super) prompt: String,
}

/// Its conversation, its position, its text, and the documents of the conversation.
type QuestionRow = (
    Uuid,
    i32,
    String,
    Option<DocumentId>,
    Option<Json<Vec<ScopeDocument>>>,
);

/// Loads the question of this answer. `None` if the conversation was deleted.
pub(super) async fn load(
    database: &PgPool,
    claim: AnswerClaim,
) -> Result<Option<AskedInThread>, sqlx::Error> {
    let row: Option<QuestionRow> = sqlx::query_as(
        "SELECT q.thread_id, q.ordinal, q.text, t.document_id, to_jsonb(t) -> 'documents' FROM messages a JOIN threads t ON t.id = a.thread_id
         JOIN messages q ON q.thread_id = a.thread_id AND q.ordinal < a.ordinal AND q.author = 'person'
         WHERE a.id = $1 ORDER BY q.ordinal DESC LIMIT 1",
    )
    .bind(claim.message.0)
    .fetch_optional(database)
    .await?;
    let Some((thread, ordinal, question, document, documents)) = row else {
        return Ok(None);
    };
    let earlier: Vec<(StoredAuthor, String, Json<Vec<Citation>>)> = sqlx::query_as(
        "SELECT author, text, citations FROM (
             SELECT ordinal, author, text, citations FROM messages WHERE thread_id = $1 AND ordinal < $2 ORDER BY ordinal DESC LIMIT $3) newest
         ORDER BY ordinal",
    )
    .bind(thread)
    .bind(ordinal)
    .bind(MAX_HISTORY_MESSAGES)
    .fetch_all(database)
    .await?;
    Ok(Some(AskedInThread {
        question,
        documents: scope((document, None), documents)
            .into_iter()
            .map(|scope| scope.document)
            .collect(),
        history: rag::history(&turns(earlier), MAX_HISTORY_TOKENS),
    }))
}

/// Joins each question with the answer that follows it.
fn turns(messages: Vec<(StoredAuthor, String, Json<Vec<Citation>>)>) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for (author, text, citations) in messages {
        match author {
            StoredAuthor::Person => turns.push(Turn {
                question: text,
                answer: String::new(),
            }),
            StoredAuthor::Model | StoredAuthor::Excerpts => {
                if let Some(turn) = turns.last_mut() {
                    turn.answer = answer_text(text, &citations.0);
                }
            }
        }
    }
    turns
}

/// An answer that consists of excerpts has no text of its own.
fn answer_text(text: String, citations: &[Citation]) -> String {
    if !text.is_empty() {
        return text;
    }
    let quotes: Vec<&str> = citations
        .iter()
        .filter(|citation| citation.cited)
        .map(|citation| citation.quote.as_str())
        .collect();
    quotes.join("\n")
}

/// Rewrites a follow-up question with one call of the chat model. Without a model, or if the call
/// fails, the search uses the significant words of the earlier questions as well.
pub(super) async fn standalone(service: &Inner, asked: &AskedInThread) -> StandaloneQuestion {
    let unchanged = || StandaloneQuestion {
        search: asked.question.clone(),
        prompt: asked.question.clone(),
    };
    if asked.history.is_empty() {
        return unchanged();
    }
    if let Some(model) = service.models.chat_model()
        && let Some(question) = rewrite(service, model, asked).await
    {
        return StandaloneQuestion {
            search: question.clone(),
            prompt: question,
        };
    }
    let earlier = asked.history.iter().map(|turn| turn.question.as_str());
    StandaloneQuestion {
        search: rag::expanded_question(&asked.question, earlier),
        ..unchanged()
    }
}

async fn rewrite(service: &Inner, model: &ChatModel, asked: &AskedInThread) -> Option<String> {
    let prompt = rag::standalone_prompt(&asked.question, &asked.history);
    let messages = messages(prompt);
    let call = model.complete(&messages, MAX_REWRITTEN_TOKENS);
    let completion = match timeout(REWRITE_TIMEOUT, call).await {
        Ok(Ok(completion)) => completion,
        Ok(Err(error)) => {
            warn!(
                error.kind = error.kind(),
                error = %service_kit::error_chain(&error),
                "failed to rewrite a follow-up question, searching for words of the earlier questions"
            );
            return None;
        }
        Err(_) => {
            warn!(
                "timed out rewriting a follow-up question, searching for words of the earlier questions"
            );
            return None;
        }
    };
    if let Some(usage) = completion.usage {
        let (prompt, answer) = (usage.prompt_tokens, usage.answer_tokens);
        service.metrics.answers.tokens(prompt.into(), answer.into());
    }
    let question = rag::standalone_question(&completion.text, MAX_QUESTION_CHARS);
    info!(
        question.is_rewritten = question
            .as_ref()
            .is_some_and(|question| *question != asked.question),
        "the chat model read a follow-up question"
    );
    question
}

/// The messages of a prompt, as the chat model reads them.
pub(super) fn messages(prompt: rag::Prompt) -> Vec<ChatMessage> {
    let turns = prompt.history.into_iter().flat_map(|turn| {
        [
            ChatMessage::User(turn.question),
            ChatMessage::Assistant(turn.answer),
        ]
    });
    std::iter::once(ChatMessage::System(prompt.system))
        .chain(turns)
        .chain(std::iter::once(ChatMessage::User(prompt.user)))
        .collect()
}
