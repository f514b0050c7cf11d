//! An answer as one reader sees it, from wherever it is to its end.
//!
//! In the process that writes it every piece is seen at once; in another one, what its row says. If nobody writes it, this reader takes it up.

use std::time::Duration;

use futures::Stream;
use futures::stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::live::{Draft, Progress};
use super::threads::{self, Message, MessageState};
use super::{ANSWER_LIMIT, Ask, AskError};
use crate::ids::{MessageId, ThreadId};
use crate::tenants::TenantDatabase;
use crate::domain::Workspace;

/// Text is shown no more often than this: each time all of it is sent.
const SHOW_INTERVAL: Duration = Duration::from_millis(60);
/// A row that another process writes is looked at so often.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// A reader is followed no longer than an answer can take, with being taken up once; the page then asks again.
const FOLLOW_LIMIT: Duration = Duration::from_secs(2 * ANSWER_LIMIT.as_secs());
/// What a slow reader may be behind.
const BACKLOG: usize = 2;

/// What a reader sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// Something is being done, and there is no text yet.
    Progress(Progress),
    /// All text so far.
    Text(Box<Message>),
    /// The end. Nothing comes behind it.
    Ended(Box<Message>),
}

impl Ask {
    /// Shows the answer from here to its end. The stream ends without [`Followed::Ended`] if the answer is removed or cannot be followed any
    /// longer; asking again then tells.
    pub fn follow(
        &self,
        workspace: &Workspace,
        thread: ThreadId,
        message: MessageId,
    ) -> impl Stream<Item = Followed> + Send + use<> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let reader = Reader {
            ask: self.clone(),
            workspace: workspace.clone(),
            thread,
            message,
            sender,
        };
        let (stop, tasks) = (self.0.stop.clone(), self.0.tasks.clone());
        tasks.spawn(async move {
            let gone = reader.sender.clone();
            tokio::select! {
                _ = timeout(FOLLOW_LIMIT, reader.read()) => {}
                () = gone.closed() => {}
                () = stop.cancelled() => {}
            }
        });
        stream::unfold(receiver, |mut receiver| async move {
            let followed = receiver.recv().await?;
            Some((followed, receiver))
        })
    }
}

struct Reader {
    ask: Ask,
    workspace: Workspace,
    thread: ThreadId,
    message: MessageId,
    sender: mpsc::Sender<Followed>,
}

/// The reader has left.
struct Left;

impl Reader {
    async fn read(&self) {
        let mut shown = String::new();
        loop {
            let message = match self.look().await {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "An answer cannot be followed");
                    return;
                }
            };
            if message.state != MessageState::Pending {
                // The reader may have left, and then nobody is told.
                let _ = self.tell(Followed::Ended(Box::new(message))).await;
                return;
            }
            if self.along(&message).await.is_err() {
                return;
            }
            // Not written here, or no longer: take it up if nobody writes it, else wait for news of it.
            match self.ask.take_up(&self.workspace, self.message).await {
                Ok(true) => {}
                Ok(false) => {
                    if message.text != shown {
                        shown.clone_from(&message.text);
                        if self.tell(Followed::Text(Box::new(message))).await.is_err() {
                            return;
                        }
                    }
                    sleep(LOOK_INTERVAL).await;
                }
                Err(_) => return,
            }
        }
    }

    async fn look(&self) -> Result<Option<Message>, AskError> {
        let database: TenantDatabase = self.ask.database(&self.workspace).await?;
        match threads::message(&database, self.thread, self.message).await {
            Ok(message) => Ok(message),
            Err(error) => Err(self.ask.failed(&self.workspace, error).await),
        }
    }

    /// Reads along while this process writes the answer.
    async fn along(&self, message: &Message) -> Result<(), Left> {
        let Some(mut drafts) = self.ask.0.live.read(&self.workspace.id, self.message) else {
            return Ok(());
        };
        loop {
            let draft = drafts.borrow_and_update().clone();
            let shown_at = Instant::now();
            self.show(message, draft).await?;
            if drafts.changed().await.is_err() {
                return Ok(());
            }
            sleep(SHOW_INTERVAL.saturating_sub(shown_at.elapsed())).await;
        }
    }

    async fn show(&self, message: &Message, draft: Draft) -> Result<(), Left> {
        self.tell(Followed::Progress(draft.progress)).await?;
        if draft.text.is_empty() {
            return Ok(());
        }
        let so_far = Message {
            text: draft.text,
            citations: draft.citations.to_vec(),
            ..message.clone()
        };
        self.tell(Followed::Text(Box::new(so_far))).await
    }

    async fn tell(&self, followed: Followed) -> Result<(), Left> {
        self.sender.send(followed).await.map_err(|_| Left)
    }
}
