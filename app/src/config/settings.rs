//! The table of settings: the name, what it is for, its unit and bounds, its default. Flags, variables, keys of the file and the help text
//! all come from here.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use openidconnect::IssuerUrl;
use secrecy::SecretString;
use service_kit::settings::{LogFilter, LogFormat, Ratio, Table, parse};
use url::Url;

use super::rate::Allowance;
use super::{Choice, ForwardedHeader, PublicUrl};

mod values;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// The app's settings.
pub(super) const TABLE: Table = Table {
    program: "chat-app",
    version: env!("CARGO_PKG_VERSION"),
    about: "Workspaces with a database each: sign up, bring your PDFs, ask them.",
    after: "The cluster is found as kubectl finds it (KUBECONFIG, ~/.kube/config), else from the Pod's ServiceAccount; keys for S3 as \
            any AWS client finds them.",
    env_prefix: "CHAT_APP_",
    all: ALL,
};

/// How people sign in, by its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignInMode {
    Oidc,
    Local,
}

service_kit::settings! {
    "Pages" {
        HTTP_LISTEN: SocketAddr = "http-listen", "ADDRESS", Some("127.0.0.1:8000"),
            "Address of the pages. Port 0 takes a free one and logs it as http.address",
            parse::address;
        PUBLIC_URL: PublicUrl = "public-url", "URL", None,
            "Scheme, host and port that browsers use: https, or http on this machine",
            values::public_url;
        TRUSTED_PROXIES: Vec<IpNet> = "trusted-proxies", "CIDRS", Some(""),
            "Networks of proxies whose word about the client's address is believed, with commas between. Empty: nobody's",
            values::networks;
        FORWARDED_HEADER: ForwardedHeader = "forwarded-header", "HEADER", Some("x-forwarded-for"),
            "Where these proxies write it: x-forwarded-for or forwarded. The other is not looked at, for clients may write it themselves",
            values::forwarded_header;
        REQUEST_TIMEOUT: Duration = "request-timeout", "DURATION", Some("30s"),
            "Limit on answering a request that is no stream, 1s to 5m",
            |text| parse::duration(text, SECOND, 5 * MINUTE);
    }
    "Main database" {
        DATABASE_URL: SecretString = "database-url", "URL", None,
            "where the app's own database is and how to get in, such as postgres://user:password@host/name",
            values::database_url, secret "DATABASE_URL";
        DATABASE_CONNECTIONS_MAX: NonZeroU32 = "database-connections-max", "CONNECTIONS", Some("20"),
            "Connections of this process at most, 2 to 1000; jobs have some of their own",
            |text| values::between(text, 2, 1000);
        DATABASE_ACQUIRE_TIMEOUT: Duration = "database-acquire-timeout", "DURATION", Some("5s"),
            "Limit on getting one of them, 100ms to 1m",
            |text| parse::duration(text, 100 * MS, MINUTE);
        MIGRATION_LOCK_TIMEOUT: Duration = "migration-lock-timeout", "DURATION", Some("1m"),
            "Limit on waiting for another process that migrates, 1s to 1h",
            |text| parse::duration(text, SECOND, HOUR);
    }
    "Workspaces" {
        TENANTS_NAMESPACE: String = "tenants-namespace", "NAME", Some("chat-tenants"),
            "The namespace of the app's Tenants and of nothing else",
            parse::namespace;
        TENANT_CLASSES: Vec<Choice> = "tenant-classes", "CLASSES", Some("default=Standard"),
            "Classes that a new workspace may have, as name=What people read, with commas between; the first is taken where nothing is chosen",
            |text| values::choices(text, 1);
        TENANT_REGIONS: Vec<Choice> = "tenant-regions", "REGIONS", Some(""),
            "Regions that it may have, written alike. Empty: its class decides",
            |text| values::choices(text, 0);
        UPLOAD_BYTES_MAX: u64 = "upload-bytes-max", "BYTES", Some("25MB"),
            "Longest file, 1KB to 1GB",
            |text| values::bytes(text, 1_000, 1_000_000_000);
        DOCUMENTS_MAX: NonZeroU32 = "documents-max", "DOCUMENTS", Some("20"),
            "Documents of a workspace at most, 1 to 10000",
            |text| parse::count(text, 10_000);
        WORKSPACES_PER_USER_MAX: NonZeroU32 = "workspaces-per-user-max", "WORKSPACES", Some("5"),
            "Workspaces that one user may own, 1 to 1000",
            |text| parse::count(text, 1000);
        MEMBERS_MAX: NonZeroU32 = "members-max", "MEMBERS", Some("50"),
            "Members of a workspace at most, 1 to 10000",
            |text| parse::count(text, 10_000);
    }
    "Databases of tenants" {
        TENANT_POOLS_MAX: NonZeroUsize = "tenant-pools-max", "POOLS", Some("100"),
            "Tenants' databases that this process has open at once, 1 to 10000; the one that was idle longest gives way",
            |text| parse::size(text, 10_000);
        TENANT_POOL_CONNECTIONS_MAX: NonZeroU32 = "tenant-pool-connections-max", "CONNECTIONS", Some("4"),
            "Connections to each of them at most, 1 to 100",
            |text| parse::count(text, 100);
        TENANT_POOL_IDLE_TIMEOUT: Duration = "tenant-pool-idle-timeout", "DURATION", Some("1m"),
            "How long one stays open that nobody uses, 1s to 1h; a compute sleeps only when nobody is connected",
            |text| parse::duration(text, SECOND, HOUR);
        TENANT_CONNECT_TIMEOUT: Duration = "tenant-connect-timeout", "DURATION", Some("15s"),
            "Limit on opening one, 100ms to 5m; a compute that sleeps has to wake within it",
            |text| parse::duration(text, 100 * MS, 5 * MINUTE);
        TENANT_ACQUIRE_TIMEOUT: Duration = "tenant-acquire-timeout", "DURATION", Some("10s"),
            "Limit on getting a connection of one that is open, 100ms to 5m",
            |text| parse::duration(text, 100 * MS, 5 * MINUTE);
        TENANT_ROOM_TIMEOUT: Duration = "tenant-room-timeout", "DURATION", Some("5s"),
            "Limit on waiting for room while all are in use, 0s to 1m",
            |text| parse::duration(text, Duration::ZERO, MINUTE);
        TENANT_WAKE_AHEAD: bool = "tenant-wake-ahead", "BOOL", Some("true"),
            "Whether opening a workspace's page wakes its database, so that the first question does not wait: true or false",
            values::yes_or_no;
    }
    "Files" {
        BUCKET: String = "bucket", "NAME", None,
            "The bucket of workspaces whose region has none of its own",
            values::bucket;
        REGION_BUCKETS: Vec<(String, String)> = "region-buckets", "BUCKETS", Some(""),
            "Buckets of regions, as region=bucket, with commas between: files lie where the workspace's database does",
            values::region_buckets;
        S3_REGION: String = "s3-region", "REGION", Some("us-east-1"),
            "The region that requests are signed for",
            values::word;
        S3_ENDPOINT: Url = "s3-endpoint", "URL", None,
            "Where this process reaches the S3 server. Left out: AWS",
            parse::http_url;
        S3_PUBLIC_ENDPOINT: Url = "s3-public-endpoint", "URL", None,
            "Where browsers reach it. Left out: the same",
            parse::http_url;
        S3_PATH_STYLE: bool = "s3-path-style", "BOOL", Some("false"),
            "Whether the bucket stands in the path and not in the host: true or false",
            values::yes_or_no;
    }
    "Models" {
        OPENAI_BASE_URL: Url = "openai-base-url", "URL", Some("https://api.openai.com/v1"),
            "Base URL of the endpoint that embeds and answers; any that speaks as OpenAI's does",
            parse::http_url;
        OPENAI_API_KEY: SecretString = "openai-api-key", "KEY", None,
            "the endpoint's key. Left out: the local model embeds, and answers are extracts",
            values::secret, secret "OPENAI_API_KEY";
        CHAT_MODEL: String = "chat-model", "MODEL", Some("gpt-4o-mini"),
            "The model that answers",
            values::word;
        EMBEDDING_MODEL: String = "embedding-model", "MODEL", Some("text-embedding-3-small"),
            "The model that embeds. A change re-embeds every document in the background",
            values::word;
        EMBEDDING_DIMENSIONS: NonZeroU32 = "embedding-dimensions", "DIMENSIONS", Some("1536"),
            "Length of its vectors, 1 to 4000",
            |text| parse::count(text, 4000);
        OPENAI_REQUESTS_PER_MINUTE: NonZeroU32 = "openai-requests-per-minute", "REQUESTS", Some("1500"),
            "Requests a minute of this process at most, 1 to 1000000",
            |text| parse::count(text, 1_000_000);
        OPENAI_TOKENS_PER_MINUTE: NonZeroU32 = "openai-tokens-per-minute", "TOKENS", Some("500000"),
            "Tokens a minute to embed at most, 1000 to 1000000000",
            |text| values::between(text, 1000, 1_000_000_000);
        LOCAL_MODEL: PathBuf = "local-model", "DIR", None,
            "Directory of a local embedding model: model.safetensors, tokenizer.json and config.json",
            parse::directory;
    }
    "Signing in" {
        SIGN_IN: SignInMode = "sign-in", "HOW", Some("oidc"),
            "oidc: with an OpenID provider. local: by saying a name, for demonstrations on loopback alone",
            values::sign_in_mode;
        OIDC_ISSUER: IssuerUrl = "oidc-issuer", "URL", Some("https://accounts.google.com"),
            "The provider's issuer URL, letter by letter as it writes it: https, or http on this machine",
            values::issuer;
        OIDC_CLIENT_ID: String = "oidc-client-id", "ID", None,
            "The app's name with the provider; its redirect URI there is the public URL with /sign-in/callback",
            values::word;
        OIDC_CLIENT_SECRET: SecretString = "oidc-client-secret", "SECRET", None,
            "the app's password with the provider. Left out: the app is a public client there",
            values::secret, secret "OIDC_CLIENT_SECRET";
        SESSION_IDLE_TIMEOUT: Duration = "session-idle-timeout", "DURATION", Some("168h"),
            "How long a session lasts without a request, 5m to 2160h",
            |text| parse::duration(text, 5 * MINUTE, 90 * DAY);
        SESSION_LIFETIME: Duration = "session-lifetime", "DURATION", Some("720h"),
            "How long a session lasts at all, 5m to 8760h",
            |text| parse::duration(text, 5 * MINUTE, 365 * DAY);
    }
    "Limits" {
        REDIS_URL: SecretString = "redis-url", "URL", None,
            "Redis that replicas count in together. Left out: each process counts for itself",
            values::redis_url, secret "REDIS_URL";
        RATE_PAGES: Allowance = "rate-pages", "RATES", Some("240/1m,1200/1m"),
            "Pages, fragments and streams: of one user, and of one client address, which many users may share",
            values::allowance;
        RATE_CHANGES: Allowance = "rate-changes", "RATES", Some("60/1m,300/1m"),
            "Forms that change something, likewise",
            values::allowance;
        RATE_SEARCHES: Allowance = "rate-searches", "RATES", Some("60/1m,300/1m"),
            "Searches, likewise",
            values::allowance;
        RATE_UPLOADS: Allowance = "rate-uploads", "RATES", Some("60/1m,300/1m"),
            "Uploads, likewise; each is two requests and one for every new try",
            values::allowance;
        RATE_QUESTIONS: Allowance = "rate-questions", "RATES", Some("20/1m,100/1m"),
            "Questions, likewise",
            values::allowance;
        RATE_SIGN_INS: Allowance = "rate-sign-ins", "RATES", Some("20/1m,60/1m"),
            "Steps of signing in, likewise; a sign-in is two",
            values::allowance;
        RATE_HEAVY: Allowance = "rate-heavy", "RATES", Some("10/1m,60/1m"),
            "New workspaces, removals and exports, likewise",
            values::allowance;
        RATE_ASSETS: Allowance = "rate-assets", "RATES", Some("600/1m,3000/1m"),
            "Scripts, styles and fonts, likewise",
            values::allowance;
    }
    "Operation" {
        OPERATIONS_LISTEN: SocketAddr = "operations-listen", "ADDRESS", Some("127.0.0.1:8081"),
            "Address of /livez, /readyz and /metrics. Port 0 takes a free one and logs it as operations.address",
            parse::address;
        WORKERS: usize = "workers", "JOBS", Some("2"),
            "Jobs of ingestion at once in this process, 0 to 64; 0 leaves them to processes started with `worker`",
            |text| values::number(text, 64);
        LOG_FORMAT: LogFormat = "log-format", "FORMAT", Some("json"),
            "Form of log lines: json for machines, pretty for people",
            parse::log_format;
        LOG_FILTER: LogFilter = "log-filter", "DIRECTIVES", Some("info,kube_client=warn,kube_client::client::builder=off,graphile_worker=warn,sqlx::postgres::notice=warn"),
            "Which log lines: a level and target=level, with commas between",
            parse::log_filter;
        OTLP_ENDPOINT: Url = "otlp-endpoint", "URL", None,
            "Where traces go: base URL of an OTLP/HTTP receiver. Left out: none are made",
            parse::http_url;
        OTLP_SAMPLING_RATIO: Ratio = "otlp-sampling-ratio", "RATIO", Some("1"),
            "Share of requests and jobs that are traced, 0 to 1",
            parse::ratio;
        WORKER_THREADS: NonZeroUsize = "worker-threads", "THREADS", Some("2"),
            "Threads that run the app, 1 to 64; PDFs are read in processes of their own",
            |text| parse::size(text, 64);
        SHUTDOWN_GRACE: Duration = "shutdown-grace", "DURATION", Some("20s"),
            "How long requests and jobs may take to finish after SIGTERM, 0s to 10m; less than the Pod's terminationGracePeriodSeconds",
            |text| parse::duration(text, Duration::ZERO, 10 * MINUTE);
    }
}
