//! The proof that credentials work: psql, with what the Secret says and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use crds::keys;

use crate::{Cluster, command};

/// Runs a statement with a connection string of a Secret, the server's certificate checked in full, and gives what psql
/// prints: rows by lines, columns with `|` between.
pub async fn psql(
    cluster: &Cluster,
    secret: &BTreeMap<String, String>,
    key: &str,
    statement: &str,
) -> Result<String> {
    Ok(command::output(line(cluster, secret, key, statement)?)
        .await?
        .trim()
        .to_owned())
}

/// The same, where the server has to refuse; gives what it said.
pub async fn refused(
    cluster: &Cluster,
    secret: &BTreeMap<String, String>,
    key: &str,
    statement: &str,
) -> Result<String> {
    command::refusal(line(cluster, secret, key, statement)?, "").await
}

fn line(
    cluster: &Cluster,
    secret: &BTreeMap<String, String>,
    key: &str,
    statement: &str,
) -> Result<Command> {
    let ca = secret
        .get(keys::CA_CRT)
        .context("the Secret has no ca.crt")?;
    let file = ca_file(cluster, ca)?;
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

/// A file with these certificates, for them alone: tests that run at the same time have others.
fn ca_file(cluster: &Cluster, ca: &str) -> Result<PathBuf> {
    static FILES: AtomicUsize = AtomicUsize::new(1);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let file = cluster.folder().join(format!("ca-{number}.crt"));
    std::fs::write(&file, ca)?;
    Ok(file)
}
