//! Checks that a Tenant's database can be opened by psql with nothing but its connection Secret.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use crds::Tenant;

use crate::cluster::{Cluster, TENANTS_NAMESPACE};
use crate::command::output;

/// Uses pgvector, and reads the schema version that the migrator recorded and the server's own name
/// of the database.
const CHECK: &str = "select '[3,4]'::vector <-> '[0,0]'::vector as distance, \
    (select max(version) from _sqlx_migrations where success) as schema, current_database() as database";

pub(crate) struct SmokeTest {
    /// One line for the terminal.
    pub(crate) summary: String,
    /// The server's own name of the database.
    pub(crate) database: String,
}

/// The shell command that opens a Tenant's database, as the demo prints it.
pub(crate) fn psql_command(namespace: &str, secret: &str) -> String {
    format!(
        r#"psql "$(kubectl -n {namespace} get secret {secret} -o go-template='{{{{.data.uri | base64decode}}}}')""#
    )
}

/// Runs a query with the command of [`psql_command`].
pub(crate) async fn query(
    cluster: &Cluster,
    (namespace, secret): (&str, &str),
    query: &str,
    path: &Path,
) -> Result<String> {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!(
                "{} --no-psqlrc --tuples-only --no-align --command \"$QUERY\"",
                psql_command(namespace, secret)
            ),
        ])
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("PATH", path)
        .env("QUERY", query);
    Ok(output(command).await?.trim().to_owned())
}

/// Opens a Tenant's database and compares it with the Tenant's status.
pub(crate) async fn run(cluster: &Cluster, tenant: &Tenant, path: &Path) -> Result<SmokeTest> {
    let name = tenant.metadata.name.as_deref().unwrap_or_default();
    let status = tenant
        .status
        .as_ref()
        .with_context(|| format!("{name} has no status"))?;
    let secret = &status
        .binding
        .as_ref()
        .with_context(|| format!("{name} is ready, but its status names no Secret"))?
        .name;
    let schema = status
        .schema
        .as_ref()
        .and_then(|schema| schema.version)
        .with_context(|| format!("the status of {name} has no schema version"))?;
    let connection = status
        .connection
        .as_ref()
        .with_context(|| format!("the status of {name} has no connection"))?;

    let row = query(cluster, (TENANTS_NAMESPACE, secret), CHECK, path)
        .await
        .with_context(|| format!("psql failed to query the database of {name}"))?;
    let expected = format!("5|{schema}|");
    let Some(database) = row.strip_prefix(&expected) else {
        bail!("the database of {name} must return {expected:?} and its name (got {row:?})");
    };
    Ok(SmokeTest {
        summary: format!(
            "{name}: psql connected to {} as {}; pgvector works; schema version {schema}",
            connection.database, connection.role
        ),
        database: database.to_owned(),
    })
}
