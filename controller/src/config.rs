//! Settings: read once at start from flags, environment and one file, checked, and from then on a value that cannot be wrong.
//!
//! Every setting has one name. `--lease-duration` is the flag, `TENANT_CONTROLLER_LEASE_DURATION` the variable, and
//! `lease-duration` the key in the file that `--config` names; the first of these that is given wins, then the default.
//! `settings` is the one table of them; how values are found and checked is the crate `service`'s. All wrong settings are reported together. No setting is a secret: keys of accounts come from Secrets, never from here.

mod build;
mod settings;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use crate::identity::InstallationId;

pub use build::{Machine, load};
pub use service_kit::settings::{LoadError, LogFilter, LogFormat, Origin, Ratio, Wrong};
pub use service_kit::telemetry::{Log, Trace};

/// Everything that can be set, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The cluster: where the controller lives, what it watches, how long a call may take.
    pub kube: Kube,
    /// Calls to the Neon API.
    pub neon: Neon,
    /// Migrations of tenant databases.
    pub schema: Schema,
    /// The Lease that lets one replica act.
    pub lease: Lease,
    /// The controller's own HTTP port.
    pub http: Http,
    /// Log lines.
    pub log: Log,
    /// Traces; `None` sends none.
    pub trace: Option<Trace>,
    /// How soon a Tenant is looked at again.
    pub retry: Retry,
    /// How much is done at once, and how long stopping may take.
    pub limits: Limits,
}

/// The cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kube {
    /// The namespace with the Lease, the accounts' key Secrets and the `ConfigMap`s of migrations.
    pub namespace: String,
    /// Namespaces whose Tenants are reconciled. Empty: all.
    pub watch_namespaces: Vec<String>,
    /// Tells projects of this installation from those of others in the same account. `None`: the uid of the namespace
    /// `kube-system`, which is the cluster's.
    pub installation_id: Option<InstallationId>,
    /// Limit on a call, from the first byte sent to the last byte read. A watch is limited up to its first byte.
    pub call_deadline: Duration,
    /// Limit on making a connection.
    pub connect_timeout: Duration,
}

/// Calls to the Neon API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neon {
    /// Calls a minute that one account may take.
    pub requests_per_minute: NonZeroU32,
    /// Calls a second that one route of one account may take.
    pub per_route_per_second: NonZeroU32,
    /// Limit on a call, its retries included.
    pub call_deadline: Duration,
    /// How long after a lost answer a project may still come to be.
    pub create_settle_window: Duration,
    /// Shortest time between two listings of an account that nobody waits for.
    pub listing_interval: Duration,
    /// Calls an hour that such listings of one account may take; more pages make them rarer.
    pub listing_calls_per_hour: NonZeroU32,
}

/// Migrations of tenant databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Directory with the SQL files that stand in for those built in.
    pub migrations_dir: Option<PathBuf>,
    /// Databases that are migrated at once.
    pub concurrency: NonZeroUsize,
    /// Limit on connecting, the waking of a sleeping compute included.
    pub connect_timeout: Duration,
    /// Limit on waiting for locks: the migrator's own and those of statements.
    pub lock_timeout: Duration,
    /// Limit on one statement.
    pub statement_timeout: Duration,
}

/// The Lease that lets one replica act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its name, in [`Kube::namespace`].
    pub name: String,
    /// Who this process is: the name of its Pod, or of the machine with something random. One process at a time may bear it.
    pub identity: String,
    /// How long a Lease that is not renewed keeps others out; whole seconds.
    pub duration: Duration,
    /// How long the holder goes on acting without a renewal; less than `duration`.
    pub renew_deadline: Duration,
    /// Time between two tries to take or renew it.
    pub retry_interval: Duration,
}

/// The controller's own HTTP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Address for `/livez`, `/readyz` and `/metrics`. Port 0 takes a free one; the log line with `http.address` tells which.
    pub listen: SocketAddr,
}

/// How soon a Tenant is looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Shortest wait after a failure.
    pub backoff_min: Duration,
    /// Longest wait after failures in a row; not under `backoff_min`.
    pub backoff_max: Duration,
    /// Wait between tries at what a person has to mend.
    pub stalled_interval: Duration,
    /// Longest time without a look at a Tenant that is ready.
    pub resync_interval: Duration,
}

/// How much is done at once, and how long stopping may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tenants that are reconciled at once.
    pub concurrency: NonZeroUsize,
    /// Threads that run the controller's tasks.
    pub worker_threads: NonZeroUsize,
    /// How long running steps may take to finish when the process is asked to stop.
    pub shutdown_grace: Duration,
}
