//! Settings: what can be set, and the whole of it once everything was checked.
//!
//! Flags, variables and keys of the file all come from one table. Nothing below this module reads the environment, and what stands in
//! a [`Config`] needs no second look.

mod build;
mod public_url;
mod rate;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use ipnet::IpNet;
use llm::ModelsConfig;
use openidconnect::IssuerUrl;
use secrecy::SecretString;
use service_kit::telemetry::{Log, Trace};
use url::Url;

use crate::tenants::PoolLimits;
pub use build::load;
pub use public_url::{NotAPublicUrl, PublicUrl};
pub use rate::{Allowance, NotARate, Rate, Rates};

/// What the process is to do, with the settings that this needs.
#[derive(Clone, Debug)]
pub enum Work {
    /// Pages, and jobs as configured.
    Serve(Box<Config>),
    /// Jobs alone.
    Worker(Box<Config>),
    /// The main database's migrations, and nothing else.
    Migrate(Database),
}

impl Work {
    /// The settings of pages and jobs, if it is these.
    pub fn config(self) -> Option<Config> {
        match self {
            Self::Serve(config) | Self::Worker(config) => Some(*config),
            Self::Migrate(_) => None,
        }
    }
}

/// The process itself, whatever it does.
#[derive(Clone, Debug)]
pub struct Process {
    /// Log lines.
    pub log: Log,
    /// Traces; `None` sends none.
    pub trace: Option<Trace>,
    /// Threads that run it.
    pub worker_threads: NonZeroUsize,
}

/// Everything that can be set for pages and jobs, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The pages' own port.
    pub http: Http,
    /// The app's own database.
    pub database: Database,
    /// Where Tenants are made, and of which kinds.
    pub tenants: Tenants,
    /// What connections to their databases may take.
    pub pools: PoolLimits,
    /// Where files lie.
    pub objects: Objects,
    /// Embeddings and answers.
    pub models: ModelsConfig,
    /// What a workspace and a user may have.
    pub plan: Plan,
    /// How people sign in.
    pub sign_in: SignIn,
    /// How long a session is good.
    pub sessions: Sessions,
    /// How often one may ask.
    pub limits: Limits,
    /// Jobs at once in this process; 0 leaves them to other processes.
    pub workers: usize,
    /// How long requests and jobs may take to finish when the process is asked to stop.
    pub shutdown_grace: Duration,
}

/// The pages' own port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where pages are served. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub operations_listen: SocketAddr,
    /// As browsers reach the pages.
    pub public_url: PublicUrl,
    /// Whose word about a client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where a trusted proxy says it. One header, not both: the other may be the client's own invention, passed through.
    pub forwarded_header: ForwardedHeader,
    /// Limit on answering a request that is not a stream.
    pub request_timeout: Duration,
}

/// Where a proxy writes whom it speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded`, RFC 7239.
    Forwarded,
}

/// The app's own database.
#[derive(Clone, Debug)]
pub struct Database {
    /// Where it is and how to get in.
    pub url: SecretString,
    /// Connections of this process at most.
    pub connections_max: NonZeroU32,
    /// Limit on getting a connection.
    pub acquire_timeout: Duration,
    /// Limit on waiting for another process that migrates.
    pub migration_lock_timeout: Duration,
}

/// Where Tenants are made, and of which kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenants {
    /// The namespace of the app's Tenants and of nothing else.
    pub namespace: String,
    /// Classes that a new workspace may have; the first is taken where nothing is chosen.
    pub classes: Vec<Choice>,
    /// Regions that a new workspace may have; none: the class decides.
    pub regions: Vec<Choice>,
}

/// Something that people choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// As the `Tenant` names it.
    pub name: String,
    /// As people read it.
    pub display_name: String,
}

/// Where files lie. Keys come from the standard AWS environment, as with any other AWS client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objects {
    /// The region that requests are signed for.
    pub region: String,
    /// Where this process reaches the server; `None` is AWS itself.
    pub endpoint: Option<Url>,
    /// Where browsers reach it, if that is elsewhere.
    pub public_endpoint: Option<Url>,
    /// Whether the bucket stands in the path and not in the host.
    pub path_style: bool,
    /// Which bucket keeps whose files.
    pub buckets: Buckets,
}

/// Which bucket keeps whose files: where they may lie follows the workspace's region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Of workspaces whose region has none of its own.
    pub default: String,
    /// By region of the workspace.
    pub by_region: BTreeMap<String, String>,
}

impl Buckets {
    /// The bucket for a workspace in this region; `None` is the region that its class chose.
    pub fn of(&self, region: Option<&str>) -> &str {
        region
            .and_then(|region| self.by_region.get(region))
            .unwrap_or(&self.default)
    }

    /// Every bucket, each once.
    pub fn all(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.by_region.values().map(String::as_str).collect();
        all.push(&self.default);
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// What a workspace and a user may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of one file at most.
    pub upload_bytes_max: u64,
    /// Documents of one workspace at most.
    pub documents_max: u32,
    /// Workspaces that one user may own.
    pub workspaces_per_user_max: u32,
    /// Members of one workspace at most.
    pub members_max: u32,
}

/// How people sign in.
#[derive(Clone, Debug)]
pub enum SignIn {
    /// With an OpenID provider.
    Oidc(Oidc),
    /// By saying a name, for demonstrations on this machine alone. Never on anything but loopback.
    Local,
}

/// An OpenID provider.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// Its issuer URL, letter by letter as the provider writes it; the rest is discovered from there.
    pub issuer: IssuerUrl,
    /// As it knows the app.
    pub client_id: String,
    /// The app's password with it; public clients have none.
    pub client_secret: Option<SecretString>,
}

/// How long a session is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// Without a request.
    pub idle: Duration,
    /// At all.
    pub absolute: Duration,
}

/// How often one may ask.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Redis that replicas count in together; without it, each counts for itself.
    pub redis_url: Option<SecretString>,
    /// What each kind of request may take.
    pub rates: Rates,
}
