//! Compares the data plane with PgBouncer with TLS: runs pgbench through each in turn, on one
//! database of one PostgreSQL server.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use local_servers::process::Supervised;
use neon_client::model::CreateProject;
use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, PgConnection};
use test_support::timeouts;
use url::Url;

use crate::figure::{Figure, Figures};
use crate::neon::Fixture;
use crate::say;

/// The maximum ratio of the emulator's time to PgBouncer's.
const MAX_RATIO: f64 = 1.0;
const CLIENTS: usize = 8;
const THREADS: usize = 2;
/// pgbench's scale factor: each unit has 100,000 accounts.
const SCALE: &str = "10";
/// Added to the duration of a pgbench run for its timeout.
const PGBENCH_MARGIN: Duration = Duration::from_secs(30);
/// From the start until PgBouncer accepts a client.
const PGBOUNCER_START_TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) struct DataPlaneParameters {
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
}

/// A workload of pgbench.
#[derive(Debug, Clone, Copy)]
enum Load {
    /// Reads one row by its key.
    SelectOnly,
    /// A transaction of seven statements with writes.
    TpcbLike,
    /// Like `SelectOnly`, with a new connection for each transaction.
    Connect,
}

impl Load {
    const ALL: [Self; 3] = [Self::SelectOnly, Self::TpcbLike, Self::Connect];

    const fn name(self) -> &'static str {
        match self {
            Self::SelectOnly => "select_only",
            Self::TpcbLike => "tpcb_like",
            Self::Connect => "connect",
        }
    }

    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::SelectOnly => &["--builtin=select-only"],
            Self::TpcbLike => &["--builtin=tpcb-like"],
            Self::Connect => &["--builtin=select-only", "--connect"],
        }
    }
}

/// A server that pgbench connects to.
struct Target {
    uri: String,
    /// Transactions per second, for each load and round.
    rates: [Vec<f64>; Load::ALL.len()],
}

/// Runs all measurements with one emulator and one PgBouncer on the same server.
pub(crate) async fn measure(parameters: &DataPlaneParameters) -> Result<Vec<Figure>> {
    let mut figures = Figures::new("data_plane", parameters.rounds);
    let pgbench = tokio::task::spawn_blocking(installer::pgbench).await??;
    let fixture = Fixture::start().await?;
    let project = CreateProject::named("one");
    let created = fixture.client()?.projects().create(project).send().await?;
    let uri = created
        .connection_uris
        .first()
        .context("the response has no connection URI")?;
    let direct = uri.connection_uri.expose_secret().to_owned();
    let endpoint = created
        .endpoints
        .first()
        .context("the response has no endpoint")?;
    let pooled = direct.replace(endpoint.id.as_str(), &format!("{}-pooler", endpoint.id));
    let (pgbouncer, bouncer) = start_pgbouncer(&fixture, &direct).await?;
    let initialize = ["--initialize", "--quiet", "--scale", SCALE];
    run(&pgbench, &direct, &initialize, PGBENCH_MARGIN).await?;

    let mut targets = [direct, pooled, bouncer].map(|uri| Target {
        uri,
        rates: Default::default(),
    });
    for round in 0..parameters.rounds {
        for load in Load::ALL {
            // Each target comes first equally often.
            for turn in 0..targets.len() {
                let number = (round + turn) % targets.len();
                let rate = rate(&pgbench, &targets[number].uri, load, parameters.seconds).await?;
                targets[number].rates[load as usize].push(rate);
            }
            let last = targets
                .each_ref()
                .map(|target| target.rates[load as usize].last().copied());
            say(&format!("   {} {last:.0?} a second", load.name()));
        }
    }
    pgbouncer.stop().await;
    fixture.stop().await;
    let [direct, pooled, bouncer] = targets;
    for load in Load::ALL {
        // The time to open connections has no budget: the emulator authenticates each connection
        // with PostgreSQL, which PgBouncer does not.
        let budget = (!matches!(load, Load::Connect)).then_some(MAX_RATIO);
        let name = load.name();
        let floor = bouncer.microseconds(load);
        figures.record_with_floor(name, direct.microseconds(load), "us", floor, budget);
        let pooled = pooled.microseconds(load);
        figures.record_with_floor(&format!("{name}_pooled"), pooled, "us", floor, budget);
        let tps = 1e6 / direct.microseconds(load);
        figures.record(&format!("{name}_tps"), tps, "1/s");
        figures.record(&format!("{name}_tps_of_pgbouncer"), 1e6 / floor, "1/s");
    }
    Ok(figures.into_vec())
}

impl Target {
    /// The median time of one transaction over all rounds, in microseconds.
    fn microseconds(&self, load: Load) -> f64 {
        let mut rates = self.rates[load as usize].clone();
        rates.sort_by(f64::total_cmp);
        let upper = rates.get(rates.len() / 2);
        let lower = rates.get(rates.len().saturating_sub(1) / 2);
        let median = upper
            .zip(lower)
            .map(|(upper, lower)| f64::midpoint(*upper, *lower));
        1e6 / median.unwrap_or(f64::NAN)
    }
}

/// Returns the transactions per second of one run.
async fn rate(pgbench: &Path, uri: &str, load: Load, seconds: u64) -> Result<f64> {
    let (clients, threads, time) = (
        format!("--client={CLIENTS}"),
        format!("--jobs={THREADS}"),
        format!("--time={seconds}"),
    );
    let mut arguments = vec!["--no-vacuum", &clients, &threads, &time];
    arguments.extend(load.arguments());
    let limit = Duration::from_secs(seconds) + PGBENCH_MARGIN;
    let output = run(pgbench, uri, &arguments, limit).await?;
    let rate = output
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
    Ok(rate
        .with_context(|| format!("pgbench printed no rate: {output}"))?
        .parse()?)
}

async fn run(pgbench: &Path, uri: &str, arguments: &[&str], limit: Duration) -> Result<String> {
    let mut command = tokio::process::Command::new(pgbench);
    command.args(arguments).arg(uri).kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output())
        .await
        .context("pgbench timed out")??;
    let stderr = String::from_utf8_lossy(&output.stderr);
    // pgbench prints results even if a client was disconnected.
    ensure!(
        output.status.success() && !stderr.contains("aborted"),
        "pgbench exited with {}: {stderr}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Starts PgBouncer for the database behind a URI, with the same user and password. Returns its
/// URI.
async fn start_pgbouncer(fixture: &Fixture, through: &str) -> Result<(Supervised, String)> {
    let program = tokio::task::spawn_blocking(installer::pgbouncer).await??;
    let mut connection = PgConnection::connect(through).await?;
    let real = "SELECT current_user::text, current_database()::text";
    let (user, database): (String, String) =
        sqlx::query_as(real).fetch_one(&mut connection).await?;
    connection.close().await?;
    let mut uri = Url::parse(through)?;
    let password = uri
        .password()
        .context("the URI has no password")?
        .to_owned();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let folder = fixture.folder.path().join("pgbouncer");
    let config = PgBouncerConfig {
        user: &user,
        database: &database,
        password: &password,
        server_port: fixture.postgres.port(),
        port,
    };
    let file = config.write(&folder)?;
    let mut command = std::process::Command::new(program);
    command.arg(file);
    let mut process = Supervised::spawn(&command, &fixture.folder.path().join("pgbouncer.log"))?;
    // These fail only for a URI without a host.
    let _ = uri.set_port(Some(port));
    let _ = uri.set_username(&user);
    uri.set_query(Some("sslmode=require"));
    let started = Instant::now();
    loop {
        match PgConnection::connect(uri.as_str()).await {
            Ok(connection) => {
                connection.close().await?;
                return Ok((process, uri.into()));
            }
            Err(error) => ensure!(
                started.elapsed() < PGBOUNCER_START_TIMEOUT && process.exited()?.is_none(),
                "PgBouncer did not start: {error}\n{}",
                process.log_tail(20)
            ),
        }
        tokio::time::sleep(timeouts::POLL_INTERVAL).await;
    }
}

/// PgBouncer's configuration.
struct PgBouncerConfig<'a> {
    user: &'a str,
    database: &'a str,
    password: &'a str,
    server_port: u16,
    port: u16,
}

impl PgBouncerConfig<'_> {
    /// Writes the configuration into a new folder. Returns the path of the main file.
    fn write(&self, folder: &Path) -> Result<PathBuf> {
        fs::create_dir(folder)?;
        // The key uses the same curve as the emulator's.
        let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        fs::write(folder.join("certificate.pem"), signed.cert.pem())?;
        fs::write(folder.join("key.pem"), signed.signing_key.serialize_pem())?;
        let users = format!("\"{}\" \"{}\"\n", self.user, self.password);
        fs::write(folder.join("users.txt"), users)?;
        // PgBouncer refuses to run as root, so it switches to a user who can read these files. They
        // contain only credentials of a temporary database.
        let user_setting = if fs::metadata("/proc/self")?.uid() == 0 {
            "user = nobody\n"
        } else {
            ""
        };
        let text = format!(
            "[databases]\n\
             neondb = host=127.0.0.1 port={server_port} dbname={database}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = scram-sha-256\n\
             auth_file = {folder}/users.txt\n\
             pool_mode = transaction\n\
             client_tls_sslmode = require\n\
             client_tls_key_file = {folder}/key.pem\n\
             client_tls_cert_file = {folder}/certificate.pem\n\
             server_tls_sslmode = disable\n\
             ignore_startup_parameters = extra_float_digits\n\
             log_connections = 0\n\
             log_disconnections = 0\n\
             {user_setting}",
            database = self.database,
            server_port = self.server_port,
            port = self.port,
            folder = folder.display(),
        );
        let file = folder.join("pgbouncer.ini");
        fs::write(&file, text)?;
        Ok(file)
    }
}
