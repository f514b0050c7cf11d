//! The PostgreSQL server under an emulator: one that was named, one of its own, or one that is found.

use std::sync::{Arc, Weak};

use tokio::sync::Mutex;
use uuid::Uuid;

use super::StartError;
use crate::api::Api;
use crate::config::DEFAULT_CONTROL_DATABASE;
use crate::postgres::{self, Server};

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
    pub(super) async fn leave(self, api: &Api) {
        // Whoever has the last share of a server can stop it, with all that is in it.
        let last = self.server.map(Arc::try_unwrap);
        let stays = !matches!(last, Some(Ok(_)));
        if self.passing
            && stays
            && let Err(error) = api.provisioner.erase().await
        {
            tracing::warn!(%error, "The databases of an emulator that ended could not all be dropped");
        }
        api.provisioner.close().await;
        api.store.close().await;
        if self.passing
            && stays
            && let Err(error) = api.provisioner.drop_state().await
        {
            tracing::warn!(%error, "The state of an emulator that ended could not be dropped");
        }
        if let Some(Ok(server)) = last {
            server.stop().await;
        }
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
    use neon::model::CreateProject;
    use sqlx::{Connection, PgConnection};

    use super::*;
    use crate::Emulator;

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
