//! From single values to the whole: what is left out is filled in from the machine, and values that have to fit together are compared.

use std::collections::BTreeMap;
use std::ffi::OsString;

use service_kit::settings::parse::{self, show};
use service_kit::settings::{LoadError, Said};

use super::settings as set;
use super::{Config, Http, Kube, Lease, Limits, Log, Neon, Retry, Schema, Trace};

/// What the machine says of itself, for settings that are left out.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Namespace of the `ServiceAccount` or of the kubeconfig's context.
    pub namespace: Option<String>,
    /// Its name on the network.
    pub hostname: Option<String>,
    /// Something random, drawn for this process.
    pub nonce: u32,
}

/// The settings, from the arguments (the first is the program's name) and the environment.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    env: &BTreeMap<String, String>,
    machine: &Machine,
) -> Result<Config, LoadError> {
    let said = Said::read(&set::TABLE, args, env)?;
    Ok(Config {
        kube: kube(&said, env, machine)?,
        neon: neon(&said)?,
        schema: schema(&said)?,
        lease: lease(&said, env, machine)?,
        http: Http {
            listen: said.need(&set::HTTP_LISTEN)?,
        },
        log: Log {
            format: said.need(&set::LOG_FORMAT)?,
            filter: said.need(&set::LOG_FILTER)?,
        },
        trace: trace(&said)?,
        retry: retry(&said)?,
        limits: Limits {
            concurrency: said.need(&set::CONCURRENCY)?,
            worker_threads: said.need(&set::WORKER_THREADS)?,
            shutdown_grace: said.need(&set::SHUTDOWN_GRACE)?,
        },
    })
}

fn kube(said: &Said, env: &BTreeMap<String, String>, machine: &Machine) -> Result<Kube, LoadError> {
    let namespace = said
        .get(&set::NAMESPACE)?
        .or_else(|| {
            env.get("POD_NAMESPACE")
                .and_then(|n| parse::namespace(n).ok())
        })
        .or_else(|| {
            machine
                .namespace
                .as_deref()
                .and_then(|n| parse::namespace(n).ok())
        });
    Ok(Kube {
        namespace: match namespace {
            Some(namespace) => namespace,
            None => said.need(&set::NAMESPACE)?,
        },
        watch_namespaces: said.need(&set::WATCH_NAMESPACES)?,
        installation_id: said.get(&set::INSTALLATION_ID)?,
        call_deadline: said.need(&set::KUBE_CALL_DEADLINE)?,
        connect_timeout: said.need(&set::KUBE_CONNECT_TIMEOUT)?,
    })
}

fn neon(said: &Said) -> Result<Neon, LoadError> {
    Ok(Neon {
        requests_per_minute: said.need(&set::NEON_REQUESTS_PER_MINUTE)?,
        per_route_per_second: said.need(&set::NEON_PER_ROUTE_PER_SECOND)?,
        call_deadline: said.need(&set::NEON_CALL_DEADLINE)?,
        create_settle_window: said.need(&set::NEON_CREATE_SETTLE_WINDOW)?,
        listing_interval: said.need(&set::NEON_LISTING_INTERVAL)?,
        listing_calls_per_hour: said.need(&set::NEON_LISTING_CALLS_PER_HOUR)?,
    })
}

fn schema(said: &Said) -> Result<Schema, LoadError> {
    Ok(Schema {
        migrations_dir: said.get(&set::MIGRATIONS_DIR)?,
        concurrency: said.need(&set::MIGRATION_CONCURRENCY)?,
        connect_timeout: said.need(&set::MIGRATION_CONNECT_TIMEOUT)?,
        lock_timeout: said.need(&set::MIGRATION_LOCK_TIMEOUT)?,
        statement_timeout: said.need(&set::MIGRATION_STATEMENT_TIMEOUT)?,
    })
}

fn lease(
    said: &Said,
    env: &BTreeMap<String, String>,
    machine: &Machine,
) -> Result<Lease, LoadError> {
    let lease = Lease {
        name: said.need(&set::LEASE_NAME)?,
        identity: said
            .get(&set::LEASE_IDENTITY)?
            .or_else(|| env.get("POD_NAME").and_then(|n| parse::identity(n).ok()))
            .unwrap_or_else(|| machine_identity(machine)),
        duration: said.need(&set::LEASE_DURATION)?,
        renew_deadline: said.need(&set::LEASE_RENEW_DEADLINE)?,
        retry_interval: said.need(&set::LEASE_RETRY_INTERVAL)?,
    };
    let latest_stop = lease.renew_deadline + lease.retry_interval;
    if latest_stop > lease.duration {
        return Err(said.wrong(
            &set::LEASE_RENEW_DEADLINE,
            format!(
                "together with lease-retry-interval ({}) it may be at most lease-duration ({}), so that the holder has stopped before \
                 others may start; write a shorter one or a longer lease-duration",
                show(lease.retry_interval),
                show(lease.duration)
            ),
        ));
    }
    if lease.retry_interval * 2 > lease.renew_deadline {
        return Err(said.wrong(
            &set::LEASE_RETRY_INTERVAL,
            format!(
                "it may be at most half of lease-renew-deadline ({}), so that one lost call does not cost the Lease; write a shorter one",
                show(lease.renew_deadline)
            ),
        ));
    }
    Ok(lease)
}

/// A name that no other process has: machines in containers often share theirs.
fn machine_identity(machine: &Machine) -> String {
    let hostname = machine
        .hostname
        .as_deref()
        .and_then(|name| parse::object_name(&name.to_lowercase()).ok());
    let name = hostname.as_deref().unwrap_or("tenant-controller");
    format!("{name}_{:08x}", machine.nonce)
}

fn trace(said: &Said) -> Result<Option<Trace>, LoadError> {
    let sampling = said.need(&set::OTLP_SAMPLING_RATIO)?;
    Ok(said
        .get(&set::OTLP_ENDPOINT)?
        .map(|endpoint| Trace { endpoint, sampling }))
}

fn retry(said: &Said) -> Result<Retry, LoadError> {
    let retry = Retry {
        backoff_min: said.need(&set::BACKOFF_MIN)?,
        backoff_max: said.need(&set::BACKOFF_MAX)?,
        stalled_interval: said.need(&set::STALLED_RETRY_INTERVAL)?,
        resync_interval: said.need(&set::RESYNC_INTERVAL)?,
    };
    if retry.backoff_min > retry.backoff_max {
        return Err(said.wrong(
            &set::BACKOFF_MAX,
            format!(
                "it may not be shorter than backoff-min ({}); write a longer one",
                show(retry.backoff_min)
            ),
        ));
    }
    Ok(retry)
}
