//! Questions and answers: stores questions, retrieves passages, streams answers and keeps them in
//! the tenant's database.
//!
//! In the order of the data: `threads` stores questions and answers; `claim` gives a `pending`
//! answer exactly one writer across all processes; `write` takes an answer from the question over
//! `conversation` (earlier turns, follow-up questions) and `retrieve` to its end; `in_flight` shares every piece of it with the readers in this process;
//! `follow` streams an answer to one reader, and starts it if it has no writer.
//!
//! An answer does not depend on the page that asked for it: closing the tab does not end it, and
//! when a process ends, the next reader's process starts the answer again. Questions and answers
//! are never logged.

mod claim;
mod conversation;
mod follow;
mod in_flight;
pub mod retrieve;
pub mod threads;
mod write;

use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use llm::Models;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::domain::Workspace;
use crate::ids::{MessageId, UserId};
use crate::telemetry::Metrics;
use crate::tenants::{Pools, TenantDatabase, Unavailable};
use claim::AnswerClaim;
pub use conversation::MAX_HISTORY_TOKENS;
pub use follow::AnswerUpdate;
pub use in_flight::AnswerProgress;
use in_flight::InFlightAnswers;
pub use threads::{Author, Citation, Message, MessageState, Rating, Thread, Visibility};
pub use threads::{
    MAX_SEARCH_CHARS as MAX_THREAD_SEARCH_CHARS, MAX_TITLE_CHARS as MAX_THREAD_TITLE_CHARS,
};

pub const MAX_QUESTION_CHARS: usize = 2_000;
/// Tokens of passages in a prompt.
pub const MAX_PASSAGE_TOKENS: usize = 3_000;
/// An answer that takes longer is ended as failed.
pub const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);
/// Answers in progress per workspace.
pub const MAX_ANSWERS_PER_WORKSPACE: i64 = 4;
/// Documents to which a conversation can be limited.
pub const MAX_SCOPE_DOCUMENTS: usize = 50;
/// Answers that one process writes at the same time; others wait.
pub const MAX_ANSWERS_PER_PROCESS: usize = 64;

/// A question of 1 to [`MAX_QUESTION_CHARS`] characters, trimmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuestion {
    #[error("a question must not be empty")]
    Empty,
    #[error("a question must have at most {MAX_QUESTION_CHARS} characters")]
    TooLong,
}

impl Question {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Question {
    type Err = InvalidQuestion;

    fn from_str(text: &str) -> Result<Self, InvalidQuestion> {
        // PostgreSQL does not store NUL characters.
        let text = text.replace('\0', " ");
        let text = text.trim();
        match text.chars().count() {
            0 => Err(InvalidQuestion::Empty),
            1..=MAX_QUESTION_CHARS => Ok(Self(text.to_owned())),
            _ => Err(InvalidQuestion::TooLong),
        }
    }
}

/// Why an answer failed, as stored in its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum AnswerFailure {
    /// The model's endpoint is unavailable, slow or overloaded.
    ModelBusy,
    /// The account at the model's endpoint has no quota left.
    ModelQuotaExhausted,
    /// The endpoint rejected the API key, the model or the request; an operator has to fix the
    /// settings.
    ModelRejected,
    /// The model's response ended early.
    Interrupted,
    /// The model's response contained no text.
    EmptyAnswer,
    /// The answer reached its maximum length.
    MaxLength,
    /// The answer took longer than [`ANSWER_TIMEOUT`].
    Timeout,
    /// The workspace's database could not be used.
    Database,
    /// The workspace's database has no space for the answer.
    DatabaseFull,
    /// The answer was started repeatedly and never finished.
    Abandoned,
}

impl AnswerFailure {
    /// As stored, and as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ModelBusy => "model_busy",
            Self::ModelQuotaExhausted => "model_quota_exhausted",
            Self::ModelRejected => "model_rejected",
            Self::Interrupted => "interrupted",
            Self::EmptyAnswer => "empty_answer",
            Self::MaxLength => "max_length",
            Self::Timeout => "timeout",
            Self::Database => "database",
            Self::DatabaseFull => "database_full",
            Self::Abandoned => "abandoned",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("query on the workspace's database failed")]
    Database(#[source] sqlx::Error),
    #[error("the conversation does not exist")]
    ThreadNotFound,
    #[error("a document does not exist or is not ready")]
    DocumentNotFound,
    #[error("a conversation can be limited to at most {MAX_SCOPE_DOCUMENTS} documents")]
    TooManyDocuments,
    #[error("the workspace's database has not been migrated yet")]
    NotMigrated,
    #[error("the workspace already has {MAX_ANSWERS_PER_WORKSPACE} answers in progress")]
    TooManyAnswers,
}

/// Answers questions in the background. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AnswerService(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pools: Pools,
    models: Arc<Models>,
    metrics: Arc<Metrics>,
    /// Maximum length of an answer.
    max_answer_tokens: NonZeroU32,
    in_flight: InFlightAnswers,
    /// Limits the number of answers being written.
    writers: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl AnswerService {
    /// Runs until `stop`. Answers in progress at that time are released for other processes.
    pub fn start(
        pools: Pools,
        models: Arc<Models>,
        metrics: Arc<Metrics>,
        max_answer_tokens: NonZeroU32,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            pools,
            models,
            metrics,
            max_answer_tokens,
            in_flight: InFlightAnswers::default(),
            writers: Arc::new(Semaphore::new(MAX_ANSWERS_PER_PROCESS)),
            tasks,
            stop,
        }))
    }

    /// Whether answers consist of excerpts because no chat model is configured.
    pub fn is_extractive(&self) -> bool {
        self.0.models.chat_model().is_none()
    }

    pub async fn database(&self, workspace: &Workspace) -> Result<TenantDatabase, Unavailable> {
        self.0.pools.get(workspace).await
    }

    /// Reports a failed query to the pools and maps it to an error for the user.
    pub async fn report_error(&self, workspace: &Workspace, error: sqlx::Error) -> AskError {
        match self.0.pools.report_error(workspace, &error).await {
            Some(reason) => AskError::Unavailable(reason),
            None => AskError::Database(error),
        }
    }

    /// Starts writing this answer in the background if it is pending and has no writer. Returns
    /// whether it did.
    pub async fn start_answer(
        &self,
        workspace: &Workspace,
        message: MessageId,
    ) -> Result<bool, AskError> {
        if self.0.stop.is_cancelled() {
            return Ok(false);
        }
        let database = self.database(workspace).await?;
        let claim = AnswerClaim::take(
            &database,
            message,
            Uuid::new_v4(),
            self.0.models.chat_model().map(llm::ChatModel::name),
        )
        .await;
        let claim = match claim {
            Ok(claim) => claim,
            Err(error) => return Err(self.report_error(workspace, error).await),
        };
        let Some(claim) = claim else {
            return Ok(false);
        };
        let writer = self.0.in_flight.register(&workspace.id, message);
        let (service, workspace) = (self.clone(), workspace.clone());
        self.0.tasks.spawn(async move {
            write::write(&service.0, &workspace, claim, writer).await;
        });
        Ok(true)
    }

    /// Stops a pending answer for a user and keeps the text written so far. Returns whether the
    /// answer was pending.
    pub async fn stop(
        &self,
        workspace: &Workspace,
        database: &TenantDatabase,
        message: &Message,
        user: UserId,
    ) -> Result<bool, sqlx::Error> {
        let stopped = claim::stop(database, message.thread, message.id, user).await?;
        self.0.in_flight.stop(&workspace.id, message.id);
        Ok(stopped)
    }
}
