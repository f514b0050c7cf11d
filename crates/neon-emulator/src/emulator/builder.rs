//! Configures an emulator.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::server::ServerSource;
use super::settings::Settings;
use super::{Emulator, StartError, start};
use crate::config::{DEFAULT_API_KEY, Latency, Limits, ProxyCaches};
use crate::faults::Fault;
use crate::openapi::Document;
use local_servers::postgres;

/// Configures and starts an [`Emulator`]. Created by [`Emulator::builder`].
#[derive(Debug)]
#[must_use]
pub struct Builder {
    source: ServerSource,
    pub(super) settings: Settings,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            source: ServerSource::Discover,
            settings: Settings {
                control_database: None,
                api_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                data_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                advertised_data_port: None,
                host_template: None,
                api_keys: vec![DEFAULT_API_KEY.to_owned()],
                latency: Latency::instant(),
                limits: Limits::default(),
                proxy_caches: ProxyCaches::none(),
                varying_sqlstates: false,
                activity_updates_projects: true,
                spare_databases: 0,
                document: None,
                faults: Vec::new(),
                seed: 0,
            },
        }
    }

    /// Uses this PostgreSQL server, given the URI of a superuser. The emulator stores its state
    /// there, in the database [`DEFAULT_CONTROL_DATABASE`](crate::DEFAULT_CONTROL_DATABASE) unless
    /// [`Builder::control_database`] is set, and continues with that state when it is started
    /// again.
    pub fn postgres(mut self, uri: impl Into<String>) -> Self {
        self.source = ServerSource::Uri(uri.into());
        self
    }

    /// Starts a PostgreSQL server together with the emulator. The state is kept if the server has a
    /// [data folder](postgres::Builder::data_dir).
    pub fn embedded(mut self, server: postgres::Builder) -> Self {
        self.source = ServerSource::Embedded(Box::new(server));
        self
    }

    /// Sets the name of the database that stores the state. Emulators with different databases can
    /// share a server.
    pub fn control_database(mut self, name: impl Into<String>) -> Self {
        self.settings.control_database = Some(name.into());
        self
    }

    /// Sets the address of the API. The default is a free port of 127.0.0.1.
    pub fn api_listen(mut self, address: SocketAddr) -> Self {
        self.settings.api_listen = address;
        self
    }

    /// Sets the address of the data plane. The default is a free port of 127.0.0.1.
    pub fn data_listen(mut self, address: SocketAddr) -> Self {
        self.settings.data_listen = address;
        self
    }

    /// Sets the port in connection URIs, if clients reach the data plane on another port than it
    /// listens on.
    pub fn advertised_data_port(mut self, port: impl Into<Option<u16>>) -> Self {
        self.settings.advertised_data_port = port.into();
        self
    }

    /// Sets the template for hosts in connection URIs, such as `{endpoint}.localhost`. Without a
    /// template, the host is 127.0.0.1 and the URI contains the endpoint in the `endpoint` option,
    /// which requires no DNS.
    pub fn host_template(mut self, template: impl Into<String>) -> Self {
        self.settings.host_template = Some(template.into());
        self
    }

    /// Sets the accepted API keys. The default is [`DEFAULT_API_KEY`].
    pub fn api_keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.settings.api_keys = keys.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the latencies. The default is no latency.
    pub fn latency(mut self, latency: Latency) -> Self {
        self.settings.latency = latency;
        self
    }

    /// Sets the limits. The default is [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Sets how long the data plane's proxy repeats answers. The default is [`ProxyCaches::none`].
    pub fn proxy_caches(mut self, caches: ProxyCaches) -> Self {
        self.settings.proxy_caches = caches;
        self
    }

    /// Sets whether the errors of the data plane's proxy have varying SQLSTATEs, as Neon's had within
    /// a year. The default is `false`: all of them have XX000.
    pub fn varying_sqlstates(mut self, vary: bool) -> Self {
        self.settings.varying_sqlstates = vary;
        self
    }

    /// Sets whether a project's `updated_at` moves when one of its computes starts, is used or is
    /// suspended, as in Neon. The default is `true`.
    pub fn activity_updates_projects(mut self, updates: bool) -> Self {
        self.settings.activity_updates_projects = updates;
        self
    }

    /// Sets how many databases to create before the emulator is ready (about 30 ms each). The first
    /// connections to as many projects then only rename one. This is meant for benchmarks of the
    /// emulator's clients.
    pub fn spare_databases(mut self, databases: u32) -> Self {
        self.settings.spare_databases = databases;
        self
    }

    /// Sets the OpenAPI document to check calls against. See [`Emulator::violations`].
    pub fn document(mut self, document: impl Into<Option<Arc<Document>>>) -> Self {
        self.settings.document = document.into();
        self
    }

    /// Arms additional faults from the start.
    pub fn faults(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.settings.faults.extend(faults);
        self
    }

    /// Sets the seed of the random numbers for faults, latencies and SQLSTATEs, to make runs reproducible. The
    /// default is 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Starts the emulator. When this function returns, the API and the data plane accept
    /// connections.
    ///
    /// # Errors
    ///
    /// [`StartError`] if there is no usable PostgreSQL server, an address is not available, or a
    /// setting is invalid.
    pub async fn start(self) -> Result<Emulator, StartError> {
        // Boxed, because the future of a start is large.
        Box::pin(start::start(self.source, self.settings)).await
    }
}
