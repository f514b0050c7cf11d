mod builder;
mod maintenance;
mod server;
mod settings;
mod start;
mod start_error;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use neon_client::ids::OrgId;
use neon_client::model::CreateProject;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::builder::Builder;
use self::server::BackingServer;
pub use self::server::POSTGRES_VARIABLE;
pub use self::start_error::StartError;
use crate::api::admin::{self, ProjectSummary, summaries};
use crate::api::projects::create::{SeededProject, seed};
use crate::api::{Api, ApiError};
use crate::api_key::ApiKey;
use crate::clock::{billing_period, timestamp};
use crate::faults::Faults;
use crate::hosts::connectable;
use crate::openapi::Conformance;
use crate::plan::Plan;

/// Maximum time that a shutdown waits for calls and connections to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A failed request to a running emulator.
#[derive(Debug, thiserror::Error)]
#[error("emulator request failed: {0}")]
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
    /// The PostgreSQL server, if the emulator started it. It must be the last field, so that it is
    /// dropped last.
    backing_server: BackingServer,
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The API keys and the PostgreSQL URI with its password are omitted.
        f.debug_struct("Emulator")
            .field("api", &self.api_address)
            .field("data", &self.data_address)
            .finish_non_exhaustive()
    }
}

impl Emulator {
    /// Starts an empty emulator without latency, limits or faults, on free ports of the loopback
    /// interface.
    ///
    /// It uses the PostgreSQL server whose URI is in the environment variable
    /// [`POSTGRES_VARIABLE`]. Without the variable, it starts a temporary server that all emulators
    /// of this process share and that stops with the last of them. [`Emulator::shutdown`] removes
    /// everything that the emulator created there. If an emulator is only dropped, it leaves its
    /// databases behind on a server named by the variable: a database `neon_emulator_` followed by
    /// 32 hexadecimal digits, and those of its projects.
    ///
    /// When this function returns, the API and the data plane accept connections.
    ///
    /// # Errors
    ///
    /// [`StartError`] if there is no usable PostgreSQL server, or if an address is not available.
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Returns a builder, to configure what [`Emulator::start`] leaves at its default.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The base URL of the API: `http://127.0.0.1:PORT/api/v2`.
    pub fn api_url(&self) -> String {
        format!("http://{}/api/v2", connectable(self.api_address))
    }

    /// The base URL of the admin API: `http://127.0.0.1:PORT/_emulator`.
    pub fn admin_url(&self) -> String {
        format!("http://{}/_emulator", connectable(self.api_address))
    }

    /// The URL of the dashboard: `http://127.0.0.1:PORT/`.
    pub fn page_url(&self) -> String {
        format!("http://{}/", connectable(self.api_address))
    }

    /// One of the accepted API keys.
    pub fn api_key(&self) -> &str {
        self.api.keys.first().map_or("", ApiKey::secret)
    }

    /// The address of the data plane.
    pub fn data_addr(&self) -> SocketAddr {
        self.data_address
    }

    /// The CA certificate that signs the data plane's certificates, in PEM format.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The armed faults, to list, add or remove some.
    pub fn faults(&self) -> &Faults {
        &self.api.faults
    }

    /// Number of calls per operation (such as `createProject`), including rejected ones.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.api.calls.counts()
    }

    /// Resets the counts of [`Emulator::calls`] to zero.
    pub fn reset_calls(&self) {
        self.api.calls.reset();
    }

    /// Number of connections that started an idle compute.
    pub fn cold_starts(&self) -> u64 {
        self.api.sessions.cold_starts()
    }

    /// The violations of the OpenAPI document so far, if [one is configured](Builder::document):
    /// invalid responses of the emulator, and invalid requests that it accepted.
    pub fn violations(&self) -> Vec<String> {
        self.api.conformance.violations()
    }

    /// A handle to the violations that outlives the emulator.
    pub fn conformance(&self) -> Conformance {
        self.api.conformance.clone()
    }

    /// All passwords that were ever issued, including those issued by earlier emulators with the
    /// same state.
    pub async fn issued_passwords(&self) -> Result<Vec<String>, EmulatorError> {
        self.api
            .store
            .issued_passwords()
            .await
            .map_err(EmulatorError::new)
    }

    /// All projects, including deleted ones that are not purged yet.
    pub async fn projects(&self) -> Result<Vec<ProjectSummary>, EmulatorError> {
        summaries(&self.api).await.map_err(EmulatorError::new)
    }

    /// Creates many projects from a template; they differ only in their names. They are ready
    /// immediately, and their databases are created on the first connection.
    pub async fn seed_projects(
        &self,
        template: &CreateProject,
        names: impl IntoIterator<Item = String>,
    ) -> Result<Vec<SeededProject>, EmulatorError> {
        Ok(seed(&self.api, template, names).await?)
    }

    /// Changes the plan of an organization. Existing projects keep their settings.
    ///
    /// # Errors
    ///
    /// Fails if PostgreSQL is not available.
    pub async fn set_plan(&self, organization: OrgId, plan: Plan) -> Result<(), EmulatorError> {
        let changed = self.api.set_plan(organization, plan).await;
        changed.map_err(EmulatorError::new)
    }

    /// Advances the clock, and processes everything that becomes due. When this function returns,
    /// computes that exceeded their suspend timeout, or whose project exceeded its quota, are
    /// suspended.
    ///
    /// # Errors
    ///
    /// Fails if the clock would be more than 100 years ahead of the system clock, or if PostgreSQL
    /// is not available.
    pub async fn advance_clock(&self, by: Duration) -> Result<(), EmulatorError> {
        Ok(admin::advance(&self.api, by).await?)
    }

    /// Advances the clock to the start of the next month (UTC), when usage starts again at zero, and
    /// processes everything that becomes due.
    ///
    /// Tests of usage or quotas call this first; otherwise they would fail at the end of a month.
    ///
    /// # Errors
    ///
    /// As [`Emulator::advance_clock`].
    pub async fn advance_to_next_month(&self) -> Result<(), EmulatorError> {
        let now = self.now();
        let (_, next) = billing_period(now);
        self.advance_clock(now.duration_until(next).unsigned_abs())
            .await
    }

    /// The current time of the emulator's clock.
    pub fn now(&self) -> jiff::Timestamp {
        timestamp(self.api.clock.now())
    }

    /// Drops the databases of deleted projects that can no longer be recovered, and returns the
    /// number of purged projects. This also happens every minute.
    pub async fn purge(&self) -> Result<u64, EmulatorError> {
        self.api
            .provisioner
            .purge(self.api.recoverable_since())
            .await
            .map_err(EmulatorError::new)
    }

    /// Closes connections, finishes the calls in progress, and stops the emulator. State that was
    /// created for this emulator alone is removed, including the databases of its projects.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        self.servers.close();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.servers.wait())
            .await
            .is_err()
        {
            tracing::warn!("shutdown timed out with calls in progress");
        }
        let backing_server = std::mem::take(&mut self.backing_server);
        backing_server
            .release(&self.api.provisioner, &self.api.store)
            .await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests;
