//! A running emulator.

mod builder;
mod server;
mod start;
mod upkeep;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use neon_client::model::CreateProject;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::builder::Builder;
pub use self::server::POSTGRES_VARIABLE;
use self::server::Under;
pub use self::start::StartError;
pub(crate) use self::upkeep::turn_clock;
use crate::api::create::{SeededProject, seed};
use crate::api::own::{ProjectSummary, summaries};
use crate::api::{Api, ApiError};
use crate::clock::timestamp;
use crate::document::Conformance;
use crate::faults::Faults;
use crate::hosts::reachable;

/// How long a shutdown waits for calls and connections to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a question to a running emulator has no answer.
#[derive(Debug, thiserror::Error)]
#[error("the emulator could not do this: {0}")]
pub struct EmulatorError(String);

impl EmulatorError {
    fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl From<ApiError> for EmulatorError {
    fn from(error: ApiError) -> Self {
        Self(error.message)
    }
}

/// A running emulator. Dropping it stops it without waiting; [`Emulator::shutdown`] waits.
pub struct Emulator {
    api: Arc<Api>,
    api_address: SocketAddr,
    data_address: SocketAddr,
    ca_pem: String,
    stop: CancellationToken,
    servers: TaskTracker,
    /// The server under it, if it is not somebody else's to stop. Last, so that it goes last.
    under: Under,
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the keys, nor the address of PostgreSQL with its password.
        f.debug_struct("Emulator")
            .field("api", &self.api_address)
            .field("data", &self.data_address)
            .finish_non_exhaustive()
    }
}

impl Emulator {
    /// Starts an emulator of its own: no latency, no limits, no faults, free ports on loopback, and nothing in it.
    ///
    /// Under it is the PostgreSQL server whose URI stands in the variable [`POSTGRES_VARIABLE`]; without one, a temporary server is
    /// started, which all emulators of this process share, and which ends with the last of them. What this one made there goes with
    /// [`Emulator::shutdown`]; an emulator that is only dropped leaves it behind in a server that was named: a database
    /// `neon_emulator_` with 32 hexadecimal digits, and those of its projects.
    ///
    /// When this returns, the API and the data plane take connections.
    ///
    /// # Errors
    ///
    /// [`StartError`] where there is no PostgreSQL to use, or nothing can be listened on.
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// An emulator that is to be something else than [`Emulator::start`] makes it.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Where the API is, ready for a client: `http://127.0.0.1:PORT/api/v2`.
    pub fn api_url(&self) -> String {
        format!("http://{}/api/v2", reachable(self.api_address))
    }

    /// Where the calls about the emulator itself are: `http://127.0.0.1:PORT/_emulator`.
    pub fn own_url(&self) -> String {
        format!("http://{}/_emulator", reachable(self.api_address))
    }

    /// Where a browser sees what happens: `http://127.0.0.1:PORT/`.
    pub fn page_url(&self) -> String {
        format!("http://{}/", reachable(self.api_address))
    }

    /// An API key that it accepts.
    pub fn api_key(&self) -> &str {
        self.api.keys.first().map_or("", String::as_str)
    }

    /// Where the data plane listens.
    pub fn data_addr(&self) -> SocketAddr {
        self.data_address
    }

    /// The certificate of the authority that the data plane's certificates are signed by, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The faults that are armed, to add to them or to take them away.
    pub fn faults(&self) -> &Faults {
        &self.api.faults
    }

    /// How often each call of the API was made, by the operation's name (`createProject`), refused ones included.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.api.calls.counts()
    }

    /// Starts counting calls again from zero.
    pub fn reset_calls(&self) {
        self.api.calls.reset();
    }

    /// How many connections found their compute asleep and woke it, so far.
    pub fn cold_starts(&self) -> u64 {
        self.api.sessions.cold_starts()
    }

    /// What did not fit the API's document so far, where [one was named](Builder::document): answers of the emulator, and requests that
    /// it accepted.
    pub fn violations(&self) -> Vec<String> {
        self.api.conformance.found()
    }

    /// The same, to be asked when the emulator is gone.
    pub fn conformance(&self) -> Conformance {
        self.api.conformance.clone()
    }

    /// Every password that was ever given out, also by emulators before this one over the same PostgreSQL.
    pub async fn passwords_ever_given(&self) -> Result<Vec<String>, EmulatorError> {
        self.api
            .store
            .passwords_given()
            .await
            .map_err(EmulatorError::new)
    }

    /// Every project, those included that are deleted but not purged.
    pub async fn projects(&self) -> Result<Vec<ProjectSummary>, EmulatorError> {
        summaries(&self.api).await.map_err(EmulatorError::new)
    }

    /// Makes many ready projects at once, all like the template but for their names. None has a database yet.
    pub async fn seed_projects(
        &self,
        template: &CreateProject,
        names: impl IntoIterator<Item = String>,
    ) -> Result<Vec<SeededProject>, EmulatorError> {
        Ok(seed(&self.api, template, names).await?)
    }

    /// Turns the clock ahead: what waits for time to pass finds that it has. Computes that are idle for longer than they may be
    /// are asleep when this returns, and quotas that are used up have suspended theirs.
    ///
    /// # Errors
    ///
    /// Where it would be more than 100 years ahead of the system's, or PostgreSQL cannot be reached.
    pub async fn turn_clock(&self, by: Duration) -> Result<(), EmulatorError> {
        Ok(turn_clock(&self.api, by).await?)
    }

    /// What time it is here.
    pub fn now(&self) -> jiff::Timestamp {
        timestamp(self.api.clock.now())
    }

    /// Drops the databases of deleted projects that can no longer be recovered, and returns how many projects that were.
    /// It happens by itself every minute.
    pub async fn purge(&self) -> Result<u64, EmulatorError> {
        self.api
            .provisioner
            .purge(self.api.recoverable_since())
            .await
            .map_err(EmulatorError::new)
    }

    /// Cuts connections, finishes the calls that are being answered, and stops. State that was to be of this emulator alone goes, with
    /// the databases of its projects.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        self.servers.close();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.servers.wait())
            .await
            .is_err()
        {
            tracing::warn!("Calls were still being answered when the emulator stopped");
        }
        let under = std::mem::take(&mut self.under);
        under.leave(&self.api.provisioner, &self.api.store).await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests;
