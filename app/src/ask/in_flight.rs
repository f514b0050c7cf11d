//! Answers that this process is writing, for those who read along here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::threads::Citation;
use crate::ids::{MessageId, WorkspaceId};

/// What is being done for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Looking for passages.
    Searching,
    /// So many passages were found and are being read.
    Reading(u32),
    /// The model writes.
    Writing,
}

/// An answer so far.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) progress: Progress,
    pub(super) text: String,
    pub(super) citations: Arc<[Citation]>,
}

type Key = (WorkspaceId, MessageId);

/// All of them.
#[derive(Debug, Default, Clone)]
pub(super) struct Live(Arc<Mutex<HashMap<Key, Entry>>>);

#[derive(Debug)]
struct Entry {
    draft: watch::Sender<Draft>,
    stopped: CancellationToken,
}

/// The writer's end of one: it is gone from the list when this is dropped.
#[derive(Debug)]
pub(super) struct Writing {
    live: Live,
    key: Key,
    draft: watch::Sender<Draft>,
    /// When the writing began.
    pub(super) began: Instant,
    /// Cancelled when somebody stops the answer.
    pub(super) stopped: CancellationToken,
}

impl Live {
    /// Opens one for its writer.
    pub(super) fn begin(&self, workspace: &WorkspaceId, message: MessageId) -> Writing {
        let draft = watch::Sender::new(Draft {
            progress: Progress::Searching,
            text: String::new(),
            citations: Arc::default(),
        });
        let stopped = CancellationToken::new();
        let key = (workspace.clone(), message);
        let entry = Entry {
            draft: draft.clone(),
            stopped: stopped.clone(),
        };
        self.lock().insert(key.clone(), entry);
        Writing {
            live: self.clone(),
            key,
            draft,
            began: Instant::now(),
            stopped,
        }
    }

    /// What is written here now and from now on; `None`: this process does not write it.
    pub(super) fn read(
        &self,
        workspace: &WorkspaceId,
        message: MessageId,
    ) -> Option<watch::Receiver<Draft>> {
        let key = (workspace.clone(), message);
        self.lock().get(&key).map(|entry| entry.draft.subscribe())
    }

    /// Tells the writer to stop, if it is here.
    pub(super) fn stop(&self, workspace: &WorkspaceId, message: MessageId) {
        let key = (workspace.clone(), message);
        if let Some(entry) = self.lock().get(&key) {
            entry.stopped.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    pub(super) fn change(&self, change: impl FnOnce(&mut Draft)) {
        self.draft.send_modify(change);
    }

    pub(super) fn draft(&self) -> Draft {
        self.draft.borrow().clone()
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut live = self.live.lock();
        // A frozen writer's place may have been taken by the next one.
        if live
            .get(&self.key)
            .is_some_and(|entry| entry.draft.same_channel(&self.draft))
        {
            live.remove(&self.key);
        }
    }
}
