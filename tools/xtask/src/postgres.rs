//! The PostgreSQL under the emulator: a fresh one in the run's folder, or the developer's own (`DATABASE_URL`).

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use local_servers::postgres::Server;
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::install::{self, variable};

/// The variable that names a PostgreSQL of the developer's own, by the URI of a superuser.
pub const DATABASE_URL: &str = "DATABASE_URL";
/// How long the developer's own server may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// What the emulator needs of it: to make roles and databases, and pgvector.
const PROBE: &str = "select (select rolsuper from pg_roles where rolname = current_user) as superuser, \
    exists (select from pg_available_extensions where name = 'vector') as vector";

/// A PostgreSQL server that is there.
pub struct Postgres {
    uri: String,
    /// Ours, if it is ours; it stops with this value.
    server: Option<Server>,
}

impl Postgres {
    /// The server of `DATABASE_URL`, checked; else a fresh one whose data lies in `folder`, installed if need be.
    pub async fn start(folder: &Path) -> Result<Self> {
        if let Some(uri) = variable(DATABASE_URL) {
            let uri = uri
                .into_string()
                .map_err(|_| anyhow!("{DATABASE_URL} is not UTF-8"))?;
            check(&uri).await.with_context(|| {
                format!("{DATABASE_URL} cannot be used; correct it or unset it")
            })?;
            return Ok(Self { uri, server: None });
        }
        let bin_dir = tokio::task::spawn_blocking(install::postgres_bin).await??;
        // Its data is thrown away with the run: nothing waits for the disk.
        let server = Server::builder()
            .bin_dir(bin_dir)
            .data_dir(folder.join("postgres"))
            .durable(false)
            .start()
            .await?;
        Ok(Self {
            uri: server.uri().to_owned(),
            server: Some(server),
        })
    }

    /// The URI of its superuser, password included: not for logs.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether it is ours, and goes with the run.
    pub fn is_ours(&self) -> bool {
        self.server.is_some()
    }

    /// Stops it, if it is ours.
    pub async fn stop(self) {
        if let Some(server) = self.server {
            server.stop().await;
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URI: it holds the password.
        f.debug_struct("Postgres")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

async fn check(uri: &str) -> Result<()> {
    let answer = tokio::time::timeout(ANSWER_LIMIT, async {
        let mut connection = PgConnection::connect(uri).await?;
        let row = sqlx::query(PROBE).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>((
            row.try_get::<bool, _>("superuser")?,
            row.try_get::<bool, _>("vector")?,
        ))
    });
    match answer
        .await
        .with_context(|| format!("no answer within {} s", ANSWER_LIMIT.as_secs()))??
    {
        (true, true) => Ok(()),
        (false, _) => bail!("its user must be a superuser, to make roles and databases"),
        (true, false) => bail!("this PostgreSQL has no extension `vector` (pgvector)"),
    }
}
