//! Flags and environment variables of `neon-emulator serve`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use local_servers::postgres::{self, Server};
use neon_emulator::faults::Fault;
use neon_emulator::{Latency, Limits, Plan, ProxyCaches, RateLimits};
use service_kit::settings::{self, LoadError, Loaded, Sources};

/// The Neon API and its data plane, on top of a PostgreSQL server
#[derive(Debug, Parser)]
#[command(name = "neon-emulator", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve until SIGTERM or SIGINT
    Serve(Box<Serve>),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// URI of a superuser of a running PostgreSQL server
    #[arg(long, value_name = "URI", help_heading = "PostgreSQL")]
    pub(crate) postgres: Option<String>,
    /// Start a PostgreSQL server for this emulator
    #[arg(long, help_heading = "PostgreSQL")]
    pub(crate) embedded: bool,
    /// Database for the emulator's state. Emulators with different databases can share a server
    #[arg(long, value_name = "NAME", default_value = neon_emulator::DEFAULT_CONTROL_DATABASE, help_heading = "PostgreSQL")]
    pub(crate) control_database: String,
    /// Directory for the data of the embedded server; without it, the data is deleted when the emulator
    /// stops
    #[arg(long, value_name = "DIR", help_heading = "PostgreSQL")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Directory with initdb and postgres; without it, the emulator searches PATH and /usr/lib/postgresql
    #[arg(long, value_name = "DIR", help_heading = "PostgreSQL")]
    pub(crate) pg_bin: Option<PathBuf>,
    /// Maximum number of connections to the embedded server
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 300,
        help_heading = "PostgreSQL"
    )]
    pub(crate) pg_max_connections: u32,

    /// Address of the API; with port 0, the system chooses a free port
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0",
        help_heading = "API and data plane"
    )]
    pub(crate) api_listen: SocketAddr,
    /// Address of the data plane; with port 0, the system chooses a free port
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0",
        help_heading = "API and data plane"
    )]
    pub(crate) data_listen: SocketAddr,
    /// Port in connection URIs, if it is not the port of the data plane
    #[arg(long, value_name = "PORT", help_heading = "API and data plane")]
    pub(crate) advertised_data_port: Option<u16>,
    /// Host in connection URIs, such as {endpoint}.localhost; without it, 127.0.0.1 with the endpoint as
    /// a connection option
    #[arg(long, value_name = "TEMPLATE", help_heading = "API and data plane")]
    pub(crate) host_template: Option<String>,
    /// Accepted API key; can be repeated. KEY@ORGANIZATION is the key of an organization, which sees only
    /// its own projects
    #[arg(
        long,
        value_name = "KEY",
        value_delimiter = ',',
        required = true,
        help_heading = "API and data plane"
    )]
    pub(crate) api_key: Vec<String>,
    /// File to which the CA certificate of the data plane is written, in PEM format
    #[arg(long, value_name = "FILE", help_heading = "API and data plane")]
    pub(crate) ca_file: Option<PathBuf>,
    /// JSON file that is written once the emulator is ready, with `api_url`, `admin_url`, `data_host`,
    /// `data_port`, `ca_file` and `pid`
    #[arg(long, value_name = "FILE", help_heading = "API and data plane")]
    pub(crate) ready_file: Option<PathBuf>,

    /// Latency of calls and operations: none, or similar to the real service
    #[arg(long, value_enum, default_value = "instant", help_heading = "Behavior")]
    pub(crate) latency: LatencyPreset,
    /// Time that a connection waits for a suspended compute, in milliseconds
    #[arg(long, value_name = "MS", help_heading = "Behavior")]
    pub(crate) cold_start_ms: Option<u64>,
    /// How long the proxy of the data plane rejects connections to an endpoint or a role that it did not
    /// find, in milliseconds. Neon: 240000
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 0,
        help_heading = "Behavior"
    )]
    pub(crate) negative_cache_ms: u64,
    /// How long the proxy of the data plane repeats a rejection by the control plane, such as an exhausted
    /// quota, in milliseconds. Neon: 30000
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 0,
        help_heading = "Behavior"
    )]
    pub(crate) error_cache_ms: u64,
    /// Choose the SQLSTATEs of the proxy's errors at random, because Neon changes them. Otherwise, all
    /// have XX000
    #[arg(long, help_heading = "Behavior")]
    pub(crate) varying_sqlstates: bool,
    /// Keep the `updated_at` of a project unchanged when one of its computes starts, is used or is
    /// suspended. Neon changes it
    #[arg(long, help_heading = "Behavior")]
    pub(crate) fixed_updated_at: bool,
    /// Plan of the account (free, launch, scale or agent). As in Neon, what it does not allow is rejected
    #[arg(long, value_name = "PLAN", default_value_t, help_heading = "Behavior")]
    pub(crate) plan: Plan,
    /// Maximum number of projects that are not deleted, in addition to the plan's limit; more are rejected with 422
    #[arg(long, value_name = "NUMBER", help_heading = "Behavior")]
    pub(crate) max_projects: Option<u32>,
    /// Maximum number of branches of a project; more are rejected with 422
    #[arg(long, value_name = "NUMBER", help_heading = "Behavior")]
    pub(crate) max_branches: Option<u32>,
    /// Maximum number of API calls in any 60 seconds; more are rejected with 429. Neon allows 700
    #[arg(long, value_name = "NUMBER", help_heading = "Behavior")]
    pub(crate) max_calls_per_minute: Option<u32>,
    /// Maximum number of API calls of one operation in any second; more are rejected with 429. Neon allows 40
    #[arg(long, value_name = "NUMBER", help_heading = "Behavior")]
    pub(crate) max_route_calls_per_second: Option<u32>,
    /// Maximum number of consumption queries in any 60 seconds; more are rejected with 429. Neon allows about 30
    #[arg(long, value_name = "NUMBER", help_heading = "Behavior")]
    pub(crate) max_consumption_calls_per_minute: Option<u32>,
    /// Maximum number of concurrent connections to the data plane
    #[arg(long, value_name = "NUMBER", help_heading = "Behavior")]
    pub(crate) max_data_connections: Option<u32>,
    /// Databases to create before the emulator is ready, so that first connections are fast (for
    /// benchmarks)
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        help_heading = "Behavior"
    )]
    pub(crate) spare_databases: u32,

    /// OpenAPI document of the Neon API (YAML or JSON) to check every call against; violations are listed
    /// by `GET /_emulator/violations`
    #[arg(long, value_name = "FILE", help_heading = "Checks and faults")]
    pub(crate) document: Option<PathBuf>,
    /// Fault that is active from the start: ROUTE:EFFECT[:KEY=VALUE]...; can be repeated
    ///
    /// ROUTE is an operation of the API (createProject), * for all, account, or data-plane. EFFECT is a
    /// status (429, 423, 503), 524-html, delay, answer-lost, work-late, operation-fails,
    /// operation-errors, unavailable, refuse-connections, does-not-wake, unknown-endpoint,
    /// control-plane-fails or cut-connection. Keys: times,
    /// skip, p, project; retry-after (s), ms, error, first, after; per-minute and for (ms) with
    /// account:429. Examples: createProject:answer-lost:times=1, *:503:p=0.05, account:429:for=5000
    #[arg(
        long,
        value_name = "SPEC",
        value_delimiter = ',',
        help_heading = "Checks and faults"
    )]
    pub(crate) fault: Vec<Fault>,
    /// Seed of the random numbers for faults, the duration of calls, and SQLSTATEs
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        help_heading = "Checks and faults"
    )]
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LatencyPreset {
    /// Everything finishes immediately.
    Instant,
    /// A call takes 50 to 150 ms, the operations of a new project take 1.5 s, and its first connection
    /// takes 4 s more.
    Neon,
}

/// Reads the settings. The first argument is the program's name.
pub(crate) fn load(
    args: impl IntoIterator<Item = OsString>,
    env: &BTreeMap<String, String>,
) -> Result<Serve, LoadError> {
    let loaded: Loaded<Cli> = settings::load(&Sources {
        args: args.into_iter().collect(),
        env,
        env_prefix: "NEON_EMULATOR_",
        fallbacks: BTreeMap::new(),
        required: |_| Vec::new(),
    })?;
    let Command::Serve(serve) = &loaded.settings.command;
    let mut invalid = Vec::new();
    match &serve.postgres {
        Some(_) if serve.embedded => invalid.push(loaded.invalid(
            "embedded",
            "cannot be combined with postgres; use one of the two",
        )),
        None if !serve.embedded => {
            invalid.push(loaded.invalid("postgres", "pass --postgres URI or --embedded"));
        }
        Some(_) if serve.data_dir.is_some() => invalid.push(loaded.invalid(
            "data-dir",
            "applies to the embedded server and cannot be combined with postgres",
        )),
        _ => {}
    }
    let Command::Serve(serve) = loaded.checked(invalid)?.command;
    Ok(*serve)
}

impl Serve {
    pub(crate) fn latency(&self) -> Latency {
        let preset = match self.latency {
            LatencyPreset::Instant => Latency::instant(),
            LatencyPreset::Neon => Latency::neon(),
        };
        Latency {
            cold_start_ms: self.cold_start_ms.unwrap_or(preset.cold_start_ms),
            ..preset
        }
    }

    pub(crate) fn proxy_caches(&self) -> ProxyCaches {
        ProxyCaches {
            unknown_ms: self.negative_cache_ms,
            error_ms: self.error_cache_ms,
        }
    }

    pub(crate) fn server(&self) -> postgres::Builder {
        let mut builder = Server::builder().max_connections(self.pg_max_connections);
        if let Some(folder) = &self.pg_bin {
            builder = builder.bin_dir(folder);
        }
        if let Some(folder) = &self.data_dir {
            builder = builder.data_dir(folder);
        }
        builder
    }

    pub(crate) fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            plan: self.plan,
            projects: self.max_projects.or(default.projects),
            branches_per_project: self.max_branches.or(default.branches_per_project),
            data_connections: self
                .max_data_connections
                .unwrap_or(default.data_connections),
            rate: RateLimits {
                account_per_minute: self.max_calls_per_minute,
                route_per_second: self.max_route_calls_per_second,
                consumption_per_minute: self.max_consumption_calls_per_minute,
            },
            ..default
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings that are invalid with these flags and variables.
    fn invalid(flags: &[&str], env: &[(&str, &str)]) -> Vec<String> {
        let args = ["neon-emulator", "serve", "--api-key=k"];
        let args = args.iter().chain(flags).map(OsString::from);
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        match load(args, &env) {
            Ok(_) => Vec::new(),
            Err(LoadError::Invalid(invalid)) => {
                invalid.into_iter().map(|invalid| invalid.setting).collect()
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn one_postgresql_server_is_required() {
        let uri = "--postgres=postgresql://x";
        assert_eq!(invalid(&[], &[]), ["postgres"]);
        assert_eq!(invalid(&[uri, "--embedded"], &[]), ["embedded"]);
        assert_eq!(invalid(&[uri, "--data-dir=/data"], &[]), ["data-dir"]);
        assert!(invalid(&[uri], &[]).is_empty());
        assert!(invalid(&[], &[("NEON_EMULATOR_EMBEDDED", "true")]).is_empty());
    }

    #[test]
    fn unknown_variables_are_rejected() {
        let variables = [("NEON_EMULATOR_SED", "1"), ("HOME", "/root")];
        assert_eq!(invalid(&["--embedded"], &variables), ["sed"]);
    }

    #[test]
    fn a_fault_of_an_unknown_operation_is_rejected() {
        let flags = ["--embedded", "--fault=createProjct:503"];
        assert_eq!(invalid(&flags, &[]), ["fault"]);
        let flags = ["--embedded", "--fault=createProject:503,getProject:503"];
        assert!(invalid(&flags, &[]).is_empty());
    }
}
