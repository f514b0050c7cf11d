//! The connections that are open, by project, so that a deletion or a new password can cut them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The connections that are open. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<String, OfProject>>>);

#[derive(Debug, Default)]
struct OfProject {
    open: usize,
    cut: CancellationToken,
}

/// One open connection; it is closed when this is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    sessions: Sessions,
    project: String,
    cut: CancellationToken,
}

impl Sessions {
    pub(crate) fn open(&self, project: &str) -> Session {
        let mut all = self.lock();
        let of_project = all.entry(project.to_owned()).or_default();
        of_project.open += 1;
        Session {
            sessions: self.clone(),
            project: project.to_owned(),
            cut: of_project.cut.clone(),
        }
    }

    /// How many connections to a project are open.
    pub(crate) fn count(&self, project: &str) -> usize {
        self.lock()
            .get(project)
            .map_or(0, |of_project| of_project.open)
    }

    /// Cuts the connections to a project that are open now.
    pub(crate) fn cut(&self, project: &str) {
        if let Some(of_project) = self.lock().get_mut(project) {
            std::mem::take(&mut of_project.cut).cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, OfProject>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Waits until somebody cuts the connection.
    pub(crate) async fn cut(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut all = self.sessions.lock();
        if let Some(of_project) = all.get_mut(&self.project) {
            of_project.open -= 1;
            if of_project.open == 0 {
                all.remove(&self.project);
            }
        }
    }
}
