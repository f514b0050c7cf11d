//! Why an emulator did not start.

use std::net::SocketAddr;

use local_servers::postgres::PostgresError;

use crate::api_key::InvalidApiKey;
use crate::faults::ArmError;
use crate::hosts::HostTemplateError;
use crate::store::OpenError;
use crate::tls::TlsError;

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("at least one API key is required")]
    NoApiKey,
    #[error(transparent)]
    InvalidApiKey(#[from] InvalidApiKey),
    #[error(transparent)]
    HostTemplate(#[from] HostTemplateError),
    /// No PostgreSQL server is configured, and none could be started.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The PostgreSQL server cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("failed to read the emulator's state: {0}")]
    State(String),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Fault(#[from] ArmError),
    #[error("failed to create spare databases: {0}")]
    SpareDatabases(String),
    #[error("failed to listen on {address}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
}
