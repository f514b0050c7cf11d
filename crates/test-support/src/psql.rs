//! Runs psql with nothing but the data of a connection Secret.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use crds::keys;

use crate::{Cluster, command};

/// Runs a statement with the connection string in the Secret's `key`, and fully verifies the
/// server's certificate. Returns psql's output: one row per line, columns separated by `|`.
pub async fn query(
    cluster: &Cluster,
    secret: &BTreeMap<String, String>,
    key: &str,
    statement: &str,
) -> Result<String> {
    Ok(
        command::output(psql_command(cluster, secret, key, statement)?)
            .await?
            .trim()
            .to_owned(),
    )
}

/// Runs a statement that the server must reject. Returns the error.
pub async fn query_expect_error(
    cluster: &Cluster,
    secret: &BTreeMap<String, String>,
    key: &str,
    statement: &str,
) -> Result<String> {
    command::expect_failure(psql_command(cluster, secret, key, statement)?, "").await
}

fn psql_command(
    cluster: &Cluster,
    secret: &BTreeMap<String, String>,
    key: &str,
    statement: &str,
) -> Result<Command> {
    let ca = secret
        .get(keys::CA_CRT)
        .context("the Secret has no ca.crt")?;
    let file = write_ca_file(cluster, ca)?;
    let uri = secret
        .get(key)
        .with_context(|| format!("the Secret has no {key}"))?;
    let uri = uri.replace(
        "sslmode=require",
        &format!("sslmode=verify-full&sslrootcert={}", file.display()),
    );
    let mut command = Command::new(cluster.psql());
    command.arg(uri).args([
        "--no-psqlrc",
        "--tuples-only",
        "--no-align",
        "--set=ON_ERROR_STOP=1",
        "--command",
        statement,
    ]);
    Ok(command)
}

/// Each call writes a new file, because tests that run in parallel have different certificates.
fn write_ca_file(cluster: &Cluster, ca: &str) -> Result<PathBuf> {
    static FILES: AtomicUsize = AtomicUsize::new(1);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let file = cluster.folder().join(format!("ca-{number}.crt"));
    std::fs::write(&file, ca)?;
    Ok(file)
}
