//! Shared by all tests: one PostgreSQL server for all of them, and an emulator with its own state
//! for each.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use local_servers::postgres::Server;
use neon_client::model::{
    CreateProject, CreatedProject, Operation, OperationEnvelope, ProjectEnvelope,
};
use neon_emulator::openapi::{Conformance, DOCUMENT_VARIABLE, Document};
use neon_emulator::{Builder, Emulator};
use reqwest::{Method, Response, StatusCode};
use secrecy::ExposeSecret;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::sync::OnceCell;

/// Maximum time for anything that a test waits for.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The server for all tests. It stops together with the test program.
static POSTGRES: OnceCell<Server> = OnceCell::const_new();
static WORLDS: AtomicU32 = AtomicU32::new(0);

/// A test's emulator on the shared PostgreSQL server.
pub(crate) struct TestEmulator {
    pub(crate) emulator: Emulator,
    pub(crate) http: reqwest::Client,
    pub(crate) postgres: &'static Server,
    pub(crate) control_database: String,
    /// Fails the test if a call violated the OpenAPI document.
    pub(crate) _conformance: AssertConformance,
}

static DOCUMENT: OnceLock<Option<Arc<Document>>> = OnceLock::new();

/// The document that all calls of all tests are checked against. Without it, only the tests in
/// `openapi` fail, and their message explains how to get it.
pub(crate) fn document() -> Option<Arc<Document>> {
    let read = || {
        let path = std::env::var_os(DOCUMENT_VARIABLE)?;
        Some(Document::read(path.as_ref()).expect("the API's document"))
    };
    DOCUMENT.get_or_init(read).clone()
}

/// Asserts at the end of a test that no call violated the OpenAPI document.
pub(crate) struct AssertConformance(Conformance);

impl Drop for AssertConformance {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(
                self.0.violations(),
                Vec::<String>::new(),
                "calls violate the OpenAPI document"
            );
        }
    }
}

impl TestEmulator {
    pub(crate) async fn start() -> Self {
        Self::start_with(|emulator| emulator).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(Builder) -> Builder) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let start = || async { Server::builder().start().await.expect("PostgreSQL starts") };
        let postgres = POSTGRES.get_or_init(start).await;
        let control_database = format!("emulator_{}", WORLDS.fetch_add(1, Ordering::Relaxed));
        let emulator = Emulator::builder()
            .postgres(postgres.uri())
            .control_database(&control_database)
            .document(document());
        let emulator = change(emulator).start().await.expect("the emulator starts");
        let http = reqwest::Client::builder()
            .timeout(WAIT_TIMEOUT)
            .build()
            .expect("a client");
        let conformance = AssertConformance(emulator.conformance());
        Self {
            emulator,
            http,
            postgres,
            control_database,
            _conformance: conformance,
        }
    }

    /// Advances the clock to the start of the next month. Called first, it keeps all usage of a test
    /// in one month.
    pub(crate) async fn next_month(&self) {
        let advanced = self.emulator.advance_to_next_month().await;
        advanced.expect("the clock advances");
    }

    /// Stops the emulator and starts another one with the same state.
    pub(crate) async fn restart(self) -> Self {
        self.emulator.shutdown().await;
        let emulator = Emulator::builder()
            .postgres(self.postgres.uri())
            .control_database(&self.control_database)
            .document(document())
            .start()
            .await
            .expect("the emulator starts again");
        let conformance = AssertConformance(emulator.conformance());
        Self {
            emulator,
            _conformance: conformance,
            ..self
        }
    }

    pub(crate) async fn try_call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Response> {
        let url = format!("{}{path}", self.emulator.api_url());
        let mut request = self
            .http
            .request(method, url)
            .bearer_auth(self.emulator.api_key());
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let response = self.try_call(method, path, body).await.expect("an answer");
        let status = response.status();
        (status, response.json().await.expect("JSON"))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub(crate) async fn create(&self, name: &str) -> CreatedProject {
        self.create_as(CreateProject::named(name)).await
    }

    pub(crate) async fn create_as(&self, project: CreateProject) -> CreatedProject {
        let body = serde_json::to_value(ProjectEnvelope { project }).expect("JSON");
        let (status, body) = self.call(Method::POST, "/projects", Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        serde_json::from_value(body).expect("the answer to a creation")
    }

    /// Waits until all operations have ended, and returns them.
    pub(crate) async fn finished(&self, operations: &[Operation]) -> Vec<Operation> {
        let mut over = Vec::new();
        for operation in operations {
            let path = format!(
                "/projects/{}/operations/{}",
                operation.project_id, operation.id
            );
            let limit = Instant::now() + WAIT_TIMEOUT;
            loop {
                let now: OperationEnvelope =
                    serde_json::from_value(self.get(&path).await).expect("an operation");
                if now.operation.status.is_finished() {
                    over.push(now.operation);
                    break;
                }
                assert!(Instant::now() < limit, "{} has not ended", now.operation.id);
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
        over
    }

    pub(crate) async fn project_names(&self) -> Vec<String> {
        self.emulator
            .projects()
            .await
            .expect("projects")
            .into_iter()
            .map(|project| project.name)
            .collect()
    }
}

pub(crate) fn uri(created: &CreatedProject) -> String {
    created.connection_uris[0]
        .connection_uri
        .expose_secret()
        .to_owned()
}

pub(crate) fn password(created: &CreatedProject) -> String {
    created.connection_uris[0]
        .connection_parameters
        .password
        .expose_secret()
        .to_owned()
}

pub(crate) async fn connect(uri: &str) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect(uri).await
}

/// The SQLSTATE and the message of a rejected connection.
pub(crate) async fn connection_error(uri: &str) -> (String, String) {
    match connect(uri).await {
        Ok(_) => ("connected".to_owned(), String::new()),
        Err(sqlx::Error::Database(error)) => (
            error.code().unwrap_or_default().into_owned(),
            error.message().to_owned(),
        ),
        Err(error) => ("other".to_owned(), error.to_string()),
    }
}

/// Waits until a condition holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let limit = Instant::now() + WAIT_TIMEOUT;
    while !holds().await {
        assert!(Instant::now() < limit, "timed out waiting for {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

impl TestEmulator {
    /// Number of open connections to all projects.
    pub(crate) async fn open_connections(&self) -> u64 {
        self.emulator
            .projects()
            .await
            .expect("projects")
            .iter()
            .map(|project| project.connections_open)
            .sum()
    }
}

/// A folder that is writable for all users, because PostgreSQL may run as another user than the
/// test.
pub(crate) fn folder_for_all() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))
        .expect("sets permissions");
    folder
}
