//! The PostgreSQL server that an emulator uses.

use std::sync::{Arc, Weak};

use tokio::sync::Mutex;
use uuid::Uuid;

use super::StartError;
use crate::config::DEFAULT_CONTROL_DATABASE;
use crate::provision::{Provisioner, drop_database};
use crate::store::Store;
use local_servers::postgres::{self, Server};

/// The environment variable with the superuser URI of a running PostgreSQL server, used by
/// emulators that are not configured with a server.
pub const POSTGRES_VARIABLE: &str = "NEON_EMULATOR_POSTGRES";

/// The temporary server that emulators of this process share if no server is configured. It stops
/// with the last of them.
static SHARED: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

#[derive(Debug)]
pub(super) enum ServerSource {
    /// The server in [`POSTGRES_VARIABLE`], or else the temporary server of this process.
    Discover,
    Uri(String),
    /// A server that is started and stopped together with the emulator.
    Embedded(Box<postgres::Builder>),
}

/// The server of an emulator, and how to release it.
#[derive(Default)]
pub(super) struct BackingServer {
    uri: String,
    server: Option<Arc<Server>>,
    /// The state belongs to this emulator alone and is removed with it.
    ephemeral: bool,
}

impl BackingServer {
    /// Finds or starts the server, and determines the name of the state database. If neither is
    /// configured, the state database is a new one for this emulator alone.
    pub(super) async fn find(
        source: ServerSource,
        control_database: Option<String>,
    ) -> Result<(Self, String), StartError> {
        let discover = matches!(source, ServerSource::Discover);
        let (uri, server) = match source {
            ServerSource::Uri(uri) => (uri, None),
            ServerSource::Embedded(builder) => started(Arc::new(builder.start().await?)),
            ServerSource::Discover => match std::env::var(POSTGRES_VARIABLE) {
                Ok(uri) if !uri.is_empty() => (uri, None),
                _ => started(shared().await?),
            },
        };
        let ephemeral = discover && control_database.is_none();
        let name = control_database.unwrap_or_else(|| {
            if discover {
                format!("{DEFAULT_CONTROL_DATABASE}_{}", Uuid::new_v4().simple())
            } else {
                DEFAULT_CONTROL_DATABASE.to_owned()
            }
        });
        let backing_server = Self {
            uri,
            server,
            ephemeral,
        };
        Ok((backing_server, name))
    }

    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    /// Releases the server: removes ephemeral state, and stops the server if no other emulator uses
    /// it.
    pub(super) async fn release(self, provisioner: &Provisioner, store: &Store) {
        // Only the last owner of a shared server can stop it, and its data is then removed with it.
        let unshared = self.server.map(Arc::try_unwrap);
        let is_kept = !matches!(unshared, Some(Ok(_)));
        if self.ephemeral
            && is_kept
            && let Err(error) = provisioner.delete_all().await
        {
            tracing::warn!(%error, "failed to drop all databases of a stopped emulator");
        }
        provisioner.close().await;
        store.close().await;
        if self.ephemeral && is_kept {
            drop_state(&self.uri, &store.name()).await;
        }
        if let Some(Ok(server)) = unshared {
            server.stop().await;
        }
    }

    /// Releases the server before anything but the state database can have been created.
    pub(super) async fn release_unopened(self, control_database: &str) {
        let unshared = self.server.map(Arc::try_unwrap);
        if self.ephemeral && !matches!(unshared, Some(Ok(_))) {
            drop_state(&self.uri, control_database).await;
        }
        if let Some(Ok(server)) = unshared {
            server.stop().await;
        }
    }
}

async fn drop_state(uri: &str, name: &str) {
    if let Err(error) = drop_database(uri, name).await {
        tracing::warn!(%error, "failed to drop the state database of a stopped emulator");
    }
}

fn started(server: Arc<Server>) -> (String, Option<Arc<Server>>) {
    (server.uri().to_owned(), Some(server))
}

async fn shared() -> Result<Arc<Server>, StartError> {
    // The lock is held during the start, so that concurrent callers wait for this server.
    let mut shared = SHARED.lock().await;
    if let Some(server) = shared.upgrade() {
        return Ok(server);
    }
    let server = Arc::new(Server::builder().start().await?);
    *shared = Arc::downgrade(&server);
    Ok(server)
}

#[cfg(test)]
mod tests {
    use neon_client::model::CreateProject;
    use sqlx::{AssertSqlSafe, Connection, PgConnection};

    use super::*;
    use crate::Emulator;
    use crate::emulator::start::Preflight;
    use crate::tls::CA_META_KEY;

    /// Counts databases and roles, except for those of a new cluster.
    const OBJECT_COUNT: &str = "SELECT (SELECT count(*) FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1'))
                            + (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'role%')";

    #[tokio::test]
    async fn shutdown_removes_ephemeral_state_and_everything_the_emulator_created() {
        let server = Server::builder().start().await.unwrap();
        let mut admin = PgConnection::connect(server.uri()).await.unwrap();
        let mut object_count = async || {
            let count: i64 = sqlx::query_scalar(OBJECT_COUNT)
                .fetch_one(&mut admin)
                .await
                .unwrap();
            count
        };
        let before = object_count().await;
        let mut emulator = Emulator::builder()
            .postgres(server.uri())
            .control_database("alone")
            .spare_databases(1)
            .start()
            .await
            .unwrap();
        emulator.backing_server.ephemeral = true;
        let names = ["one", "two"].map(str::to_owned);
        let seeded = emulator
            .seed_projects(&CreateProject::default(), names)
            .await
            .unwrap();
        for project in &seeded {
            PgConnection::connect(&project.uri).await.unwrap();
        }
        assert!(object_count().await > before + 2);
        emulator.shutdown().await;
        assert_eq!(object_count().await, before);
    }

    #[tokio::test]
    async fn a_failed_start_removes_ephemeral_state() {
        let server = Server::builder().start().await.unwrap();
        let mut admin = PgConnection::connect(server.uri()).await.unwrap();
        let mut object_count = async || {
            let count: i64 = sqlx::query_scalar(OBJECT_COUNT)
                .fetch_one(&mut admin)
                .await
                .unwrap();
            count
        };
        let first = Emulator::builder().postgres(server.uri()).start().await;
        first.unwrap().shutdown().await;
        let before = object_count().await;
        for corruption in [
            // An invalid certificate authority, which is detected after databases were created.
            format!(
                "INSERT INTO meta (key, value) VALUES ('{CA_META_KEY}', 'spoilt') ON CONFLICT (key) DO UPDATE SET value = 'spoilt'"
            ),
            // A missing migrations table, so that the state cannot be opened.
            "DROP TABLE _sqlx_migrations".to_owned(),
        ] {
            let store = Store::open(server.uri(), "alone").await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(corruption.clone()))
                .execute(store.pool())
                .await
                .unwrap();
            store.close().await;
            let backing_server = BackingServer {
                uri: server.uri().to_owned(),
                server: None,
                ephemeral: true,
            };
            let mut settings = Emulator::builder().spare_databases(1).settings;
            let preflight = Preflight::run(&mut settings).await.unwrap();
            let result = preflight.start_on(backing_server, "alone", settings).await;
            assert!(result.is_err(), "{corruption}");
            assert_eq!(object_count().await, before, "{corruption}");
        }
    }

    #[tokio::test]
    async fn emulators_without_a_configured_server_share_one_and_are_isolated() {
        let (first, second) = tokio::join!(Emulator::start(), Emulator::start());
        let (first, second) = (first.unwrap(), second.unwrap());
        first
            .seed_projects(&CreateProject::default(), ["mine".to_owned()])
            .await
            .unwrap();
        assert_eq!(first.projects().await.unwrap().len(), 1);
        assert_eq!(second.projects().await.unwrap().len(), 0);
        first.shutdown().await;
        assert_eq!(
            second.projects().await.unwrap().len(),
            0,
            "the other emulator still works"
        );
        second.shutdown().await;
    }
}
