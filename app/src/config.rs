//! The settings of the app: flags, environment variables and the settings file, read once at start.
//!
//! The structs below declare every setting with its help text and default; the crate
//! `service-kit` reads and checks them. Nothing below this module reads the environment.
#![expect(
    clippy::doc_markdown,
    reason = "the doc comments of settings are help texts for the terminal"
)]

mod email;
mod models;
mod objects;
mod public_url;
mod rate;
mod sign_in;
mod tenants;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use service_kit::settings::values as common;
use service_kit::settings::{self, InvalidSetting, List, LoadError, Loaded, Sources};
use service_kit::telemetry::TelemetrySettings;

pub use email::{EmailAddress, EmailDomain, InvalidEmailAddress, InvalidEmailDomain};
pub use models::Models;
pub use objects::Objects;
pub use public_url::{InvalidPublicUrl, PublicUrl};
pub use rate::{Allowance, InvalidRate, Rate};
pub use sign_in::{AuthMode, OidcProvider, SessionLifetimes, SignIn, SignUp};
pub use tenants::{TenantPools, Tenants, WorkspaceQuota};
pub use values::{Buckets, ByteSize, ClassOption, ClassOptions};

/// What the name of every environment variable starts with.
pub const ENV_PREFIX: &str = "CHAT_APP_";

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Gives every workspace a database of its own: sign up, upload PDFs, ask questions about them
#[derive(Debug, clap::Parser)]
#[command(
    name = "chat-app",
    version,
    after_help = "The app finds the cluster as kubectl does (KUBECONFIG, ~/.kube/config), or else through the Pod's ServiceAccount, \
                  and its S3 credentials as any AWS client does."
)]
pub struct CommandLine {
    #[command(subcommand)]
    pub role: Role,
}

/// What the process does.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Role {
    /// Serve the pages, and run jobs unless --workers is 0
    Serve(Box<Config>),
    /// Run jobs without serving pages
    Worker(Box<Config>),
    /// Migrate the main database to this version's schema, and exit
    Migrate(Box<Migrate>),
}

impl Role {
    pub fn telemetry(&self) -> &TelemetrySettings {
        match self {
            Self::Serve(config) | Self::Worker(config) => &config.telemetry,
            Self::Migrate(migrate) => &migrate.telemetry,
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub struct Migrate {
    #[command(flatten)]
    pub database: Database,
    #[command(flatten)]
    pub telemetry: TelemetrySettings,
}

/// Settings of `serve` and `worker`.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    #[command(flatten)]
    pub http: Http,
    #[command(flatten)]
    pub database: Database,
    #[command(flatten)]
    pub tenants: Tenants,
    #[command(flatten)]
    pub quota: WorkspaceQuota,
    #[command(flatten)]
    pub pools: TenantPools,
    #[command(flatten)]
    pub objects: Objects,
    #[command(flatten)]
    pub models: Models,
    #[command(flatten)]
    pub sign_in: SignIn,
    #[command(flatten)]
    pub rate_limits: RateLimits,
    #[command(flatten)]
    pub process: Process,
    #[command(flatten)]
    pub telemetry: TelemetrySettings,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "HTTP")]
pub struct Http {
    /// Address that serves the pages. With port 0, the system chooses a free port, which is logged as
    /// http.address
    #[arg(long = "http-listen", value_name = "ADDRESS", default_value = "127.0.0.1:8000", value_parser = common::socket_address)]
    pub listen: SocketAddr,
    /// Address of /livez, /readyz and /metrics. With port 0, the system chooses a free port, which is
    /// logged as operations.address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081", value_parser = common::socket_address)]
    pub operations_listen: SocketAddr,
    /// Scheme, host and port that browsers use: https, or http on the loopback interface
    #[arg(long, value_name = "URL")]
    pub public_url: PublicUrl,
    /// Networks of proxies that may set the client's address, as CIDRs separated by commas, or `none`.
    /// Behind a proxy that is not among them, all clients without a session share one rate limit
    #[arg(long, value_name = "CIDRS", default_value = "", value_parser = values::networks)]
    pub trusted_proxies: List<IpNet>,
    /// Header in which these proxies send the client's address. The app ignores the other header, because
    /// clients could set it themselves
    #[arg(long, value_enum, default_value = "x-forwarded-for")]
    pub forwarded_header: ForwardedHeader,
    /// Timeout for a request, except for event streams, from 1s to 5m
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = common::duration(SECOND..=5 * MINUTE))]
    pub request_timeout: Duration,
}

/// The header in which proxies send the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ForwardedHeader {
    #[value(name = "x-forwarded-for")]
    XForwardedFor,
    /// RFC 7239.
    #[value(name = "forwarded")]
    Forwarded,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Main database")]
pub struct Database {
    /// the URL of the app's own PostgreSQL database, such as postgres://user:password@host/name
    #[arg(id = "database-url", long = "database-url", hide = true, env = "DATABASE_URL", value_parser = values::database_url)]
    pub url: SecretString,
    /// Maximum number of connections of this process, from 2 to 1000. Some of them are reserved for jobs
    #[arg(id = "max-database-connections", long = "max-database-connections", value_name = "CONNECTIONS", default_value = "20", value_parser = common::number::<NonZeroU32>(2..=1000))]
    pub max_connections: NonZeroU32,
}

/// Each limit is for a signed-in user and, after the comma, for the requests without a session from one
/// client address, which many people can share.
#[derive(Clone, Debug, clap::Args)]
#[command(
    next_help_heading = "Rate limits, as USER,ADDRESS: for each signed-in user, and for all clients without a session at one address"
)]
pub struct RateLimits {
    /// the URL of a Redis server in which replicas share their rate limits; without it, each process
    /// counts separately
    #[arg(long, hide = true, env = "REDIS_URL", value_parser = values::redis_url)]
    pub redis_url: Option<SecretString>,
    /// Pages, fragments and streams
    #[arg(
        long = "rate-limit-reads",
        value_name = "RATES",
        default_value = "240/1m,1200/1m"
    )]
    pub reads: Allowance,
    /// Forms that change something
    #[arg(
        long = "rate-limit-writes",
        value_name = "RATES",
        default_value = "60/1m,300/1m"
    )]
    pub writes: Allowance,
    /// Searches
    #[arg(
        long = "rate-limit-searches",
        value_name = "RATES",
        default_value = "60/1m,300/1m"
    )]
    pub searches: Allowance,
    /// Uploads; each takes two requests, and one more for each retry
    #[arg(
        long = "rate-limit-uploads",
        value_name = "RATES",
        default_value = "60/1m,300/1m"
    )]
    pub uploads: Allowance,
    /// Questions
    #[arg(
        long = "rate-limit-questions",
        value_name = "RATES",
        default_value = "20/1m,100/1m"
    )]
    pub questions: Allowance,
    /// Sign-ins; each takes two requests
    #[arg(
        long = "rate-limit-sign-ins",
        value_name = "RATES",
        default_value = "20/1m,60/1m"
    )]
    pub sign_ins: Allowance,
    /// New workspaces, deletions and exports
    #[arg(
        long = "rate-limit-expensive",
        value_name = "RATES",
        default_value = "10/1m,60/1m"
    )]
    pub expensive: Allowance,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Process")]
pub struct Process {
    /// Number of long jobs, such as the ingestion of a document, that this process runs concurrently, from
    /// 0 to 64. One workspace can have one less, so that others do not wait for it. One short job can run
    /// beside them. With 0, only processes started with `worker` run jobs
    #[arg(long, value_name = "JOBS", default_value = "3", value_parser = common::number::<usize>(0..=64))]
    pub workers: usize,
    /// How long the app lets running requests and jobs finish after SIGTERM, from 0s to 10m. Must be
    /// shorter than the Pod's terminationGracePeriodSeconds
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = common::duration(Duration::ZERO..=10 * MINUTE))]
    pub shutdown_grace: Duration,
}

/// Reads the settings. The first argument is the program's name.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    env: &BTreeMap<String, String>,
) -> Result<Role, LoadError> {
    let loaded: Loaded<CommandLine> = settings::load(&Sources {
        args: args.into_iter().collect(),
        env,
        env_prefix: ENV_PREFIX,
        fallbacks: BTreeMap::new(),
        required: |value| match value("auth-mode").as_deref() {
            Some("oidc") => vec!["oidc-client-id"],
            _ => Vec::new(),
        },
    })?;
    let invalid = match &loaded.settings.role {
        Role::Serve(config) | Role::Worker(config) => contradictions(&loaded, config),
        Role::Migrate(_) => Vec::new(),
    };
    Ok(loaded.checked(invalid)?.role)
}

/// Values that are valid on their own but not together.
fn contradictions(loaded: &Loaded<CommandLine>, config: &Config) -> Vec<InvalidSetting> {
    let Config {
        http,
        models,
        sign_in,
        ..
    } = config;
    let mut invalid = Vec::new();
    let not_loopback = if !http.listen.ip().is_loopback() {
        Some(format!(
            "set http-listen to a port of 127.0.0.1 (got {})",
            http.listen
        ))
    } else if !http.public_url.is_loopback() {
        Some(format!(
            "set public-url to http://127.0.0.1 with its port (got {})",
            http.public_url
        ))
    } else {
        None
    };
    if let (AuthMode::Local, Some(advice)) = (sign_in.auth_mode, not_loopback) {
        invalid.push(loaded.invalid(
            "auth-mode",
            format!("anyone can sign in by entering a name, so `local` is allowed on the loopback interface only; use `oidc`, or {advice}"),
        ));
    }
    if models.openai_api_key.is_none() && models.local_model.is_none() {
        invalid.push(loaded.invalid(
            "local-model",
            "documents need an embedding model; pass --openai-api-key-file FILE, set OPENAI_API_KEY, or pass --local-model DIR",
        ));
    }
    if let Err(error) = models.config() {
        invalid.push(loaded.invalid("embedding-dimensions", error.to_string()));
    }
    let domains = &sign_in.allowed_email_domains.0;
    if sign_in.auth_mode == AuthMode::Local && !domains.is_empty() {
        invalid.push(loaded.invalid(
            "allowed-email-domains",
            "users who sign in by entering a name have no e-mail address; remove this setting, or set auth-mode to `oidc`",
        ));
    }
    let excluded = |owner: &&EmailAddress| !domains.is_empty() && !domains.contains(owner.domain());
    if let Some(owner) = sign_in.first_owners.0.iter().find(excluded) {
        invalid.push(loaded.invalid(
            "first-owners",
            format!(
                "allowed-email-domains must contain the domain of every first owner; add {}, or remove {owner}",
                owner.domain()
            ),
        ));
    }
    if sign_in.session_idle_timeout > sign_in.session_lifetime {
        invalid.push(loaded.invalid(
            "session-idle-timeout",
            format!(
                "must be at most session-lifetime ({}); shorten it",
                common::format_duration(sign_in.session_lifetime)
            ),
        ));
    }
    invalid
}
