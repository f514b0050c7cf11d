//! From single values to the whole: values that have to fit together are compared here.

use std::collections::BTreeMap;
use std::ffi::OsString;

use llm::{EmbeddingModel, EndpointConfig, LocalConfig, ModelsConfig, Quota};
use service_kit::settings::parse::show;
use service_kit::settings::{AnySetting, LoadError, Said};
use service_kit::telemetry::{Log, Trace};

use super::settings as set;
use super::settings::{SignInMode, TABLE};
use super::{
    Buckets, Config, Database, Http, Limits, Objects, Oidc, Plan, Process, Rates, Sessions, SignIn,
    Tenants, Work,
};
use crate::tenants::PoolLimits;

/// The commands, with what the help says of each.
const SERVE: (&str, &str) = (
    "serve",
    "Serve the pages, and do jobs unless --workers is 0",
);
const WORKER: (&str, &str) = ("worker", "Do jobs of ingestion, without pages");
const MIGRATE: (&str, &str) = (
    "migrate",
    "Bring the main database to this version's schema, and end; it needs the database's settings alone",
);

/// What to do and the settings, from the arguments (the first is the program's name) and the environment.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    env: &BTreeMap<String, String>,
) -> Result<(Process, Work), LoadError> {
    let commands =
        [SERVE, WORKER, MIGRATE].map(|(name, about)| TABLE.command().name(name).about(about));
    let matches = clap::Command::new(TABLE.program)
        .version(TABLE.version)
        .about(TABLE.about)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(commands)
        .try_get_matches_from(args)?;
    let Some((command, flags)) = matches.subcommand() else {
        return Err(no_command());
    };
    let said = Said::of(&TABLE, flags, env)?;
    let work = match command {
        name if name == MIGRATE.0 => Work::Migrate(database(&said)?),
        name if name == WORKER.0 => Work::Worker(Box::new(config(&said)?)),
        name if name == SERVE.0 => Work::Serve(Box::new(config(&said)?)),
        _ => return Err(no_command()),
    };
    Ok((process(&said)?, work))
}

/// clap has seen to it that there is one, and one of these.
fn no_command() -> LoadError {
    LoadError::CommandLine(clap::Error::new(clap::error::ErrorKind::MissingSubcommand))
}

fn process(said: &Said) -> Result<Process, LoadError> {
    Ok(Process {
        log: Log {
            format: said.need(&set::LOG_FORMAT)?,
            filter: said.need(&set::LOG_FILTER)?,
        },
        trace: trace(said)?,
        worker_threads: said.need(&set::WORKER_THREADS)?,
    })
}

fn database(said: &Said) -> Result<Database, LoadError> {
    Ok(Database {
        url: said.need(&set::DATABASE_URL)?,
        connections_max: said.need(&set::DATABASE_CONNECTIONS_MAX)?,
        acquire_timeout: said.need(&set::DATABASE_ACQUIRE_TIMEOUT)?,
        migration_lock_timeout: said.need(&set::MIGRATION_LOCK_TIMEOUT)?,
    })
}

fn config(said: &Said) -> Result<Config, LoadError> {
    let mut needed: Vec<&dyn AnySetting> = vec![&set::PUBLIC_URL, &set::DATABASE_URL, &set::BUCKET];
    if said.need(&set::SIGN_IN)? == SignInMode::Oidc {
        needed.push(&set::OIDC_CLIENT_ID);
    }
    said.all_given(&needed)?;
    let http = http(said)?;
    Ok(Config {
        sign_in: sign_in(said, &http)?,
        http,
        database: database(said)?,
        tenants: Tenants {
            namespace: said.need(&set::TENANTS_NAMESPACE)?,
            classes: said.need(&set::TENANT_CLASSES)?,
            regions: said.need(&set::TENANT_REGIONS)?,
        },
        pools: pools(said)?,
        objects: objects(said)?,
        models: models(said)?,
        plan: Plan {
            upload_bytes_max: said.need(&set::UPLOAD_BYTES_MAX)?,
            documents_max: said.need(&set::DOCUMENTS_MAX)?.get(),
            workspaces_per_user_max: said.need(&set::WORKSPACES_PER_USER_MAX)?.get(),
            members_max: said.need(&set::MEMBERS_MAX)?.get(),
        },
        sessions: sessions(said)?,
        limits: Limits {
            redis_url: said.get(&set::REDIS_URL)?,
            rates: rates(said)?,
        },
        workers: said.need(&set::WORKERS)?,
        shutdown_grace: said.need(&set::SHUTDOWN_GRACE)?,
    })
}

fn http(said: &Said) -> Result<Http, LoadError> {
    Ok(Http {
        listen: said.need(&set::HTTP_LISTEN)?,
        operations_listen: said.need(&set::OPERATIONS_LISTEN)?,
        public_url: said.need(&set::PUBLIC_URL)?,
        trusted_proxies: said.need(&set::TRUSTED_PROXIES)?,
        forwarded_header: said.need(&set::FORWARDED_HEADER)?,
        request_timeout: said.need(&set::REQUEST_TIMEOUT)?,
    })
}

fn sign_in(said: &Said, http: &Http) -> Result<SignIn, LoadError> {
    match said.need(&set::SIGN_IN)? {
        SignInMode::Oidc => Ok(SignIn::Oidc(Oidc {
            issuer: said.need(&set::OIDC_ISSUER)?,
            client_id: said.need(&set::OIDC_CLIENT_ID)?,
            client_secret: said.get(&set::OIDC_CLIENT_SECRET)?,
        })),
        SignInMode::Local if !http.listen.ip().is_loopback() => Err(said.wrong(
            &set::SIGN_IN,
            format!(
                "it lets in whoever says a name, so it is for loopback alone; write `oidc`, or let http-listen be a port of 127.0.0.1 and \
                 not {}",
                http.listen
            ),
        )),
        SignInMode::Local if !http.public_url.is_loopback() => Err(said.wrong(
            &set::SIGN_IN,
            format!(
                "it lets in whoever says a name, so it is for loopback alone; write `oidc`, or let public-url be http://127.0.0.1 with its port \
                 and not {}",
                http.public_url
            ),
        )),
        SignInMode::Local => Ok(SignIn::Local),
    }
}

fn pools(said: &Said) -> Result<PoolLimits, LoadError> {
    Ok(PoolLimits {
        max_pools: said.need(&set::TENANT_POOLS_MAX)?.get(),
        max_connections_per_pool: said.need(&set::TENANT_POOL_CONNECTIONS_MAX)?.get(),
        idle_timeout: said.need(&set::TENANT_POOL_IDLE_TIMEOUT)?,
        connect_timeout: said.need(&set::TENANT_CONNECT_TIMEOUT)?,
        acquire_timeout: said.need(&set::TENANT_ACQUIRE_TIMEOUT)?,
        slot_timeout: said.need(&set::TENANT_ROOM_TIMEOUT)?,
        prewarm: said.need(&set::TENANT_WAKE_AHEAD)?,
    })
}

fn objects(said: &Said) -> Result<Objects, LoadError> {
    let by_region = said.need(&set::REGION_BUCKETS)?;
    let regions = by_region.len();
    let by_region: BTreeMap<String, String> = by_region.into_iter().collect();
    if by_region.len() < regions {
        return Err(said.wrong(
            &set::REGION_BUCKETS,
            "a region stands there twice; write each once".to_owned(),
        ));
    }
    Ok(Objects {
        region: said.need(&set::S3_REGION)?,
        endpoint: said.get(&set::S3_ENDPOINT)?,
        public_endpoint: said.get(&set::S3_PUBLIC_ENDPOINT)?,
        path_style: said.need(&set::S3_PATH_STYLE)?,
        buckets: Buckets {
            default: said.need(&set::BUCKET)?,
            by_region,
        },
    })
}

fn models(said: &Said) -> Result<ModelsConfig, LoadError> {
    let local = said.get(&set::LOCAL_MODEL)?.map(LocalConfig::new);
    let api_key = said.get(&set::OPENAI_API_KEY)?;
    if api_key.is_none() && local.is_none() {
        return Err(said.wrong(
            &set::LOCAL_MODEL,
            "something has to embed documents: write --openai-api-key-file FILE, or set OPENAI_API_KEY, or write --local-model DIR".to_owned(),
        ));
    }
    let embeddings = EmbeddingModel::new(
        &said.need(&set::EMBEDDING_MODEL)?,
        said.need(&set::EMBEDDING_DIMENSIONS)?.get(),
    )
    .map_err(|error| said.wrong(&set::EMBEDDING_DIMENSIONS, error.to_string()))?;
    let endpoint = api_key.map(|api_key| {
        Ok::<_, LoadError>(EndpointConfig {
            base_url: said.need(&set::OPENAI_BASE_URL)?,
            api_key: Some(api_key),
            embeddings: Some(embeddings),
            answers: Some(said.need(&set::CHAT_MODEL)?),
            quota: Quota {
                requests_per_minute: said.need(&set::OPENAI_REQUESTS_PER_MINUTE)?.get(),
                tokens_per_minute: said.need(&set::OPENAI_TOKENS_PER_MINUTE)?.get(),
                ..Quota::default()
            },
        })
    });
    Ok(ModelsConfig {
        endpoint: endpoint.transpose()?,
        local,
    })
}

fn sessions(said: &Said) -> Result<Sessions, LoadError> {
    let sessions = Sessions {
        idle: said.need(&set::SESSION_IDLE_TIMEOUT)?,
        absolute: said.need(&set::SESSION_LIFETIME)?,
    };
    if sessions.idle > sessions.absolute {
        return Err(said.wrong(
            &set::SESSION_IDLE_TIMEOUT,
            format!(
                "it may not be longer than session-lifetime ({}); write a shorter one",
                show(sessions.absolute)
            ),
        ));
    }
    Ok(sessions)
}

fn rates(said: &Said) -> Result<Rates, LoadError> {
    Ok(Rates {
        pages: said.need(&set::RATE_PAGES)?,
        changes: said.need(&set::RATE_CHANGES)?,
        searches: said.need(&set::RATE_SEARCHES)?,
        uploads: said.need(&set::RATE_UPLOADS)?,
        questions: said.need(&set::RATE_QUESTIONS)?,
        sign_ins: said.need(&set::RATE_SIGN_INS)?,
        heavy: said.need(&set::RATE_HEAVY)?,
        assets: said.need(&set::RATE_ASSETS)?,
    })
}

fn trace(said: &Said) -> Result<Option<Trace>, LoadError> {
    let sampling = said.need(&set::OTLP_SAMPLING_RATIO)?;
    Ok(said
        .get(&set::OTLP_ENDPOINT)?
        .map(|endpoint| Trace { endpoint, sampling }))
}
