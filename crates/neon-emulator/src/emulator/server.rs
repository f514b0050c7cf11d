//! The PostgreSQL server under an emulator: one that was named, one of its own, or one that is found.

use std::sync::{Arc, Weak};

use tokio::sync::Mutex;
use uuid::Uuid;

use super::StartError;
use crate::config::DEFAULT_CONTROL_DATABASE;
use crate::provision::{Provisioner, drop_database};
use crate::store::Store;
use local_servers::postgres::{self, Server};

/// The environment variable that names a running PostgreSQL server, by the URI of a superuser, for emulators that are told of none.
pub const POSTGRES_VARIABLE: &str = "NEON_EMULATOR_POSTGRES";

/// The temporary server that all emulators of this process share which are told of none. It ends with the last of them.
static SHARED: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

/// Where the server is to come from.
#[derive(Debug)]
pub(super) enum Source {
    /// The variable [`POSTGRES_VARIABLE`], or else a temporary server of this process.
    Found,
    /// A running one.
    Uri(String),
    /// One that is started for this emulator, and stopped with it.
    Own(Box<postgres::Builder>),
}

/// The server under an emulator, and what becomes of it in the end.
#[derive(Default)]
pub(super) struct Under {
    uri: String,
    server: Option<Arc<Server>>,
    /// The state is nobody else's: it goes with the emulator.
    passing: bool,
}

impl Under {
    /// The server, and the name of the database in it that holds the state. Where the server was found and the state has no name, it is
    /// a new one for this emulator alone.
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

    /// Leaves the server as it should be left: stopped if nobody else uses it, without the state if that was of one emulator alone.
    pub(super) async fn leave(self, provisioner: &Provisioner, store: &Store) {
        // Whoever has the last share of a server can stop it, with all that is in it.
        let last = self.server.map(Arc::try_unwrap);
        let stays = !matches!(last, Some(Ok(_)));
        if self.passing
            && stays
            && let Err(error) = provisioner.erase().await
        {
            tracing::warn!(%error, "The databases of an emulator that ended could not all be dropped");
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

    /// The same before anything was made there but, perhaps, the state.
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

/// Drops the state of an emulator that is no more, if it can be.
async fn drop_state(uri: &str, name: &str) {
    if let Err(error) = drop_database(uri, name).await {
        tracing::warn!(%error, "The state of an emulator that ended could not be dropped");
    }
}

fn running(server: Arc<Server>) -> (String, Option<Arc<Server>>) {
    (server.uri().to_owned(), Some(server))
}

async fn shared() -> Result<Arc<Server>, StartError> {
    // Held while it starts, so that the others wait for this one.
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

    /// Databases and roles in a server, but for its own.
    const MADE: &str = "SELECT (SELECT count(*) FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1'))
                            + (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'role%')";

    #[tokio::test]
    async fn the_state_of_one_emulator_alone_goes_with_it_and_with_all_that_it_made() {
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
    async fn an_emulator_that_does_not_start_leaves_nothing_of_a_state_of_its_own() {
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
            // No authority, which is found when databases were made already.
            format!(
                "INSERT INTO meta (key, value) VALUES ('{META_KEY}', 'spoilt') ON CONFLICT (key) DO UPDATE SET value = 'spoilt'"
            ),
            // No version, so that it cannot even be opened.
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
    async fn emulators_that_are_told_of_no_server_share_one_and_see_nothing_of_each_other() {
        let (one, other) = tokio::join!(Emulator::start(), Emulator::start());
        let (one, other) = (one.unwrap(), other.unwrap());
        one.seed_projects(&CreateProject::default(), ["mine".to_owned()])
            .await
            .unwrap();
        assert_eq!(one.projects().await.unwrap().len(), 1);
        assert_eq!(other.projects().await.unwrap().len(), 0);
        one.shutdown().await;
        assert_eq!(other.projects().await.unwrap().len(), 0, "it still serves");
        other.shutdown().await;
    }
}
