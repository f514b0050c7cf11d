//! Questions to a workspace's documents: asked, searched, answered while somebody reads along, and kept in the tenant's database.
//!
//! In the order of the data: `threads` keeps questions and their answers; an answer that is `pending` is written by whoever holds its
//! `claim`, one writer at a time in all processes; `write` is the writer's way from the question over `retrieve` to the last word;
//! `live` lets those who read along in this process see every piece of it; `follow` shows an answer to one reader, and takes it up
//! if nobody writes it.
//!
//! An answer does not belong to the page that asked: a tab that closes ends nothing, and a process that ends leaves the answer to be
//! taken up by whoever opens it next. Nothing of what is asked or answered is ever logged.

mod claim;
mod follow;
mod live;
mod retrieve;
pub mod threads;
mod write;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use llm::Models;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::ids::MessageId;
use crate::telemetry::Metrics;
use crate::tenants::{Pools, TenantDatabase, Unavailable};
use crate::domain::Workspace;
use claim::Claim;
pub use follow::Followed;
use live::Live;
pub use live::Progress;
pub use threads::{Author, Citation, Message, MessageState, Thread};

/// Characters of a question at most.
pub const QUESTION_CHARS_MAX: usize = 2_000;
/// Chunks that a search returns; their neighbours come with them.
pub const NEAREST_CHUNKS: i64 = 12;
/// Tokens of passages that a model is given to read.
pub const PASSAGE_TOKENS_MAX: usize = 3_000;
/// Tokens of an answer at most.
pub const ANSWER_TOKENS_MAX: u32 = 1_000;
/// An answer that is not whole by then is ended.
pub const ANSWER_LIMIT: Duration = Duration::from_mins(2);
/// Answers of one workspace under way at once.
pub const ANSWERS_PER_WORKSPACE_MAX: i64 = 4;
/// Answers that one process writes at once; others wait.
pub const ANSWERS_PER_PROCESS_MAX: usize = 64;

/// What somebody wants to know: 1 to [`QUESTION_CHARS_MAX`] characters, without space around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question(String);

/// A text is no question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAQuestion {
    /// There is nothing in it.
    #[error("there is nothing to ask")]
    Empty,
    /// It does not fit.
    #[error("a question has at most {QUESTION_CHARS_MAX} characters")]
    TooLong,
}

impl Question {
    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Question {
    type Err = NotAQuestion;

    fn from_str(text: &str) -> Result<Self, NotAQuestion> {
        // A NUL is no character to PostgreSQL.
        let text = text.replace('\0', " ");
        let text = text.trim();
        match text.chars().count() {
            0 => Err(NotAQuestion::Empty),
            1..=QUESTION_CHARS_MAX => Ok(Self(text.to_owned())),
            _ => Err(NotAQuestion::TooLong),
        }
    }
}

/// Why an answer failed, as its row keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The model's endpoint is away, slow or has too much to do.
    ModelBusy,
    /// The account at the model's endpoint is used up.
    ModelAccount,
    /// Key, model or request are refused: whoever runs the app has to look.
    ModelRefused,
    /// The answer broke off on its way.
    BrokenOff,
    /// It took longer than [`ANSWER_LIMIT`].
    TooSlow,
    /// The workspace's database could not be used.
    Database,
    /// It was begun again and again and never came to its end.
    Abandoned,
}

impl Failure {
    const ALL: [Self; 7] = [
        Self::ModelBusy,
        Self::ModelAccount,
        Self::ModelRefused,
        Self::BrokenOff,
        Self::TooSlow,
        Self::Database,
        Self::Abandoned,
    ];

    /// As its row has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ModelBusy => "model_busy",
            Self::ModelAccount => "model_account",
            Self::ModelRefused => "model_refused",
            Self::BrokenOff => "broken_off",
            Self::TooSlow => "too_slow",
            Self::Database => "database",
            Self::Abandoned => "abandoned",
        }
    }

    /// Of its row. A reason of a newer version is a broken-off answer to this one.
    pub fn of(text: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|failure| failure.as_str() == text)
            .unwrap_or(Self::BrokenOff)
    }
}

/// A question could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The workspace's database cannot be used now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The workspace's database failed.
    #[error("the workspace's database failed")]
    Database(#[source] sqlx::Error),
    /// There is no such conversation.
    #[error("there is no such conversation")]
    NoSuchThread,
    /// There is no such document to ask, or it is not ready.
    #[error("there is no such document")]
    NoSuchDocument,
    /// [`ANSWERS_PER_WORKSPACE_MAX`] are under way.
    #[error("{ANSWERS_PER_WORKSPACE_MAX} answers are being written in this workspace")]
    TooManyAnswers,
}

/// Answers questions. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Ask(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pools: Pools,
    models: Arc<Models>,
    metrics: Arc<Metrics>,
    live: Live,
    /// Bounds the answers that are being written.
    writers: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Ask {
    /// Answers until `stop`; what is being written then is left to be taken up elsewhere.
    pub fn start(
        pools: Pools,
        models: Arc<Models>,
        metrics: Arc<Metrics>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            pools,
            models,
            metrics,
            live: Live::default(),
            writers: Arc::new(Semaphore::new(ANSWERS_PER_PROCESS_MAX)),
            tasks,
            stop,
        }))
    }

    /// Whether answers are extracts, since there is no model to write any.
    pub fn extracts_only(&self) -> bool {
        self.0.models.answerer().is_none()
    }

    /// The workspace's database.
    pub async fn database(&self, workspace: &Workspace) -> Result<TenantDatabase, Unavailable> {
        self.0.pools.get(workspace).await
    }

    /// What went wrong with a query: told to the pools, and made an error to show.
    pub async fn failed(&self, workspace: &Workspace, error: sqlx::Error) -> AskError {
        if self.0.pools.report_error(workspace, &error).await {
            let retry_after = Duration::from_secs(3);
            return AskError::Unavailable(Unavailable::Unreachable { retry_after });
        }
        AskError::Database(error)
    }

    /// Begins to write this answer in the background if it is pending and nobody writes it. Returns whether it was begun.
    pub async fn take_up(
        &self,
        workspace: &Workspace,
        message: MessageId,
    ) -> Result<bool, AskError> {
        if self.0.stop.is_cancelled() {
            return Ok(false);
        }
        let database = self.database(workspace).await?;
        let taken = Claim::take(
            &database,
            message,
            Uuid::new_v4(),
            self.0.models.answerer().map(llm::Answerer::name),
        )
        .await;
        let claim = match taken {
            Ok(claim) => claim,
            Err(error) => return Err(self.failed(workspace, error).await),
        };
        let Some(claim) = claim else {
            return Ok(false);
        };
        let live = self.0.live.begin(&workspace.id, message);
        let (ask, workspace) = (self.clone(), workspace.clone());
        self.0.tasks.spawn(async move {
            write::write(&ask.0, &workspace, claim, live).await;
        });
        Ok(true)
    }

    /// Ends a pending answer where it is. What was written of it stays. Returns whether there was one.
    pub async fn end(
        &self,
        workspace: &Workspace,
        database: &TenantDatabase,
        message: &Message,
    ) -> Result<bool, sqlx::Error> {
        let ended = claim::stop(database, message.thread, message.id).await?;
        self.0.live.stop(&workspace.id, message.id);
        Ok(ended)
    }
}
