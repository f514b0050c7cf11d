//! The answers that this process is writing, shared with their readers here.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::threads::Citation;
use crate::ids::{MessageId, WorkspaceId};

/// What is being done for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerProgress {
    Searching,
    /// The model is reading this number of passages.
    Reading(u32),
    Writing,
}

/// An answer so far.
#[derive(Debug, Clone)]
pub(super) struct PartialAnswer {
    pub(super) progress: AnswerProgress,
    pub(super) text: String,
    pub(super) citations: Arc<[Citation]>,
}

type Key = (WorkspaceId, MessageId);

/// The answers that this process is writing.
#[derive(Debug, Default, Clone)]
pub(super) struct InFlightAnswers(Arc<Mutex<HashMap<Key, Entry>>>);

#[derive(Debug)]
struct Entry {
    partial: watch::Sender<PartialAnswer>,
    stopped: CancellationToken,
}

/// The writer's handle. Dropping it removes the answer from the list.
#[derive(Debug)]
pub(super) struct AnswerWriter {
    in_flight: InFlightAnswers,
    key: Key,
    partial: watch::Sender<PartialAnswer>,
    /// When writing started.
    pub(super) started: Instant,
    /// Cancelled when a user stops the answer.
    pub(super) stopped: CancellationToken,
}

impl InFlightAnswers {
    /// Registers an answer with its writer.
    pub(super) fn register(&self, workspace: &WorkspaceId, message: MessageId) -> AnswerWriter {
        let partial = watch::Sender::new(PartialAnswer {
            progress: AnswerProgress::Searching,
            text: String::new(),
            citations: Arc::default(),
        });
        let stopped = CancellationToken::new();
        let key = (workspace.clone(), message);
        let entry = Entry {
            partial: partial.clone(),
            stopped: stopped.clone(),
        };
        self.0.lock().insert(key.clone(), entry);
        AnswerWriter {
            in_flight: self.clone(),
            key,
            partial,
            started: Instant::now(),
            stopped,
        }
    }

    /// Subscribes to the answer; `None` if this process does not write it.
    pub(super) fn subscribe(
        &self,
        workspace: &WorkspaceId,
        message: MessageId,
    ) -> Option<watch::Receiver<PartialAnswer>> {
        let key = (workspace.clone(), message);
        self.0
            .lock()
            .get(&key)
            .map(|entry| entry.partial.subscribe())
    }

    /// Stops the writer if it runs in this process.
    pub(super) fn stop(&self, workspace: &WorkspaceId, message: MessageId) {
        let key = (workspace.clone(), message);
        if let Some(entry) = self.0.lock().get(&key) {
            entry.stopped.cancel();
        }
    }
}

impl AnswerWriter {
    pub(super) fn update(&self, update: impl FnOnce(&mut PartialAnswer)) {
        self.partial.send_modify(update);
    }

    pub(super) fn partial(&self) -> PartialAnswer {
        self.partial.borrow().clone()
    }
}

impl Drop for AnswerWriter {
    fn drop(&mut self) {
        let mut in_flight = self.in_flight.0.lock();
        // A newer writer may have replaced this one's entry.
        if in_flight
            .get(&self.key)
            .is_some_and(|entry| entry.partial.same_channel(&self.partial))
        {
            in_flight.remove(&self.key);
        }
    }
}
