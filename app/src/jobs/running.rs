//! The jobs that a worker is running.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinSet};

use super::store::ClaimedJob;

/// Clones share the jobs.
#[derive(Debug, Clone, Default)]
pub(super) struct RunningJobs {
    jobs: Arc<Mutex<HashMap<i64, (ClaimedJob, AbortHandle)>>>,
}

impl RunningJobs {
    /// Runs the job until `work` ends or is aborted.
    pub(super) fn spawn(
        &self,
        tasks: &mut JoinSet<()>,
        job: ClaimedJob,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let id = job.id;
        // Locked until the job is inserted, because the task may end before that.
        let mut jobs = self.jobs.lock();
        let entry = Entry {
            id,
            running: self.clone(),
        };
        let task = tasks.spawn(async move {
            let _entry = entry;
            work.await;
        });
        jobs.insert(id, (job, task));
    }

    pub(super) fn ids(&self) -> Vec<i64> {
        self.jobs.lock().keys().copied().collect()
    }

    pub(super) fn all(&self) -> Vec<ClaimedJob> {
        let jobs = self.jobs.lock();
        jobs.values().map(|(job, _)| job.clone()).collect()
    }

    /// Aborts a job, and returns it if it was still running. Its future is dropped at its next await
    /// point.
    pub(super) fn abort(&self, id: i64) -> Option<ClaimedJob> {
        let (job, task) = self.jobs.lock().get(&id).cloned()?;
        task.abort();
        Some(job)
    }
}

/// Removes the job when its task ends.
struct Entry {
    id: i64,
    running: RunningJobs,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.running.jobs.lock().remove(&self.id);
    }
}
