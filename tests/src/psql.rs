//! The proof that credentials work: psql, with what the Secret says and nothing else.

use std::collections::BTreeMap;
use std::process::Command;

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
    let file = cluster.folder().join("ca.crt");
    if std::fs::read_to_string(&file).ok().as_ref() != Some(ca) {
        std::fs::write(&file, ca)?;
    }
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
