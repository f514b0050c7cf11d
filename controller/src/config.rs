//! The settings of the controller: flags, environment variables and the settings file, read once
//! at start.
//!
//! The structs below declare every setting with its help text and default; the crate
//! `service-kit` reads and checks them. No setting is a secret: the API keys of Neon accounts come
//! from the Secrets that `TenantClass`es refer to.
#![expect(
    clippy::doc_markdown,
    reason = "the doc comments of settings are help texts for the terminal"
)]

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use service_kit::settings::values::{self, format_duration};
use service_kit::settings::{self, InvalidSetting, List, LoadError, Loaded, Sources};
use service_kit::telemetry::TelemetrySettings;

use crate::identity::InstallationId;

/// What the name of every environment variable starts with.
pub const ENV_PREFIX: &str = "TENANT_CONTROLLER_";

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Watches Tenants and reconciles each into a Neon project with a schema and a Secret
#[derive(Clone, Debug, PartialEq, clap::Parser)]
#[command(
    name = "tenant-controller",
    version,
    after_help = "The controller finds the cluster as kubectl does (KUBECONFIG, ~/.kube/config), or else through the Pod's ServiceAccount. \
                  To check migrations without a cluster, see `tenant-controller lint --help`."
)]
pub struct Config {
    #[command(flatten)]
    pub kube: Kube,
    #[command(flatten)]
    pub neon: Neon,
    #[command(flatten)]
    pub migrations: Migrations,
    #[command(flatten)]
    pub lease: Lease,
    #[command(flatten)]
    pub reconcile: Reconcile,
    #[command(flatten)]
    pub process: Process,
    #[command(flatten)]
    pub telemetry: TelemetrySettings,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct Kube {
    /// Namespace of the controller's Lease, of the Secrets with API keys, and of the ConfigMaps with
    /// migrations [default: POD_NAMESPACE, or else the namespace of the ServiceAccount or kubeconfig]
    #[arg(long, value_name = "NAME", value_parser = values::namespace)]
    pub namespace: String,
    /// Namespaces whose Tenants are reconciled, separated by commas; empty for all
    #[arg(long, value_name = "NAMES", default_value = "", value_parser = values::namespaces)]
    pub watch_namespaces: List<String>,
    /// Identifies the projects of this installation in a Neon account that several installations
    /// share: 1 to 36 of the characters a-z, 0-9 and -. Set the id of the old cluster to take over its
    /// projects; do not change it otherwise [default: the UID of the namespace kube-system]
    #[arg(long, value_name = "ID")]
    pub installation_id: Option<InstallationId>,
    /// Name of this controller: it reconciles only TenantClasses with this spec.controllerName, and
    /// their Tenants. The same for all replicas of an installation
    #[arg(long, value_name = "NAME", default_value = crds::DEFAULT_CONTROLLER_NAME, value_parser = controller_name)]
    pub controller_name: String,
    /// Timeout for a call to the Kubernetes API, from 1s to 2m
    #[arg(id = "kube-call-timeout", long = "kube-call-timeout", value_name = "DURATION", default_value = "15s", value_parser = values::duration(SECOND..=2 * MINUTE))]
    pub call_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Neon")]
pub struct Neon {
    /// Maximum number of calls per minute to one Neon account. Neon rejects more than 700; set a lower
    /// limit if the account has other users
    #[arg(long = "neon-rate-limit", value_name = "CALLS", default_value = "700", value_parser = values::count(1_000_000))]
    pub rate_limit: NonZeroU32,
    /// Timeout for a call to the Neon API, including its retries, from 1s to 5m
    #[arg(id = "neon-call-timeout", long = "neon-call-timeout", value_name = "DURATION", default_value = "30s", value_parser = values::duration(SECOND..=5 * MINUTE))]
    pub call_timeout: Duration,
    /// How long a project can still appear after the response to its creation was lost, from 100ms to
    /// 1h. With a shorter window, a Tenant is more likely to get a second project, which the controller
    /// then deletes
    #[arg(long = "neon-create-verification-window", value_name = "DURATION", default_value = "2m", value_parser = values::duration(100 * MS..=HOUR))]
    pub create_verification_window: Duration,
    /// Minimum time between two listings of an account for drift detection, from 100ms to 24h
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = values::duration(100 * MS..=24 * HOUR))]
    pub drift_check_interval: Duration,
    /// Maximum number of calls per hour that drift detection makes for one account. A call returns 400
    /// projects, so accounts with many projects are listed less often. The remaining calls
    /// read individual computes, which a listing does not show
    #[arg(long, value_name = "CALLS", default_value = "50", value_parser = values::count(100_000))]
    pub drift_check_calls_per_hour: NonZeroU32,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Migrations")]
pub struct Migrations {
    /// Directory with SQL files that replace the built-in migrations
    #[arg(long = "migrations-dir", value_name = "DIR", value_parser = values::directory)]
    pub dir: Option<PathBuf>,
    /// Maximum number of concurrent migrations of new Tenants, and separately of existing Tenants; at
    /// most a quarter of `concurrency`. A Tenant whose compute is starting does not count
    #[arg(id = "migration-concurrency", long = "migration-concurrency", value_name = "DATABASES", default_value = "16", value_parser = values::size(1000))]
    pub concurrency: NonZeroUsize,
    /// Timeout for connecting to a tenant's database, from 100ms to 5m. A suspended compute must start
    /// within this time
    #[arg(long = "migration-connect-timeout", value_name = "DURATION", default_value = "90s", value_parser = values::duration(100 * MS..=5 * MINUTE))]
    pub connect_timeout: Duration,
    /// How long a statement waits for a lock, from 100ms to 10m. The application's queries queue behind
    /// a waiting statement
    #[arg(long = "migration-lock-timeout", value_name = "DURATION", default_value = "5s", value_parser = values::duration(100 * MS..=10 * MINUTE))]
    pub lock_timeout: Duration,
    /// Timeout for each statement of a migration, from 100ms to 24h. A file may take three times as long,
    /// and at least 30m
    #[arg(long = "migration-statement-timeout", value_name = "DURATION", default_value = "10m", value_parser = values::duration(100 * MS..=24 * HOUR))]
    pub statement_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Leader election")]
pub struct Lease {
    /// Name of the Lease; the same for all replicas of an installation
    #[arg(long = "lease-name", value_name = "NAME", default_value = "tenant-controller", value_parser = values::object_name)]
    pub name: String,
    /// Identity of this process in the Lease. No two processes may share one
    /// [default: POD_NAME, or else the host name with a random suffix]
    #[arg(long = "lease-identity", value_name = "TEXT", value_parser = identity)]
    pub identity: String,
    /// How long other replicas wait for a renewal before they take over the Lease, in whole seconds from
    /// 2s to 10m
    #[arg(long = "lease-duration", value_name = "DURATION", default_value = "30s", value_parser = values::whole_seconds(2 * SECOND..=10 * MINUTE))]
    pub duration: Duration,
    /// How long the holder acts without a successful renewal, from 500ms to 9m. The sum of this and
    /// lease-retry-interval must not exceed lease-duration
    #[arg(long = "lease-renew-deadline", value_name = "DURATION", default_value = "20s", value_parser = values::duration(500 * MS..=9 * MINUTE))]
    pub renew_deadline: Duration,
    /// Time between two attempts to acquire or renew the Lease, from 100ms to 1m
    #[arg(long = "lease-retry-interval", value_name = "DURATION", default_value = "3s", value_parser = values::duration(100 * MS..=MINUTE))]
    pub retry_interval: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Reconciling")]
pub struct Reconcile {
    /// Number of Tenants that are reconciled concurrently. It counts Tenants that wait for their
    /// compute, so it bounds how many Tenants become ready per second
    #[arg(long, value_name = "TENANTS", default_value = "256", value_parser = values::size(10_000))]
    pub concurrency: NonZeroUsize,
    /// Maximum time between two reconciliations of a ready Tenant, from 1s to 24h. Reconciling an
    /// up-to-date Tenant makes no API calls
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = values::duration(SECOND..=24 * HOUR))]
    pub resync_interval: Duration,
    /// Delay after the first failure, from 10ms to 1m; it doubles with every further failure
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = values::duration(10 * MS..=MINUTE))]
    pub backoff_min: Duration,
    /// Maximum delay after consecutive failures, from 10ms to 24h
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = values::duration(10 * MS..=24 * HOUR))]
    pub backoff_max: Duration,
    /// Time between two reconciliations of a stalled Tenant, from 1s to 24h. A change to the Tenant
    /// triggers one immediately
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = values::duration(SECOND..=24 * HOUR))]
    pub stalled_retry_interval: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Process")]
pub struct Process {
    /// Address of /livez, /readyz and /metrics. With port 0, the system chooses a free port, which is
    /// logged as operations.address
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", value_parser = values::socket_address)]
    pub http_listen: SocketAddr,
    /// How long the controller lets running steps finish after SIGTERM, from 0s to 10m. It then aborts them,
    /// and the next leader repeats them. Must be shorter than the Pod's terminationGracePeriodSeconds
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = values::duration(Duration::ZERO..=10 * MINUTE))]
    pub shutdown_grace: Duration,
}

/// What the host and the kubeconfig provide for settings that have no other value.
#[derive(Clone, Debug, Default)]
pub struct HostInfo {
    /// Namespace of the ServiceAccount or of the kubeconfig's context.
    pub namespace: Option<String>,
    pub hostname: Option<String>,
    /// Random number that makes the identity of this process unique.
    pub nonce: u32,
}

/// Reads the settings. The first argument is the program's name.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    env: &BTreeMap<String, String>,
    host: &HostInfo,
) -> Result<Config, LoadError> {
    let valid_namespace = |name: &String| values::namespace(name).is_ok();
    let namespace = env
        .get("POD_NAMESPACE")
        .filter(|name| valid_namespace(name))
        .or(host.namespace.as_ref().filter(|name| valid_namespace(name)));
    let pod_name = env.get("POD_NAME").filter(|name| identity(name).is_ok());
    let mut fallbacks = BTreeMap::from([(
        "lease-identity",
        pod_name.cloned().unwrap_or_else(|| host_identity(host)),
    )]);
    if let Some(namespace) = namespace {
        fallbacks.insert("namespace", namespace.clone());
    }
    let loaded: Loaded<Config> = settings::load(&Sources {
        args: args.into_iter().collect(),
        env,
        env_prefix: ENV_PREFIX,
        fallbacks,
        required: |_| Vec::new(),
    })?;
    let invalid = contradictions(&loaded);
    loaded.checked(invalid)
}

/// Values that are valid on their own but not together.
fn contradictions(loaded: &Loaded<Config>) -> Vec<InvalidSetting> {
    let Config {
        lease, reconcile, ..
    } = &loaded.settings;
    let mut invalid = Vec::new();
    let latest_stop = lease.renew_deadline + lease.retry_interval;
    if latest_stop > lease.duration {
        invalid.push(loaded.invalid(
            "lease-renew-deadline",
            format!(
                "the sum of lease-renew-deadline and lease-retry-interval ({}) must be at most lease-duration ({}), so that the \
                 holder stops before another replica can start; shorten the deadline, or increase lease-duration",
                format_duration(lease.retry_interval),
                format_duration(lease.duration)
            ),
        ));
    }
    if lease.retry_interval * 2 > lease.renew_deadline {
        invalid.push(loaded.invalid(
            "lease-retry-interval",
            format!(
                "must be at most half of lease-renew-deadline ({}), so that the Lease is not lost because of a single failed \
                 call; shorten the interval",
                format_duration(lease.renew_deadline)
            ),
        ));
    }
    if reconcile.backoff_min > reconcile.backoff_max {
        invalid.push(loaded.invalid(
            "backoff-max",
            format!(
                "must be at least backoff-min ({}); increase it",
                format_duration(reconcile.backoff_min)
            ),
        ));
    }
    invalid
}

/// An identity that no other process has. Containers often share their host name.
fn host_identity(host: &HostInfo) -> String {
    let hostname = host
        .hostname
        .as_deref()
        .and_then(|name| values::object_name(&name.to_lowercase()).ok());
    let name = hostname.as_deref().unwrap_or("tenant-controller");
    format!("{name}_{:08x}", host.nonce)
}

/// Longest name of a controller, in bytes.
const MAX_CONTROLLER_NAME_BYTES: usize = 253;

/// A domain and a path, as in an IngressClass.
fn controller_name(text: &str) -> Result<String, String> {
    let is_domain = |domain: &str| {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        domain.bytes().all(allowed)
            && domain.starts_with(|c: char| c.is_ascii_alphanumeric())
            && domain.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let is_path = |path: &str| {
        !path.is_empty()
            && path
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte))
    };
    match text.split_once('/') {
        Some((domain, path))
            if text.len() <= MAX_CONTROLLER_NAME_BYTES && is_domain(domain) && is_path(path) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(format!(
            "must be a domain and a path of at most {MAX_CONTROLLER_NAME_BYTES} bytes in total, such as {}",
            crds::DEFAULT_CONTROLLER_NAME
        )),
    }
}

/// Longest identity of a process, in bytes.
const MAX_IDENTITY_BYTES: usize = 253;

fn identity(text: &str) -> Result<String, String> {
    let fits = (1..=MAX_IDENTITY_BYTES).contains(&text.len());
    if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must consist of 1 to {MAX_IDENTITY_BYTES} printable ASCII characters without spaces, such as the name of the Pod"
        ))
    }
}
