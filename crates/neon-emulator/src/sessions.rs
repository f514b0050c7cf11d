//! The open connections, so that they can be terminated, and a lock for each branch.
//!
//! A connection holds the lock of its branch shared from the check that its compute is active until
//! the client is authenticated. Copies of a branch and suspensions of its computes hold the lock
//! exclusively: they wait for connections that are being established, and connections that arrive
//! in the meantime wait for them and check the compute again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio_util::sync::CancellationToken;

use crate::clock::Micros;
use crate::store::EndpointRow;

/// How long an exclusive lock waits for clients to authenticate before it disconnects them.
const AUTHENTICATION_GRACE_PERIOD: Duration = Duration::from_secs(2);

/// The open connections. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<SessionTable>>);

#[derive(Debug, Default)]
struct SessionTable {
    next_number: u64,
    by_project: HashMap<String, Vec<OpenSession>>,
    branch_locks: HashMap<String, Arc<RwLock<()>>>,
    cold_starts: u64,
}

#[derive(Debug)]
struct OpenSession {
    number: u64,
    branch: String,
    endpoint: String,
    /// The client authenticates with the password that is valid at this moment.
    password_as_of: Micros,
    terminate: CancellationToken,
    activity: Arc<Activity>,
}

impl OpenSession {
    fn terminate(&self) {
        self.activity.0.lock().terminated = true;
        self.terminate.cancel();
    }
}

/// The activity of a connection.
#[derive(Debug, Default)]
pub(crate) struct Activity(Mutex<ActivityState>);

#[derive(Debug, Default)]
struct ActivityState {
    authenticated: bool,
    terminated: bool,
    /// A statement is running or a transaction is open.
    busy: bool,
    last_us: Micros,
    to_client_bytes: u64,
    /// The size limit, in bytes, that the project had reached when the session started.
    size_limit: Option<u64>,
}

impl ActivityState {
    fn last_use(&self, now: Micros) -> Micros {
        if self.busy { now } else { self.last_us }
    }
}

impl Activity {
    /// Records that the client sent something. Returns `false` if the session was terminated; the
    /// bytes must then not be sent to PostgreSQL.
    pub(crate) fn client_sent(&self, now: Micros) -> bool {
        let mut state = self.0.lock();
        state.last_us = now;
        state.busy = true;
        !state.terminated
    }

    /// Records bytes to the client; `idle` is whether they end with an idle `ReadyForQuery`.
    pub(crate) fn server_sent(&self, bytes: usize, idle: bool, now: Micros) {
        let mut state = self.0.lock();
        state.last_us = now;
        state.busy = !idle;
        state.to_client_bytes += bytes as u64;
    }

    /// Records the size limit, in bytes, that the project has reached.
    pub(crate) fn set_size_limit(&self, limit: Option<u64>) {
        self.0.lock().size_limit = limit;
    }

    /// Bytes sent to the client since the previous call.
    pub(crate) fn take_transferred(&self) -> u64 {
        std::mem::take(&mut self.0.lock().to_client_bytes)
    }
}

/// An open connection. Dropping it removes it from [`Sessions`].
#[derive(Debug)]
pub(crate) struct Session {
    sessions: Sessions,
    project: String,
    number: u64,
    terminate: CancellationToken,
    activity: Arc<Activity>,
}

/// An open connection, for the checks of computes.
#[derive(Debug, Clone)]
pub(crate) struct SessionInfo {
    pub(crate) project: String,
    pub(crate) branch: String,
    pub(crate) endpoint: String,
    pub(crate) activity: Arc<Activity>,
}

impl Sessions {
    /// Registers a connection whose client authenticates with the password that is valid at
    /// `password_as_of`.
    pub(crate) fn open(
        &self,
        endpoint: &EndpointRow,
        password_as_of: Micros,
        now: Micros,
    ) -> Session {
        let mut table = self.0.lock();
        table.next_number += 1;
        let number = table.next_number;
        let activity = Arc::new(Activity(Mutex::new(ActivityState {
            last_us: now,
            ..ActivityState::default()
        })));
        let terminate = CancellationToken::new();
        table
            .by_project
            .entry(endpoint.project_id.clone())
            .or_default()
            .push(OpenSession {
                number,
                branch: endpoint.branch_id.clone(),
                endpoint: endpoint.id.clone(),
                password_as_of,
                terminate: terminate.clone(),
                activity: activity.clone(),
            });
        Session {
            sessions: self.clone(),
            project: endpoint.project_id.clone(),
            number,
            terminate,
            activity,
        }
    }

    pub(crate) fn record_cold_start(&self) {
        self.0.lock().cold_starts += 1;
    }

    /// Number of connections that started an idle compute.
    pub(crate) fn cold_starts(&self) -> u64 {
        self.0.lock().cold_starts
    }

    /// Number of open connections to a project.
    pub(crate) fn count(&self, project: &str) -> usize {
        self.0.lock().by_project.get(project).map_or(0, Vec::len)
    }

    /// The last use of a compute by an open connection: `now` while a statement is running.
    pub(crate) fn last_use(&self, endpoint: &EndpointRow, now: Micros) -> Option<Micros> {
        let table = self.0.lock();
        let sessions = table.by_project.get(&endpoint.project_id)?;
        sessions
            .iter()
            .filter(|session| session.endpoint == endpoint.id)
            .map(|session| session.activity.0.lock().last_use(now))
            .max()
    }

    /// All open connections.
    pub(crate) fn all(&self) -> Vec<SessionInfo> {
        let table = self.0.lock();
        let of_project = |(project, sessions): (&String, &Vec<OpenSession>)| {
            let project = project.clone();
            sessions
                .iter()
                .map(|session| SessionInfo {
                    project: project.clone(),
                    branch: session.branch.clone(),
                    endpoint: session.endpoint.clone(),
                    activity: session.activity.clone(),
                })
                .collect::<Vec<_>>()
        };
        table.by_project.iter().flat_map(of_project).collect()
    }

    /// Terminates all open connections to a project.
    pub(crate) fn terminate_project(&self, project: &str) {
        self.terminate_matching(project, |_| true);
    }

    /// Terminates all open connections to a branch.
    pub(crate) fn terminate_branch(&self, project: &str, branch: &str) {
        self.terminate_matching(project, |session| session.branch == branch);
    }

    /// Terminates the idle connections to a compute that started on the other side of the project's
    /// size limit. Running statements and open transactions are not interrupted.
    pub(crate) fn terminate_other_size_limit(&self, project: &str, endpoint: &str, limited: bool) {
        self.terminate_matching(project, |session| {
            let activity = session.activity.0.lock();
            session.endpoint == endpoint
                && activity.size_limit.is_some() != limited
                && !activity.busy
        });
    }

    /// Terminates all open connections to a compute.
    pub(crate) fn terminate_endpoint(&self, project: &str, endpoint: &str) {
        self.terminate_matching(project, |session| session.endpoint == endpoint);
    }

    /// Terminates the connections to a branch that authenticated with a password from before
    /// `valid_from`. Connections with the new password stay open.
    pub(crate) fn terminate_outdated(&self, project: &str, branch: &str, valid_from: Micros) {
        self.terminate_matching(project, |session| {
            session.branch == branch && session.password_as_of < valid_from
        });
    }

    fn terminate_matching(&self, project: &str, matches: impl Fn(&OpenSession) -> bool) {
        if let Some(sessions) = self.0.lock().by_project.get(project) {
            sessions
                .iter()
                .filter(|session| matches(session))
                .for_each(OpenSession::terminate);
        }
    }

    /// Terminates the connections to a compute if `is_idle` returns true for their last use.
    ///
    /// The decision is atomic: a statement that arrives before it keeps the compute active, and a
    /// statement that arrives after it is not sent to PostgreSQL.
    pub(crate) fn terminate_if_idle(
        &self,
        endpoint: &EndpointRow,
        now: Micros,
        is_idle: impl FnOnce(Option<Micros>) -> bool,
    ) -> bool {
        let table = self.0.lock();
        let sessions = table.by_project.get(&endpoint.project_id);
        let sessions: Vec<&OpenSession> = sessions
            .into_iter()
            .flatten()
            .filter(|session| session.endpoint == endpoint.id)
            .collect();
        let mut activities: Vec<_> = sessions
            .iter()
            .map(|session| session.activity.0.lock())
            .collect();
        let last_use = activities.iter().map(|activity| activity.last_use(now));
        if !is_idle(last_use.max()) {
            return false;
        }
        for activity in &mut activities {
            activity.terminated = true;
        }
        for session in sessions {
            session.terminate.cancel();
        }
        true
    }

    /// Locks a branch for a connection that is being established.
    pub(crate) async fn lock_branch_shared(&self, branch: &str) -> OwnedRwLockReadGuard<()> {
        self.branch_lock(branch).read_owned().await
    }

    /// Waits until no connection to a branch is being established, and blocks new ones until the
    /// guard is dropped. Clients that take too long to authenticate are disconnected.
    ///
    /// A caller that needs a transaction or an admin connection must acquire this lock first:
    /// connections hold it shared while they wait for those.
    pub(crate) async fn lock_branch_exclusive(&self, branch: &str) -> OwnedRwLockWriteGuard<()> {
        let locked = self.branch_lock(branch).write_owned();
        tokio::pin!(locked);
        loop {
            match tokio::time::timeout(AUTHENTICATION_GRACE_PERIOD, &mut locked).await {
                Ok(guard) => return guard,
                Err(_) => self.terminate_authenticating(branch),
            }
        }
    }

    /// Like [`Sessions::lock_branch_exclusive`], but returns `None` instead of waiting.
    pub(crate) fn try_lock_branch_exclusive(
        &self,
        branch: &str,
    ) -> Option<OwnedRwLockWriteGuard<()>> {
        self.branch_lock(branch).try_write_owned().ok()
    }

    fn terminate_authenticating(&self, branch: &str) {
        let table = self.0.lock();
        table
            .by_project
            .values()
            .flatten()
            .filter(|session| session.branch == branch)
            .filter(|session| !session.activity.0.lock().authenticated)
            .for_each(OpenSession::terminate);
    }

    fn branch_lock(&self, branch: &str) -> Arc<RwLock<()>> {
        let mut table = self.0.lock();
        // Locks that are no longer used are removed.
        table
            .branch_locks
            .retain(|name, lock| name == branch || Arc::strong_count(lock) > 1);
        table
            .branch_locks
            .entry(branch.to_owned())
            .or_default()
            .clone()
    }

    /// Number of tasks that hold or wait for the lock of a branch.
    #[cfg(test)]
    pub(crate) fn branch_lock_users(&self, branch: &str) -> usize {
        let table = self.0.lock();
        let lock = table.branch_locks.get(branch);
        lock.map_or(0, |lock| Arc::strong_count(lock) - 1)
    }
}

impl Session {
    /// Records that the client is authenticated.
    pub(crate) fn authenticated(&self) {
        self.activity.0.lock().authenticated = true;
    }

    pub(crate) async fn terminated(&self) {
        self.terminate.cancelled().await;
    }

    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut table = self.sessions.0.lock();
        if let Some(sessions) = table.by_project.get_mut(&self.project) {
            sessions.retain(|session| session.number != self.number);
            if sessions.is_empty() {
                table.by_project.remove(&self.project);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> EndpointRow {
        EndpointRow::for_tests(300)
    }

    fn is_terminated(session: &Session) -> bool {
        session.terminate.is_cancelled()
    }

    #[test]
    fn a_statement_that_arrives_before_the_decision_keeps_the_compute_active() {
        let (sessions, endpoint) = (Sessions::default(), endpoint());
        let session = sessions.open(&endpoint, 0, 0);
        let is_idle = |last_use: Option<Micros>| last_use < Some(10);
        assert!(session.activity().client_sent(5));
        assert!(!sessions.terminate_if_idle(&endpoint, 20, is_idle));
        assert!(session.activity().client_sent(21) && !is_terminated(&session));
    }

    #[test]
    fn a_statement_that_arrives_after_the_decision_is_not_sent() {
        let (sessions, endpoint) = (Sessions::default(), endpoint());
        let idle = sessions.open(&endpoint, 0, 0);
        assert!(sessions.terminate_if_idle(&endpoint, 20, |last_use| last_use < Some(10)));
        assert!(!idle.activity().client_sent(21) && is_terminated(&idle));
    }

    #[test]
    fn a_new_password_terminates_only_sessions_with_an_older_one() {
        let (sessions, endpoint) = (Sessions::default(), endpoint());
        let (old, new) = (
            sessions.open(&endpoint, 9, 9),
            sessions.open(&endpoint, 10, 10),
        );
        sessions.terminate_outdated(&endpoint.project_id, &endpoint.branch_id, 10);
        assert!(is_terminated(&old) && !is_terminated(&new));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_authenticate_blocks_a_branch_only_for_the_grace_period() {
        let (sessions, endpoint) = (Sessions::default(), endpoint());
        let shared = sessions.lock_branch_shared(&endpoint.branch_id).await;
        let slow = sessions.open(&endpoint, 0, 0);
        assert!(
            sessions
                .try_lock_branch_exclusive(&endpoint.branch_id)
                .is_none()
        );
        let disconnected = async {
            slow.terminated().await;
            drop(shared);
        };
        let locked = sessions.lock_branch_exclusive(&endpoint.branch_id);
        tokio::join!(locked, disconnected);
    }
}
