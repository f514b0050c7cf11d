//! The open connections, so that they can be terminated, and a lock for each branch, which
//! coordinates new connections with copies of its databases and suspensions of its computes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio_util::sync::CancellationToken;

use crate::clock::Micros;
use crate::store::EndpointRow;

/// The open connections. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    by_project: HashMap<String, Vec<Open>>,
    gates: HashMap<String, Arc<RwLock<()>>>,
    cold_starts: u64,
}

#[derive(Debug)]
struct Open {
    number: u64,
    branch: String,
    endpoint: String,
    cut: CancellationToken,
    activity: Arc<Activity>,
}

/// The activity of a connection.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    last_us: AtomicI64,
    /// A statement is running or a transaction is open.
    busy: AtomicBool,
    to_client_bytes: AtomicU64,
}

impl Activity {
    pub(crate) fn client_sent(&self, now: Micros) {
        self.last_us.store(now, Ordering::Relaxed);
        self.busy.store(true, Ordering::Relaxed);
    }

    /// Records bytes to the client; `idle` is whether they end with an idle ReadyForQuery.
    pub(crate) fn server_sent(&self, bytes: usize, idle: bool, now: Micros) {
        self.last_us.store(now, Ordering::Relaxed);
        self.busy.store(!idle, Ordering::Relaxed);
        self.to_client_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes sent to the client since the previous call.
    pub(crate) fn take_transferred(&self) -> u64 {
        self.to_client_bytes.swap(0, Ordering::Relaxed)
    }

    fn last_use(&self, now: Micros) -> Micros {
        if self.busy.load(Ordering::Relaxed) {
            now
        } else {
            self.last_us.load(Ordering::Relaxed)
        }
    }
}

/// An open connection. Dropping it removes it from [`Sessions`].
#[derive(Debug)]
pub(crate) struct Session {
    sessions: Sessions,
    project: String,
    number: u64,
    cut: CancellationToken,
    activity: Arc<Activity>,
}

/// An open connection, for the checks of computes.
#[derive(Debug, Clone)]
pub(crate) struct Connected {
    pub(crate) project: String,
    pub(crate) branch: String,
    pub(crate) endpoint: String,
    pub(crate) activity: Arc<Activity>,
}

impl Sessions {
    pub(crate) fn open(&self, endpoint: &EndpointRow, now: Micros) -> Session {
        let mut state = self.lock();
        state.next += 1;
        let number = state.next;
        let activity = Arc::new(Activity::default());
        activity.last_us.store(now, Ordering::Relaxed);
        let cut = CancellationToken::new();
        state
            .by_project
            .entry(endpoint.project_id.clone())
            .or_default()
            .push(Open {
                number,
                branch: endpoint.branch_id.clone(),
                endpoint: endpoint.id.clone(),
                cut: cut.clone(),
                activity: activity.clone(),
            });
        Session {
            sessions: self.clone(),
            project: endpoint.project_id.clone(),
            number,
            cut,
            activity,
        }
    }

    pub(crate) fn count_cold_start(&self) {
        self.lock().cold_starts += 1;
    }

    /// Number of connections that started an idle compute.
    pub(crate) fn cold_starts(&self) -> u64 {
        self.lock().cold_starts
    }

    /// Number of open connections to a project.
    pub(crate) fn count(&self, project: &str) -> usize {
        self.lock().by_project.get(project).map_or(0, Vec::len)
    }

    /// The last use of a compute by an open connection: `now` while a statement is running.
    pub(crate) fn last_use(&self, endpoint: &EndpointRow, now: Micros) -> Option<Micros> {
        let state = self.lock();
        let open = state.by_project.get(&endpoint.project_id)?;
        open.iter()
            .filter(|open| open.endpoint == endpoint.id)
            .map(|open| open.activity.last_use(now))
            .max()
    }

    /// All open connections.
    pub(crate) fn all(&self) -> Vec<Connected> {
        let state = self.lock();
        let of_project = |(project, open): (&String, &Vec<Open>)| {
            let project = project.clone();
            open.iter()
                .map(|open| Connected {
                    project: project.clone(),
                    branch: open.branch.clone(),
                    endpoint: open.endpoint.clone(),
                    activity: open.activity.clone(),
                })
                .collect::<Vec<_>>()
        };
        state.by_project.iter().flat_map(of_project).collect()
    }

    /// Terminates all open connections to a project.
    pub(crate) fn cut(&self, project: &str) {
        self.cut_those(project, |_| true);
    }

    /// Terminates all open connections to a branch.
    pub(crate) fn cut_branch(&self, project: &str, branch: &str) {
        self.cut_those(project, |open| open.branch == branch);
    }

    /// Terminates all open connections to a compute.
    pub(crate) fn cut_endpoint(&self, project: &str, endpoint: &str) {
        self.cut_those(project, |open| open.endpoint == endpoint);
    }

    fn cut_those(&self, project: &str, which: impl Fn(&Open) -> bool) {
        if let Some(open) = self.lock().by_project.get(project) {
            open.iter()
                .filter(|open| which(open))
                .for_each(|open| open.cut.cancel());
        }
    }

    pub(crate) async fn enter(&self, branch: &str) -> OwnedRwLockReadGuard<()> {
        let gate = self.gate(branch);
        gate.read_owned().await
    }

    pub(crate) async fn close(&self, branch: &str) -> OwnedRwLockWriteGuard<()> {
        let gate = self.gate(branch);
        gate.write_owned().await
    }

    fn gate(&self, branch: &str) -> Arc<RwLock<()>> {
        let mut state = self.lock();
        // Locks that are no longer used are removed.
        state
            .gates
            .retain(|name, gate| name == branch || Arc::strong_count(gate) > 1);
        state.gates.entry(branch.to_owned()).or_default().clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub(crate) async fn cut(&self) {
        self.cut.cancelled().await;
    }

    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut state = self.sessions.lock();
        if let Some(open) = state.by_project.get_mut(&self.project) {
            open.retain(|open| open.number != self.number);
            if open.is_empty() {
                state.by_project.remove(&self.project);
            }
        }
    }
}
