//! The table of settings: the name, what it is for, its unit and bounds, its default. Flags, variables, keys of the file
//! and the help text all come from here.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use service_kit::settings::{LogFilter, LogFormat, Ratio, Table, parse};
use url::Url;

use crate::identity::InstallationId;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// The controller's settings.
pub(super) const TABLE: Table = Table {
    program: "tenant-controller",
    version: env!("CARGO_PKG_VERSION"),
    about: "Watches Tenants and reconciles each into a Neon project with a schema and a Secret.",
    after: "The cluster is found as kubectl finds it (KUBECONFIG, ~/.kube/config), else from the Pod's ServiceAccount.",
    env_prefix: "TENANT_CONTROLLER_",
    all: ALL,
};

service_kit::settings! {
    "Cluster" {
        NAMESPACE: String = "namespace", "NAME", None,
            "The controller's namespace: its Lease, the accounts' key Secrets, ConfigMaps of migrations. Left out: POD_NAMESPACE, else the ServiceAccount's, else the kubeconfig's",
            parse::namespace;
        WATCH_NAMESPACES: Vec<String> = "watch-namespaces", "NAMES", Some(""),
            "Namespaces whose Tenants are reconciled, with commas between. Empty: all",
            parse::namespaces;
        INSTALLATION_ID: InstallationId = "installation-id", "ID", None,
            "Marks the projects of this installation, for accounts that several share: 1 to 36 of a-z, 0-9, -. Left out: the uid of namespace kube-system. Do not change it once projects exist",
            installation_id;
        KUBE_CALL_DEADLINE: Duration = "kube-call-deadline", "DURATION", Some("15s"),
            "Limit on a call to the Kubernetes API, 1s to 2m",
            |text| parse::duration(text, SECOND, 2 * MINUTE);
        KUBE_CONNECT_TIMEOUT: Duration = "kube-connect-timeout", "DURATION", Some("5s"),
            "Limit on connecting to the Kubernetes API, 100ms to 1m",
            |text| parse::duration(text, 100 * MS, MINUTE);
    }
    "Neon" {
        NEON_REQUESTS_PER_MINUTE: NonZeroU32 = "neon-requests-per-minute", "CALLS", Some("700"),
            "Calls a minute to one account, 1 to 1000000. Neon refuses more than 700; less leaves room for others with the same account",
            |text| parse::count(text, 1_000_000);
        NEON_PER_ROUTE_PER_SECOND: NonZeroU32 = "neon-per-route-per-second", "CALLS", Some("40"),
            "Calls a second to one route of one account, 1 to 100000. Neon refuses more than 40",
            |text| parse::count(text, 100_000);
        NEON_CALL_DEADLINE: Duration = "neon-call-deadline", "DURATION", Some("30s"),
            "Limit on a call to the Neon API with its retries, 1s to 5m",
            |text| parse::duration(text, SECOND, 5 * MINUTE);
        NEON_CREATE_SETTLE_WINDOW: Duration = "neon-create-settle-window", "DURATION", Some("2m"),
            "How long after a lost answer a project may still come to be, 100ms to 1h. Shorter risks a second project for one Tenant",
            |text| parse::duration(text, 100 * MS, HOUR);
        NEON_LISTING_INTERVAL: Duration = "neon-listing-interval", "DURATION", Some("5m"),
            "Shortest time between two listings of an account that look for drift, 100ms to 24h",
            |text| parse::duration(text, 100 * MS, 24 * HOUR);
        NEON_LISTING_CALLS_PER_HOUR: NonZeroU32 = "neon-listing-calls-per-hour", "CALLS", Some("50"),
            "Calls an hour that these listings may take, 1 to 100000; with more projects (400 a call) they become rarer",
            |text| parse::count(text, 100_000);
    }
    "Migrations" {
        MIGRATIONS_DIR: PathBuf = "migrations-dir", "DIR", None,
            "SQL files that stand in for the built-in migrations. Left out: the built-in ones",
            parse::directory;
        MIGRATION_CONCURRENCY: NonZeroUsize = "migration-concurrency", "DATABASES", Some("16"),
            "Databases that are migrated at once, 1 to 1000; a new one holds its place while its compute starts",
            |text| parse::size(text, 1000);
        MIGRATION_CONNECT_TIMEOUT: Duration = "migration-connect-timeout", "DURATION", Some("30s"),
            "Limit on connecting to a tenant's database, 100ms to 5m; a sleeping compute has to wake within it",
            |text| parse::duration(text, 100 * MS, 5 * MINUTE);
        MIGRATION_LOCK_TIMEOUT: Duration = "migration-lock-timeout", "DURATION", Some("30s"),
            "Limit on waiting for a lock, 100ms to 10m: the app's queries stand behind a statement that waits",
            |text| parse::duration(text, 100 * MS, 10 * MINUTE);
        MIGRATION_STATEMENT_TIMEOUT: Duration = "migration-statement-timeout", "DURATION", Some("10m"),
            "Limit on one statement of a migration, 100ms to 24h",
            |text| parse::duration(text, 100 * MS, 24 * HOUR);
    }
    "Lease" {
        LEASE_NAME: String = "lease-name", "NAME", Some("tenant-controller"),
            "The Lease whose holder acts; all replicas of one installation name the same",
            parse::object_name;
        LEASE_IDENTITY: String = "lease-identity", "TEXT", None,
            "This process in the Lease; no two processes at once may bear it. Left out: POD_NAME, else the machine's name with something random",
            parse::identity;
        LEASE_DURATION: Duration = "lease-duration", "DURATION", Some("15s"),
            "How long a Lease that is not renewed keeps others out, in whole seconds, 2s to 10m",
            |text| parse::whole_seconds(text, 2 * SECOND, 10 * MINUTE);
        LEASE_RENEW_DEADLINE: Duration = "lease-renew-deadline", "DURATION", Some("10s"),
            "How long the holder acts without a renewal, 500ms to 9m. With the retry interval at most the duration: it must stop before others may start",
            |text| parse::duration(text, 500 * MS, 9 * MINUTE);
        LEASE_RETRY_INTERVAL: Duration = "lease-retry-interval", "DURATION", Some("2s"),
            "Time between two tries to take or renew the Lease, 100ms to 1m",
            |text| parse::duration(text, 100 * MS, MINUTE);
    }
    "Reconciling" {
        CONCURRENCY: NonZeroUsize = "concurrency", "TENANTS", Some("64"),
            "Tenants that are reconciled at once, 1 to 10000",
            |text| parse::size(text, 10_000);
        RESYNC_INTERVAL: Duration = "resync-interval", "DURATION", Some("30m"),
            "Longest time without a look at a ready Tenant, 1s to 24h; a look reads caches and costs no call",
            |text| parse::duration(text, SECOND, 24 * HOUR);
        BACKOFF_MIN: Duration = "backoff-min", "DURATION", Some("1s"),
            "Shortest wait after a failure, 10ms to 1m",
            |text| parse::duration(text, 10 * MS, MINUTE);
        BACKOFF_MAX: Duration = "backoff-max", "DURATION", Some("5m"),
            "Longest wait after failures in a row, 10ms to 24h",
            |text| parse::duration(text, 10 * MS, 24 * HOUR);
        STALLED_RETRY_INTERVAL: Duration = "stalled-retry-interval", "DURATION", Some("10m"),
            "Wait between tries at what a person has to mend, 1s to 24h; a change of the Tenant is acted on at once",
            |text| parse::duration(text, SECOND, 24 * HOUR);
    }
    "Operation" {
        HTTP_LISTEN: SocketAddr = "http-listen", "ADDRESS", Some("0.0.0.0:8080"),
            "Address of /livez, /readyz and /metrics. Port 0 takes a free one and logs it as http.address",
            parse::address;
        LOG_FORMAT: LogFormat = "log-format", "FORMAT", Some("json"),
            "Form of log lines: json for machines, pretty for people",
            parse::log_format;
        LOG_FILTER: LogFilter = "log-filter", "DIRECTIVES", Some("info,kube_client=warn,kube_client::client::builder=off"),
            "Which log lines: a level and target=level, with commas between",
            parse::log_filter;
        OTLP_ENDPOINT: Url = "otlp-endpoint", "URL", None,
            "Where traces go: base URL of an OTLP/HTTP receiver. Left out: none are made",
            parse::http_url;
        OTLP_SAMPLING_RATIO: Ratio = "otlp-sampling-ratio", "RATIO", Some("1"),
            "Share of passes that are traced, 0 to 1",
            parse::ratio;
        WORKER_THREADS: NonZeroUsize = "worker-threads", "THREADS", Some("2"),
            "Threads that run the controller, 1 to 64; each costs memory, and the work is waiting rather than computing",
            |text| parse::size(text, 64);
        SHUTDOWN_GRACE: Duration = "shutdown-grace", "DURATION", Some("20s"),
            "How long running steps may take to finish after SIGTERM, 0s to 10m; less than the Pod's terminationGracePeriodSeconds",
            |text| parse::duration(text, Duration::ZERO, 10 * MINUTE);
    }
}

/// An installation id.
fn installation_id(text: &str) -> Result<InstallationId, String> {
    InstallationId::parse(text).map_err(|_| {
        "write 1 to 36 of the characters a-z, 0-9 and -, with neither end a -, such as `prod-eu`"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_installation_id_is_told_what_fits() {
        assert!(installation_id("prod-eu").is_ok());
        assert!(installation_id("Prod").is_err_and(|advice| advice.contains("1 to 36")));
    }
}
