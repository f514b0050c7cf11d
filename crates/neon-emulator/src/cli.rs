//! Flags and environment variables.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Arg, Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use local_servers::postgres::{self, Server};
use neon_emulator::faults::Fault;
use neon_emulator::{Latency, Limits, RateLimits};

/// The Neon API and its data plane over a plain PostgreSQL server.
#[derive(Debug, Parser)]
#[command(name = "neon-emulator", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve until SIGTERM or SIGINT.
    Serve(Box<Serve>),
}

/// Which PostgreSQL server is under it.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Source {
    /// URI of a superuser of a running PostgreSQL server.
    #[arg(
        long,
        env = neon_emulator::POSTGRES_VARIABLE,
        hide_env_values = true,
        value_name = "URI"
    )]
    pub(crate) postgres: Option<String>,
    /// Run a PostgreSQL server of its own.
    #[arg(long, env = "NEON_EMULATOR_EMBEDDED")]
    pub(crate) embedded: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Database that holds the emulator's state; emulators with different ones can share a server.
    #[arg(
        long,
        env = "NEON_EMULATOR_CONTROL_DATABASE",
        default_value = neon_emulator::DEFAULT_CONTROL_DATABASE,
        value_name = "NAME"
    )]
    pub(crate) control_database: String,
    /// Folder that keeps the embedded server's data; without it, the data goes when the emulator stops.
    #[arg(
        long,
        env = "NEON_EMULATOR_DATA_DIR",
        value_name = "FOLDER",
        conflicts_with = "postgres"
    )]
    pub(crate) data_dir: Option<PathBuf>,
    /// Folder with initdb and postgres; without it, they are looked for on PATH and under /usr/lib/postgresql.
    #[arg(long, env = "NEON_EMULATOR_PG_BIN", value_name = "FOLDER")]
    pub(crate) pg_bin_dir: Option<PathBuf>,
    /// Connections that the embedded server accepts.
    #[arg(
        long,
        env = "NEON_EMULATOR_PG_MAX_CONNECTIONS",
        default_value_t = 300,
        value_name = "NUMBER"
    )]
    pub(crate) pg_max_connections: u32,

    /// Address of the API; port 0 takes a free one.
    #[arg(
        long,
        env = "NEON_EMULATOR_API_LISTEN",
        default_value = "127.0.0.1:0",
        value_name = "ADDRESS"
    )]
    pub(crate) api_listen: SocketAddr,
    /// Address of the data plane; port 0 takes a free one.
    #[arg(
        long,
        env = "NEON_EMULATOR_DATA_LISTEN",
        default_value = "127.0.0.1:0",
        value_name = "ADDRESS"
    )]
    pub(crate) data_listen: SocketAddr,
    /// Port in connection URIs, where it is not the one that the data plane listens on.
    #[arg(long, env = "NEON_EMULATOR_ADVERTISED_DATA_PORT", value_name = "PORT")]
    pub(crate) advertised_data_port: Option<u16>,
    /// Host in connection URIs, such as {endpoint}.localhost; without it 127.0.0.1, and the endpoint as an option.
    #[arg(long, env = "NEON_EMULATOR_HOST_TEMPLATE", value_name = "TEMPLATE")]
    pub(crate) host_template: Option<String>,
    /// API key that is accepted; may be given several times (comma-separated in the variable).
    #[arg(
        long,
        env = "NEON_EMULATOR_API_KEY",
        hide_env_values = true,
        value_delimiter = ',',
        required = true,
        value_name = "KEY"
    )]
    pub(crate) api_key: Vec<String>,
    /// File to write the certificate of the data plane's authority to (PEM).
    #[arg(long, env = "NEON_EMULATOR_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// File to write once everything is served: JSON with `api_url`, `admin_url`, `data_host`, `data_port`, `ca_file`, `pid`.
    #[arg(long, env = "NEON_EMULATOR_READY_FILE", value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,

    /// How long things take: at once, or as with the real service. Each time can be set by itself.
    #[arg(
        long,
        env = "NEON_EMULATOR_PRESET",
        value_enum,
        default_value = "instant"
    )]
    pub(crate) preset: Preset,
    /// Least time of a call, in milliseconds.
    #[arg(long, env = "NEON_EMULATOR_CALL_MIN_MS", value_name = "MS")]
    pub(crate) call_min_ms: Option<u64>,
    /// Most time of a call, in milliseconds.
    #[arg(long, env = "NEON_EMULATOR_CALL_MAX_MS", value_name = "MS")]
    pub(crate) call_max_ms: Option<u64>,
    /// Time to make a new project's storage, in milliseconds.
    #[arg(long, env = "NEON_EMULATOR_CREATE_TIMELINE_MS", value_name = "MS")]
    pub(crate) create_timeline_ms: Option<u64>,
    /// Time to start a new project's compute, in milliseconds.
    #[arg(long, env = "NEON_EMULATOR_START_COMPUTE_MS", value_name = "MS")]
    pub(crate) start_compute_ms: Option<u64>,
    /// Time to bring settings or a password into a compute, in milliseconds.
    #[arg(long, env = "NEON_EMULATOR_APPLY_CONFIG_MS", value_name = "MS")]
    pub(crate) apply_config_ms: Option<u64>,
    /// Time to suspend a compute, in milliseconds.
    #[arg(long, env = "NEON_EMULATOR_SUSPEND_COMPUTE_MS", value_name = "MS")]
    pub(crate) suspend_compute_ms: Option<u64>,
    /// Time that a connection waits for a compute that sleeps, in milliseconds.
    #[arg(long, env = "NEON_EMULATOR_COLD_START_MS", value_name = "MS")]
    pub(crate) cold_start_ms: Option<u64>,

    /// Most projects that are not deleted; more are refused with 422.
    #[arg(long, env = "NEON_EMULATOR_PROJECTS_MAX", value_name = "NUMBER")]
    pub(crate) projects_max: Option<u32>,
    /// Most branches of a project; more are refused with 422.
    #[arg(long, env = "NEON_EMULATOR_BRANCHES_MAX", value_name = "NUMBER")]
    pub(crate) branches_max: Option<u32>,
    /// Most calls of the account in any 60 seconds; more are refused with 429. The service answers 700.
    #[arg(
        long,
        env = "NEON_EMULATOR_CALLS_PER_MINUTE_MAX",
        value_name = "NUMBER"
    )]
    pub(crate) calls_per_minute_max: Option<u32>,
    /// Most calls of one route in any second; more are refused with 429. The service answers 40.
    #[arg(
        long,
        env = "NEON_EMULATOR_ROUTE_CALLS_PER_SECOND_MAX",
        value_name = "NUMBER"
    )]
    pub(crate) route_calls_per_second_max: Option<u32>,
    /// Most questions about consumption in any 60 seconds; more are refused with 429. The service answers about 30.
    #[arg(
        long,
        env = "NEON_EMULATOR_CONSUMPTION_CALLS_PER_MINUTE_MAX",
        value_name = "NUMBER"
    )]
    pub(crate) consumption_calls_per_minute_max: Option<u32>,
    /// Most connections of the data plane at one time.
    #[arg(
        long,
        env = "NEON_EMULATOR_DATA_CONNECTIONS_MAX",
        value_name = "NUMBER"
    )]
    pub(crate) data_connections_max: Option<u32>,
    /// How long a connection waits for its compute to start, in milliseconds.
    #[arg(long, env = "NEON_EMULATOR_COMPUTE_WAIT_MS", value_name = "MS")]
    pub(crate) compute_wait_ms: Option<u64>,
    /// How long a deleted project can be recovered, in seconds.
    #[arg(
        long,
        env = "NEON_EMULATOR_RECOVERABLE_SECONDS",
        value_name = "SECONDS"
    )]
    pub(crate) recoverable_seconds: Option<u64>,

    /// Databases to make before the emulator is ready, so that first connections need not (for benchmarks).
    #[arg(
        long,
        env = "NEON_EMULATOR_SPARE_DATABASES",
        default_value_t = 0,
        value_name = "NUMBER"
    )]
    pub(crate) spare_databases: u32,

    /// The API's own document (OpenAPI, YAML or JSON), to hold every call against; `GET /_emulator/violations` tells what did not fit.
    #[arg(long, env = neon_emulator::openapi::DOCUMENT_VARIABLE, value_name = "FILE")]
    pub(crate) document: Option<PathBuf>,

    /// A fault, armed from the start: ROUTE:EFFECT[:KEY=VALUE]...; may be given several times.
    ///
    /// ROUTE is an operation of the API (createProject), * for all, account, or data-plane. EFFECT is a status (429, 423, 503),
    /// 524-html, delay, answer-lost, work-late, operation-fails, operation-errors, unavailable, refuse-connections,
    /// does-not-wake or cut-connection. Keys: times, skip, p, project; retry-after (s), ms, error, first, after; per-minute and
    /// for (ms) with account:429. For example createProject:answer-lost:times=1, *:503:p=0.05 or account:429:for=5000.
    #[arg(
        long,
        env = "NEON_EMULATOR_FAULT",
        value_delimiter = ',',
        value_name = "SPEC"
    )]
    pub(crate) fault: Vec<Fault>,
    /// Seed of the faults' dice and of the times of calls.
    #[arg(
        long,
        env = "NEON_EMULATOR_SEED",
        default_value_t = 0,
        value_name = "NUMBER"
    )]
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Preset {
    /// Nothing takes time.
    Instant,
    /// A call takes 50 to 150 ms, a new project is ready after about a second.
    Neon,
}

/// What every variable of ours starts with.
const PREFIX: &str = "NEON_EMULATOR_";

impl Serve {
    /// What no flag by itself can be refused for: times that do not fit together, and variables that bear no setting's name.
    pub(crate) fn check(&self, variables: impl Iterator<Item = String>) -> Result<(), String> {
        let Latency {
            call_min_ms,
            call_max_ms,
            ..
        } = self.latency();
        if call_min_ms > call_max_ms {
            return Err(format!(
                "--call-min-ms is {call_min_ms} and --call-max-ms {call_max_ms}: write the least first, and no more than the most"
            ));
        }
        let mut command = Cli::command();
        command.build();
        let known: Vec<&OsStr> = command
            .get_subcommands()
            .flat_map(clap::Command::get_arguments)
            .filter_map(Arg::get_env)
            .collect();
        let unknown = variables
            .filter(|name| name.starts_with(PREFIX) && !known.contains(&OsStr::new(name)))
            // Kubernetes sets these for a Service whose name starts like the program's.
            .find(|name| !name.contains("_SERVICE_") && !name.contains("_PORT_") && !name.ends_with("_PORT"));
        match unknown {
            Some(name) => Err(format!(
                "there is no setting {name}; take it out of the environment, or see --help for the names"
            )),
            None => Ok(()),
        }
    }

    pub(crate) fn latency(&self) -> Latency {
        let preset = match self.preset {
            Preset::Instant => Latency::instant(),
            Preset::Neon => Latency::neon(),
        };
        Latency {
            call_min_ms: self.call_min_ms.unwrap_or(preset.call_min_ms),
            call_max_ms: self.call_max_ms.unwrap_or(preset.call_max_ms),
            create_timeline_ms: self.create_timeline_ms.unwrap_or(preset.create_timeline_ms),
            start_compute_ms: self.start_compute_ms.unwrap_or(preset.start_compute_ms),
            apply_config_ms: self.apply_config_ms.unwrap_or(preset.apply_config_ms),
            suspend_compute_ms: self.suspend_compute_ms.unwrap_or(preset.suspend_compute_ms),
            cold_start_ms: self.cold_start_ms.unwrap_or(preset.cold_start_ms),
        }
    }

    /// The server of its own.
    pub(crate) fn server(&self) -> postgres::Builder {
        let mut builder = Server::builder().max_connections(self.pg_max_connections);
        if let Some(folder) = &self.pg_bin_dir {
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
            projects: self.projects_max.or(default.projects),
            branches_per_project: self.branches_max.or(default.branches_per_project),
            data_connections: self
                .data_connections_max
                .unwrap_or(default.data_connections),
            compute_wait_ms: self.compute_wait_ms.unwrap_or(default.compute_wait_ms),
            recoverable_seconds: self
                .recoverable_seconds
                .unwrap_or(default.recoverable_seconds),
            rate: RateLimits {
                account_per_minute: self.calls_per_minute_max,
                route_per_second: self.route_calls_per_second_max,
                consumption_per_minute: self.consumption_calls_per_minute_max,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(flags: &[&str], variables: &[&str]) -> Result<(), String> {
        let flags = ["neon-emulator", "serve", "--embedded", "--api-key=k"]
            .iter()
            .chain(flags);
        let Cli {
            command: Command::Serve(serve),
        } = Cli::try_parse_from(flags).expect("flags");
        serve.check(variables.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn a_variable_without_a_setting_is_refused() {
        let told = check(&[], &["NEON_EMULATOR_SED"]).expect_err("refused");
        assert!(
            told.contains("NEON_EMULATOR_SED") && told.contains("--help"),
            "{told}"
        );
        let fine = [
            "NEON_EMULATOR_SEED",
            "NEON_EMULATOR_SERVICE_HOST",
            "NEON_EMULATOR_PORT_80_TCP",
            "HOME",
        ];
        assert_eq!(check(&[], &fine), Ok(()));
    }

    #[test]
    fn the_least_time_of_a_call_is_no_more_than_the_most() {
        assert!(check(&["--call-min-ms=500", "--call-max-ms=100"], &[]).is_err());
        // Against the preset's most.
        assert!(check(&["--preset=neon", "--call-min-ms=500"], &[]).is_err());
        assert_eq!(check(&["--call-min-ms=5", "--call-max-ms=5"], &[]), Ok(()));
    }

    #[test]
    fn a_fault_of_an_operation_that_is_not_there_is_refused() {
        let flags = [
            "neon-emulator",
            "serve",
            "--embedded",
            "--api-key=k",
            "--fault=createProjct:503",
        ];
        let told = Cli::try_parse_from(flags).expect_err("refused").to_string();
        assert!(
            told.contains("unknown operation createProjct"),
            "{told}"
        );
    }
}
