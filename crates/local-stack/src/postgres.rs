//! The PostgreSQL server of the emulator and the app: a new one in the run's folder, or the
//! developer's own (`DATABASE_URL`).

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use installer::environment_variable;
use installer::external::DATABASE_URL;
use local_servers::postgres::Server;
use parking_lot::Mutex;
use sqlx::{Connection as _, PgConnection, Row as _};

/// For the check of the developer's own server.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// The emulator creates roles and databases and installs pgvector.
const CHECK: &str = "select (select rolsuper from pg_roles where rolname = current_user) as superuser, \
    exists (select from pg_available_extensions where name = 'vector') as vector";

/// A running PostgreSQL server. Dropping it stops a server that [`Postgres::start`] started.
pub struct Postgres {
    uri: String,
    server: Option<Mutex<Server>>,
}

impl Postgres {
    /// Checks and uses the server of `DATABASE_URL`, or starts a new one with its data in `folder`.
    pub async fn start(folder: &Path) -> Result<Self> {
        if let Some(uri) = environment_variable(DATABASE_URL) {
            let uri = uri
                .into_string()
                .map_err(|_| anyhow!("{DATABASE_URL} is not UTF-8"))?;
            check(&uri)
                .await
                .with_context(|| format!("{DATABASE_URL} is not usable; correct it or unset it"))?;
            return Ok(Self { uri, server: None });
        }
        let bin_dir = tokio::task::spawn_blocking(installer::postgres_bin).await??;
        // The data is deleted after the run, so commits need not wait for the disk.
        let server = Server::builder()
            .bin_dir(bin_dir)
            .data_dir(folder.join("postgres"))
            .durable(false)
            .start()
            .await?;
        Ok(Self {
            uri: server.uri().to_owned(),
            server: Some(Mutex::new(server)),
        })
    }

    /// The superuser's URI. It contains the password and must not be logged.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether this run started the server and stops it.
    pub fn is_managed(&self) -> bool {
        self.server.is_some()
    }

    /// Whether the server that this run started is no longer running.
    pub fn has_exited(&self) -> Result<bool> {
        match &self.server {
            Some(server) => Ok(server.lock().has_exited()?),
            None => Ok(false),
        }
    }

    /// Stops the server, unless it is the developer's own.
    pub async fn stop(self) {
        if let Some(server) = self.server {
            server.into_inner().stop().await;
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URI contains the password.
        f.debug_struct("Postgres")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

async fn check(uri: &str) -> Result<()> {
    let checked = tokio::time::timeout(CHECK_TIMEOUT, async {
        let mut connection = PgConnection::connect(uri).await?;
        let row = sqlx::query(CHECK).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>((
            row.try_get::<bool, _>("superuser")?,
            row.try_get::<bool, _>("vector")?,
        ))
    });
    match checked
        .await
        .with_context(|| format!("no response within {} s", CHECK_TIMEOUT.as_secs()))??
    {
        (true, true) => Ok(()),
        (false, _) => bail!("the user must be a superuser, to create roles and databases"),
        (true, false) => bail!("the server must have the extension `vector` (pgvector)"),
    }
}
