//! Streams an answer to one reader until its end.
//!
//! In the process that writes the answer, the reader receives every piece immediately; in other
//! processes, the text that is saved in its row. If the answer has no writer, following it starts one.

use std::time::Duration;

use futures::Stream;
use futures::stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::in_flight::{AnswerProgress, PartialAnswer};
use super::threads::{self, Message, MessageState};
use super::{ANSWER_TIMEOUT, AnswerFailure, AnswerService, AskError};
use crate::domain::Workspace;
use crate::ids::{MessageId, ThreadId};
use crate::tenants::{TenantDatabase, Unavailable};

/// Minimum amount of new text for an update, because sending an update adds an overhead of about
/// this size. The first update is sent immediately.
const MIN_UPDATE_BYTES: usize = 48;
/// Less new text than [`MIN_UPDATE_BYTES`] is sent after this time.
const MAX_UPDATE_INTERVAL: Duration = Duration::from_millis(500);
/// The minimum interval between updates.
const UPDATE_INTERVAL: Duration = Duration::from_millis(60);
/// How often to poll the row of an answer that another process writes.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long a reader is served: as long as an answer can take if it is restarted once. The page
/// then reconnects.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(2 * ANSWER_TIMEOUT.as_secs());
/// Updates buffered for a slow reader.
const UPDATE_BUFFER: usize = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerUpdate {
    /// There is no text yet.
    Progress(AnswerProgress),
    /// The text so far.
    Text(Box<Message>),
    /// The final state; the last update of the stream. If the database is full, it is not stored.
    Ended(Box<Message>),
}

impl AnswerService {
    /// Streams the answer from now to its end. The stream ends without [`AnswerUpdate::Ended`] if
    /// the answer is deleted or can no longer be followed; a new request shows which of the two.
    pub fn follow(
        &self,
        workspace: &Workspace,
        thread: ThreadId,
        message: MessageId,
    ) -> impl Stream<Item = AnswerUpdate> + Send + use<> {
        let (sender, receiver) = mpsc::channel(UPDATE_BUFFER);
        let follower = Follower {
            service: self.clone(),
            workspace: workspace.clone(),
            thread,
            message,
            sender,
        };
        let (stop, tasks) = (self.0.stop.clone(), self.0.tasks.clone());
        tasks.spawn(async move {
            let receiver_gone = follower.sender.clone();
            tokio::select! {
                _ = timeout(FOLLOW_TIMEOUT, follower.run()) => {}
                () = receiver_gone.closed() => {}
                () = stop.cancelled() => {}
            }
        });
        stream::unfold(receiver, |mut receiver| async move {
            let update = receiver.recv().await?;
            Some((update, receiver))
        })
    }
}

struct Follower {
    service: AnswerService,
    workspace: Workspace,
    thread: ThreadId,
    message: MessageId,
    sender: mpsc::Sender<AnswerUpdate>,
}

/// The reader disconnected.
struct Disconnected;

impl Follower {
    async fn run(&self) {
        let mut sent = String::new();
        let mut last_partial = None;
        loop {
            let message = match self.load().await {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(error = %service_kit::error_chain(&error), "cannot follow an answer");
                    return;
                }
            };
            if message.state != MessageState::Pending {
                // The reader may have disconnected already.
                let message = with_unsaved_text(message, last_partial);
                let _ = self.send(AnswerUpdate::Ended(Box::new(message))).await;
                return;
            }
            match self.stream_in_flight(&message).await {
                Ok(partial) => last_partial = partial.or(last_partial),
                Err(Disconnected) => return,
            }
            // This process does not write the answer (any more): start it if it has no writer,
            // otherwise poll its row.
            match self
                .service
                .start_answer(&self.workspace, self.message)
                .await
            {
                Ok(true) => {}
                Ok(false) => {
                    if message.text != sent {
                        sent.clone_from(&message.text);
                        if self
                            .send(AnswerUpdate::Text(Box::new(message)))
                            .await
                            .is_err()
                        {
                            return;
                        }
                    }
                    sleep(POLL_INTERVAL).await;
                }
                // The answer stays pending. A later reader starts it, once there is space.
                Err(AskError::Unavailable(Unavailable::Full)) => {
                    let failed = Message {
                        state: MessageState::Failed(AnswerFailure::DatabaseFull),
                        ..message
                    };
                    let failed = with_unsaved_text(failed, last_partial);
                    let _ = self.send(AnswerUpdate::Ended(Box::new(failed))).await;
                    return;
                }
                Err(_) => return,
            }
        }
    }

    async fn load(&self) -> Result<Option<Message>, AskError> {
        let database: TenantDatabase = self.service.database(&self.workspace).await?;
        match threads::message(&database, self.thread, self.message).await {
            Ok(message) => Ok(message),
            Err(error) => Err(self.service.report_error(&self.workspace, error).await),
        }
    }

    /// Streams the pieces while this process writes the answer. Returns the last one.
    async fn stream_in_flight(
        &self,
        message: &Message,
    ) -> Result<Option<PartialAnswer>, Disconnected> {
        let Some(mut partials) = self
            .service
            .0
            .in_flight
            .subscribe(&self.workspace.id, self.message)
        else {
            return Ok(None);
        };
        loop {
            let partial = partials.borrow_and_update().clone();
            let sent_at = Instant::now();
            let (sent_bytes, progress) = (partial.text.len(), partial.progress);
            self.send_partial(message, partial).await?;
            if partials.changed().await.is_err() {
                let last = partials.borrow().clone();
                return Ok(Some(last));
            }
            let has_enough = |partial: &PartialAnswer| {
                partial.progress != progress || partial.text.len() >= sent_bytes + MIN_UPDATE_BYTES
            };
            // If the answer ends in the meantime, its last text is sent with its final state.
            let _ = timeout_at(sent_at + MAX_UPDATE_INTERVAL, partials.wait_for(has_enough)).await;
            sleep(UPDATE_INTERVAL.saturating_sub(sent_at.elapsed())).await;
        }
    }

    async fn send_partial(
        &self,
        message: &Message,
        partial: PartialAnswer,
    ) -> Result<(), Disconnected> {
        self.send(AnswerUpdate::Progress(partial.progress)).await?;
        if partial.text.is_empty() {
            return Ok(());
        }
        let so_far = Message {
            text: partial.text,
            citations: partial.citations.to_vec(),
            ..message.clone()
        };
        self.send(AnswerUpdate::Text(Box::new(so_far))).await
    }

    async fn send(&self, update: AnswerUpdate) -> Result<(), Disconnected> {
        self.sender.send(update).await.map_err(|_| Disconnected)
    }
}

/// The answer with the text that its reader has seen, if the database had no space for it.
fn with_unsaved_text(message: Message, seen: Option<PartialAnswer>) -> Message {
    match seen {
        Some(seen)
            if message.state == MessageState::Failed(AnswerFailure::DatabaseFull)
                && message.text.len() < seen.text.len() =>
        {
            Message {
                text: seen.text,
                citations: seen.citations.to_vec(),
                ..message
            }
        }
        _ => message,
    }
}
