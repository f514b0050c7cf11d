//! The data plane against PgBouncer with TLS: pgbench through each, in turn, to one database of one PostgreSQL server.

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
use tests::limits;
use url::Url;
use xtask::install;

use crate::figure::{Figure, Figures};
use crate::neon::Bed;
use crate::say;

/// What the emulator may take over what PgBouncer takes: no more.
const RATIO_MAX: f64 = 1.0;
/// Connections and threads of pgbench.
const CLIENTS: usize = 8;
const THREADS: usize = 2;
/// Sizes of the database in pgbench's unit, 100,000 accounts each.
const SCALE: &str = "10";
/// One run of pgbench may take this much longer than it is told to run.
const PGBENCH_MARGIN: Duration = Duration::from_secs(30);
/// From the start of PgBouncer until a client is served.
const PGBOUNCER_START: Duration = Duration::from_secs(15);

/// How much is measured.
pub(crate) struct Form {
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
}

/// What pgbench does.
#[derive(Debug, Clone, Copy)]
enum Load {
    /// One row read by its key.
    SelectOnly,
    /// A transaction of seven statements that writes.
    TpcbLike,
    /// The same read with a connection for each.
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

/// What pgbench connects through.
struct Way {
    uri: String,
    /// Transactions a second, of each load and round.
    rates: [Vec<f64>; Load::ALL.len()],
}

/// All of it, with one emulator and one PgBouncer over the same server.
pub(crate) async fn measure(form: &Form) -> Result<Vec<Figure>> {
    let mut figures = Figures::new("data_plane", form.rounds);
    let pgbench = tokio::task::spawn_blocking(install::pgbench).await??;
    let bed = Bed::start().await?;
    let project = CreateProject::named("one");
    let created = bed.client()?.projects().create(project).send().await?;
    let uri = created
        .connection_uris
        .first()
        .context("no connection URI")?;
    let direct = uri.connection_uri.expose_secret().to_owned();
    let endpoint = created.endpoints.first().context("no endpoint")?;
    let pooled = direct.replace(endpoint.id.as_str(), &format!("{}-pooler", endpoint.id));
    let (pgbouncer, bouncer) = start_pgbouncer(&bed, &direct).await?;
    let initialise = ["--initialize", "--quiet", "--scale", SCALE];
    run(&pgbench, &direct, &initialise, PGBENCH_MARGIN).await?;

    let mut ways = [direct, pooled, bouncer].map(|uri| Way {
        uri,
        rates: Default::default(),
    });
    for round in 0..form.rounds {
        for load in Load::ALL {
            // Each is first equally often.
            for turn in 0..ways.len() {
                let number = (round + turn) % ways.len();
                let rate = rate(&pgbench, &ways[number].uri, load, form.seconds).await?;
                ways[number].rates[load as usize].push(rate);
            }
            let last = ways
                .each_ref()
                .map(|way| way.rates[load as usize].last().copied());
            say(&format!("   {} {last:.0?} a second", load.name()));
        }
    }
    pgbouncer.stop().await;
    bed.stop().await;
    let [direct, pooled, bouncer] = ways;
    for load in Load::ALL {
        // Opening connections is told of: the emulator signs in to PostgreSQL for each, which PgBouncer does not.
        let budget = (!matches!(load, Load::Connect)).then_some(RATIO_MAX);
        let name = load.name();
        let floor = bouncer.microseconds(load);
        figures.above(name, direct.microseconds(load), "us", floor, budget);
        let pooled = pooled.microseconds(load);
        figures.above(&format!("{name}_pooled"), pooled, "us", floor, budget);
        let tps = 1e6 / direct.microseconds(load);
        figures.told(&format!("{name}_tps"), tps, "1/s");
        figures.told(&format!("{name}_tps_of_pgbouncer"), 1e6 / floor, "1/s");
    }
    Ok(figures.into_vec())
}

impl Way {
    /// What one transaction takes, in microseconds, by the median of all rounds.
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

/// Transactions a second of one run.
async fn rate(pgbench: &Path, uri: &str, load: Load, seconds: u64) -> Result<f64> {
    let (clients, threads, time) = (
        format!("--client={CLIENTS}"),
        format!("--jobs={THREADS}"),
        format!("--time={seconds}"),
    );
    let mut arguments = vec!["--no-vacuum", &clients, &threads, &time];
    arguments.extend(load.arguments());
    let limit = Duration::from_secs(seconds) + PGBENCH_MARGIN;
    let said = run(pgbench, uri, &arguments, limit).await?;
    let rate = said
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
    Ok(rate
        .with_context(|| format!("pgbench told no rate: {said}"))?
        .parse()?)
}

async fn run(pgbench: &Path, uri: &str, arguments: &[&str], limit: Duration) -> Result<String> {
    let mut command = tokio::process::Command::new(pgbench);
    command.args(arguments).arg(uri).kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output())
        .await
        .context("pgbench does not end")??;
    let failed = String::from_utf8_lossy(&output.stderr);
    // Of a run in which a client was cut off, pgbench tells figures too.
    ensure!(
        output.status.success() && !failed.contains("aborted"),
        "pgbench ended with {}: {failed}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// PgBouncer over the database that this URI leads to, with the same user and password, and its URI.
async fn start_pgbouncer(bed: &Bed, through: &str) -> Result<(Supervised, String)> {
    let program = tokio::task::spawn_blocking(install::pgbouncer).await??;
    let mut connection = PgConnection::connect(through).await?;
    let real = "SELECT current_user::text, current_database()::text";
    let (user, database): (String, String) =
        sqlx::query_as(real).fetch_one(&mut connection).await?;
    connection.close().await?;
    let mut uri = Url::parse(through)?;
    let password = uri.password().context("no password")?.to_owned();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let folder = bed.folder.path().join("pgbouncer");
    let settings = Settings {
        user: &user,
        database: &database,
        password: &password,
        server_port: bed.postgres.port(),
        port,
    };
    let file = settings.write(&folder)?;
    let mut command = std::process::Command::new(program);
    command.arg(file);
    let mut process = Supervised::spawn(&command, &bed.folder.path().join("pgbouncer.log"))?;
    // It fails for no URI that has a host.
    let _ = uri.set_port(Some(port));
    let _ = uri.set_username(&user);
    uri.set_query(Some("sslmode=require"));
    let begun = Instant::now();
    loop {
        match PgConnection::connect(uri.as_str()).await {
            Ok(connection) => {
                connection.close().await?;
                return Ok((process, uri.into()));
            }
            Err(error) => ensure!(
                begun.elapsed() < PGBOUNCER_START && process.exited()?.is_none(),
                "PgBouncer does not serve: {error}\n{}",
                process.log_tail(20)
            ),
        }
        tokio::time::sleep(limits::POLL).await;
    }
}

/// What PgBouncer is told.
struct Settings<'a> {
    user: &'a str,
    database: &'a str,
    password: &'a str,
    server_port: u16,
    port: u16,
}

impl Settings<'_> {
    /// Writes them into a folder; gives the file to start PgBouncer with.
    fn write(&self, folder: &Path) -> Result<PathBuf> {
        fs::create_dir(folder)?;
        // A key on the same curve as the emulator's.
        let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        fs::write(folder.join("certificate.pem"), signed.cert.pem())?;
        fs::write(folder.join("key.pem"), signed.signing_key.serialize_pem())?;
        let users = format!("\"{}\" \"{}\"\n", self.user, self.password);
        fs::write(folder.join("users.txt"), users)?;
        // It refuses to be root, and drops to a user who reads these files: a database's that goes with the benchmark.
        let drop_to = if fs::metadata("/proc/self")?.uid() == 0 {
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
             {drop_to}",
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
