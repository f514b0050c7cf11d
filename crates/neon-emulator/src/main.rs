//! `neon-emulator serve`: runs an emulator as a process.

mod cli;

use std::io::{IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use neon_emulator::Emulator;
use neon_emulator::openapi::Document;
use serde::Serialize;
use service_kit::process;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;

use self::cli::Serve;

#[tokio::main]
async fn main() -> ExitCode {
    let serve = match cli::load(std::env::args_os(), &process::environment()) {
        Ok(serve) => serve,
        Err(error) => return error.print("neon-emulator"),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    process::install_crypto_provider();
    match run(serve).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The alternate format prints the causes on one line.
            eprintln!("neon-emulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(serve: Serve) -> anyhow::Result<()> {
    // Signal handlers are installed first, so that signals during the start are handled.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let starting = start(&serve);
    let emulator = tokio::select! {
        started = starting => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    write_ready_file(&serve, &emulator)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("stopping");
    if let Some(path) = &serve.ready_file {
        // The file must not exist when the emulator no longer runs.
        let _ = std::fs::remove_file(path);
    }
    emulator.shutdown().await;
    Ok(())
}

async fn start(serve: &Serve) -> anyhow::Result<Emulator> {
    let mut builder = Emulator::builder()
        .control_database(&serve.control_database)
        .api_listen(serve.api_listen)
        .data_listen(serve.data_listen)
        .advertised_data_port(serve.advertised_data_port)
        .api_keys(&serve.api_key)
        .latency(serve.latency())
        .proxy_caches(serve.proxy_caches())
        .varying_sqlstates(serve.varying_sqlstates)
        .activity_updates_projects(!serve.fixed_updated_at)
        .limits(serve.limits())
        .spare_databases(serve.spare_databases)
        .faults(serve.fault.iter().cloned())
        .seed(serve.seed);
    if let Some(template) = &serve.host_template {
        builder = builder.host_template(template);
    }
    if let Some(path) = &serve.document {
        builder = builder.document(Document::read(path)?);
    }
    builder = match &serve.postgres {
        Some(uri) => builder.postgres(uri),
        None => builder.embedded(serve.server()),
    };
    builder
        .start()
        .await
        .context("failed to start the emulator")
}

/// The contents of the ready file.
#[derive(Serialize)]
struct Ready<'a> {
    api_url: String,
    admin_url: String,
    data_host: String,
    data_port: u16,
    ca_file: Option<&'a Path>,
    pid: u32,
}

fn write_ready_file(serve: &Serve, emulator: &Emulator) -> anyhow::Result<()> {
    if let Some(path) = &serve.ca_file {
        write_atomically(path, emulator.ca_pem().as_bytes())?;
    }
    if let Some(path) = &serve.ready_file {
        let ready = Ready {
            api_url: emulator.api_url(),
            admin_url: emulator.admin_url(),
            data_host: emulator.data_addr().ip().to_string(),
            data_port: emulator.data_addr().port(),
            ca_file: serve.ca_file.as_deref(),
            pid: std::process::id(),
        };
        write_atomically(path, &serde_json::to_vec_pretty(&ready)?)?;
    }
    info!(
        "The API is at {}, the data plane at {}, and the dashboard at {}",
        emulator.api_url(),
        emulator.data_addr(),
        emulator.page_url()
    );
    Ok(())
}

/// Writes a file atomically, so that readers never see a partial file.
fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("failed to create a file in {}", folder.display()))?;
    file.write_all(bytes)?;
    // Other users may read the file: it contains no secrets.
    let permissions = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644);
    file.as_file().set_permissions(permissions)?;
    file.persist(path)
        .with_context(|| format!("failed to write {}", path.display()))?;
    Ok(())
}
