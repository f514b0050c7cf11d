//! The configuration of an emulator.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{Latency, Limits, ProxyCaches};
use crate::faults::Fault;
use crate::openapi::Document;

/// The configuration, except for the PostgreSQL server.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) control_database: Option<String>,
    pub(super) api_listen: SocketAddr,
    pub(super) data_listen: SocketAddr,
    pub(super) advertised_data_port: Option<u16>,
    pub(super) host_template: Option<String>,
    pub(super) api_keys: Vec<String>,
    pub(super) latency: Latency,
    pub(super) limits: Limits,
    pub(super) proxy_caches: ProxyCaches,
    pub(super) varying_sqlstates: bool,
    pub(super) activity_updates_projects: bool,
    pub(super) spare_databases: u32,
    pub(super) document: Option<Arc<Document>>,
    pub(super) faults: Vec<Fault>,
    pub(super) seed: u64,
}
