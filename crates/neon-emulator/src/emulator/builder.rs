//! What an emulator is to be, before it starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::server::Source;
use super::{Emulator, StartError, start};
use crate::config::{DEFAULT_API_KEY, Latency, Limits};
use crate::document::Document;
use crate::faults::Fault;
use local_servers::postgres;

/// An emulator that is to be started. [`Emulator::builder`] makes one.
#[derive(Debug)]
#[must_use]
pub struct Builder {
    source: Source,
    pub(super) settings: Settings,
}

/// Everything about an emulator but the server under it.
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
    pub(super) spare_databases: u32,
    pub(super) document: Option<Arc<Document>>,
    pub(super) faults: Vec<Fault>,
    pub(super) seed: u64,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            source: Source::Found,
            settings: Settings {
                control_database: None,
                api_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                data_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                advertised_data_port: None,
                host_template: None,
                api_keys: vec![DEFAULT_API_KEY.to_owned()],
                latency: Latency::instant(),
                limits: Limits::default(),
                spare_databases: 0,
                document: None,
                faults: Vec::new(),
                seed: 0,
            },
        }
    }

    /// Over this PostgreSQL server: the URI of a superuser. The emulator keeps its state there, in the database
    /// [`DEFAULT_CONTROL_DATABASE`](crate::DEFAULT_CONTROL_DATABASE) unless [`Builder::control_database`] says otherwise, and finds it
    /// again when it is started the next time.
    pub fn postgres(mut self, uri: impl Into<String>) -> Self {
        self.source = Source::Uri(uri.into());
        self
    }

    /// Over a PostgreSQL server of its own, which is started with it and stopped with it. The state is found again where the server has
    /// a [folder](postgres::Builder::data_dir).
    pub fn embedded(mut self, server: postgres::Builder) -> Self {
        self.source = Source::Own(Box::new(server));
        self
    }

    /// Keeps the state in a database of this name. Emulators with different ones can share a server.
    pub fn control_database(mut self, name: impl Into<String>) -> Self {
        self.settings.control_database = Some(name.into());
        self
    }

    /// Where the API listens; by default on a free port of 127.0.0.1.
    pub fn api_listen(mut self, address: SocketAddr) -> Self {
        self.settings.api_listen = address;
        self
    }

    /// Where the data plane listens; by default on a free port of 127.0.0.1.
    pub fn data_listen(mut self, address: SocketAddr) -> Self {
        self.settings.data_listen = address;
        self
    }

    /// The port in connection URIs, where it is not the one that the data plane listens on.
    pub fn advertised_data_port(mut self, port: impl Into<Option<u16>>) -> Self {
        self.settings.advertised_data_port = port.into();
        self
    }

    /// The host in connection URIs, such as `{endpoint}.localhost`. Without one the host is 127.0.0.1 and the endpoint stands in the
    /// option `endpoint`, which works without any name service.
    pub fn host_template(mut self, template: impl Into<String>) -> Self {
        self.settings.host_template = Some(template.into());
        self
    }

    /// The API keys that are accepted, in place of [`DEFAULT_API_KEY`].
    pub fn api_keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.settings.api_keys = keys.into_iter().map(Into::into).collect();
        self
    }

    /// How long things take; by default nothing takes time.
    pub fn latency(mut self, latency: Latency) -> Self {
        self.settings.latency = latency;
        self
    }

    /// What is refused as too much; by default next to nothing.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Databases to make in advance, before the emulator is ready (about 30 ms each): first connections to so many projects then only
    /// rename one. For benchmarks of what stands before the emulator.
    pub fn spare_databases(mut self, databases: u32) -> Self {
        self.settings.spare_databases = databases;
        self
    }

    /// The API's document, to hold every answer and every accepted request against. See [`Emulator::violations`].
    pub fn document(mut self, document: impl Into<Option<Arc<Document>>>) -> Self {
        self.settings.document = document.into();
        self
    }

    /// Faults that are armed from the start, besides those that were named before.
    pub fn faults(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.settings.faults.extend(faults);
        self
    }

    /// The seed of the faults' dice and of the latencies, so that a run can be had again; by default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Starts it; when this returns, the API and the data plane take connections.
    ///
    /// # Errors
    ///
    /// [`StartError`] where there is no PostgreSQL to use, nothing can be listened on, or a setting cannot be.
    pub async fn start(self) -> Result<Emulator, StartError> {
        // On the heap: whoever waits for a start would carry all of it.
        Box::pin(start::start(self.source, self.settings)).await
    }
}
