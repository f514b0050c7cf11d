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
pub(super) enum Source {
    /// The server in [`POSTGRES_VARIABLE`], or else the temporary server of this process.
    Found,
    Uri(String),
    /// A server that is started and stopped together with the emulator.
    Own(Box<postgres::Builder>),
}

/// The server of an emulator, and how to release it.
#[derive(Default)]
pub(super) struct Under {
    uri: String,
    server: Option<Arc<Server>>,
    /// The state belongs to this emulator alone and is removed with it.
    passing: bool,
}

impl Under {
    /// Finds or starts the server, and determines the name of the state database. If neither is
    /// configured, the state database is a new one for this emulator alone.
    pub(super) async fn find(
        source: Source,
        control_database: Option<String>,
    ) -> Result<(Self, String), StartError> {
        let found = matches!(source, Source::Found);
        let (uri, server) = match source {
            Source::Uri(uri) => (uri, None),
            Source::Own(builder) => running(Arc::new(builder.start().await?)),
            Source::Found => match std::env::var(POSTGRES_VARIABLE) {
                Ok(uri) if !uri.is_empty() => (uri, None),
                _ => running(shared().await?),
            },
        };
        let passing = found && control_database.is_none();
        let name = control_database.unwrap_or_else(|| {
            if found {
                format!("{DEFAULT_CONTROL_DATABASE}_{}", Uuid::new_v4().simple())
            } else {
                DEFAULT_CONTROL_DATABASE.to_owned()
            }
        });
        let under = Self {
            uri,
            server,
            passing,
        };
        Ok((under, name))
    }

    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    /// Releases the server: removes ephemeral state, and stops the server if no other emulator uses
    /// it.
    pub(super) async fn leave(self, provisioner: &Provisioner, store: &Store) {
        // Only the last owner of a shared server can stop it, and its data is then removed with it.
        let last = self.server.map(Arc::try_unwrap);
        let stays = !matches!(last, Some(Ok(_)));
        if self.passing
            && stays
            && let Err(error) = provisioner.erase().await
        {
            tracing::warn!(%error, "failed to drop all databases of a stopped emulator");
        }
        provisioner.close().await;
        store.close().await;
        if self.passing && stays {
            drop_state(&self.uri, &store.name()).await;
        }
        if let Some(Ok(server)) = last {
            server.stop().await;
        }
    }

    /// Releases the server before anything but the state database can have been created.
    pub(super) async fn leave_state(self, control_database: &str) {
        let last = self.server.map(Arc::try_unwrap);
        if self.passing && !matches!(last, Some(Ok(_))) {
            drop_state(&self.uri, control_database).await;
        }
        if let Some(Ok(server)) = last {
            server.stop().await;
        }
    }
}

async fn drop_state(uri: &str, name: &str) {
    if let Err(error) = drop_database(uri, name).await {
        tracing::warn!(%error, "failed to drop the state database of a stopped emulator");
    }
}

fn running(server: Arc<Server>) -> (String, Option<Arc<Server>>) {
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
    use crate::emulator::start::Reserved;
    use crate::tls::META_KEY;

    /// Counts databases and roles, except for those of a new cluster.
    const MADE: &str = "SELECT (SELECT count(*) FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1'))
                            + (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'role%')";

    #[tokio::test]
    async fn shutdown_removes_ephemeral_state_and_everything_the_emulator_created() {
        let server = Server::builder().start().await.unwrap();
        let mut admin = PgConnection::connect(server.uri()).await.unwrap();
        let mut made = async || {
            let count: i64 = sqlx::query_scalar(MADE)
                .fetch_one(&mut admin)
                .await
                .unwrap();
            count
        };
        let before = made().await;
        let mut emulator = Emulator::builder()
            .postgres(server.uri())
            .control_database("alone")
            .spare_databases(1)
            .start()
            .await
            .unwrap();
        emulator.under.passing = true;
        let names = ["one", "two"].map(str::to_owned);
        let seeded = emulator
            .seed_projects(&CreateProject::default(), names)
            .await
            .unwrap();
        for project in &seeded {
            PgConnection::connect(&project.uri).await.unwrap();
        }
        assert!(made().await > before + 2);
        emulator.shutdown().await;
        assert_eq!(made().await, before);
    }

    #[tokio::test]
    async fn a_failed_start_removes_ephemeral_state() {
        let server = Server::builder().start().await.unwrap();
        let mut admin = PgConnection::connect(server.uri()).await.unwrap();
        let mut made = async || {
            let count: i64 = sqlx::query_scalar(MADE)
                .fetch_one(&mut admin)
                .await
                .unwrap();
            count
        };
        let one = Emulator::builder().postgres(server.uri()).start().await;
        one.unwrap().shutdown().await;
        let before = made().await;
        for spoil in [
            // An invalid certificate authority, which is detected after databases were created.
            format!(
                "INSERT INTO meta (key, value) VALUES ('{META_KEY}', 'spoilt') ON CONFLICT (key) DO UPDATE SET value = 'spoilt'"
            ),
            // A missing migrations table, so that the state cannot be opened.
            "DROP TABLE _sqlx_migrations".to_owned(),
        ] {
            let store = Store::open(server.uri(), "alone").await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(spoil.clone()))
                .execute(store.pool())
                .await
                .unwrap();
            store.close().await;
            let under = Under {
                uri: server.uri().to_owned(),
                server: None,
                passing: true,
            };
            let mut settings = Emulator::builder().spare_databases(1).settings;
            let reserved = Reserved::of(&mut settings).await.unwrap();
            let refused = reserved.start_over(under, "alone", settings).await;
            assert!(refused.is_err(), "{spoil}");
            assert_eq!(made().await, before, "{spoil}");
        }
    }

    #[tokio::test]
    async fn emulators_without_a_configured_server_share_one_and_are_isolated() {
        let (one, other) = tokio::join!(Emulator::start(), Emulator::start());
        let (one, other) = (one.unwrap(), other.unwrap());
        one.seed_projects(&CreateProject::default(), ["mine".to_owned()])
            .await
            .unwrap();
        assert_eq!(one.projects().await.unwrap().len(), 1);
        assert_eq!(other.projects().await.unwrap().len(), 0);
        one.shutdown().await;
        assert_eq!(other.projects().await.unwrap().len(), 0, "the other emulator still works");
        other.shutdown().await;
    }
}
