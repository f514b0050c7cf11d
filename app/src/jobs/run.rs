//! One run of a job: decodes it, runs it, and decides whether it runs again.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use tokio::time::timeout;
use tracing::{Instrument as _, info_span};

use super::registry::JobKind;
use super::store::{ClaimedJob, NextRun};
use super::{Attempt, JobError, trace};

/// Runs the job. Returns `None` if it is done.
pub(super) async fn run(kind: &JobKind, job: &ClaimedJob) -> Option<NextRun> {
    let attempt = Attempt {
        number: job.attempt.unsigned_abs(),
    };
    let span = info_span!("job", job.kind, job.attempt);
    trace::continue_in(&span, job.traceparent.as_deref());
    // An invalid payload may be a job of a newer version, which another process can run. Thus it is
    // retried, and given up only after several starts.
    let work = match (kind.start)(job.payload.clone(), attempt) {
        Ok(work) => work,
        Err(error) => return Some(job.crashed(format!("invalid payload: {error}"))),
    };
    let work = AssertUnwindSafe(timeout(kind.timeout, work).instrument(span));
    // The panic hook has logged the message of a panic.
    let Ok(result) = work.catch_unwind().await else {
        return Some(job.crashed("the job panicked"));
    };
    let result = result.unwrap_or_else(|_| {
        let timeout = kind.timeout.as_secs();
        Err(JobError::with_backoff(
            attempt,
            format!("timed out after {timeout} s"),
        ))
    });
    match result {
        Ok(()) => kind.repeat_after.map(NextRun::repeat),
        Err(error) => Some(job.retry(error.retry_after, error.reason)),
    }
}
