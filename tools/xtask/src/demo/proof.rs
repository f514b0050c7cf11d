//! The proof that a Tenant became a database: psql, with what the Secret says and nothing else.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use crds::Tenant;

use super::TENANTS_NAMESPACE;
use super::cluster::Cluster;
use super::run::output;

/// Distances are pgvector's; the schema is what the migrator recorded; the database is which one of the server it is,
/// whatever name the Tenant knows it by.
const PROBE: &str = "select '[3,4]'::vector <-> '[0,0]'::vector as distance, \
    (select max(version) from _sqlx_migrations where success) as schema, current_database() as database";

/// What psql found.
pub(super) struct Proof {
    /// A line for people.
    pub(super) text: String,
    /// Which database of the server it was.
    pub(super) database: String,
}

/// The shell line that opens a Tenant's database, as people are shown it.
pub(super) fn psql_line(namespace: &str, secret: &str) -> String {
    format!(
        r#"psql "$(kubectl -n {namespace} get secret {secret} -o go-template='{{{{.data.uri | base64decode}}}}')""#
    )
}

/// Runs that very line with a query, and compares what it says with the status.
pub(super) async fn prove(cluster: &Cluster, tenant: &Tenant, path: &Path) -> Result<Proof> {
    let name = tenant.metadata.name.as_deref().unwrap_or_default();
    let status = tenant
        .status
        .as_ref()
        .context("a Tenant without a status")?;
    let secret = &status
        .binding
        .as_ref()
        .with_context(|| format!("{name} is ready, but its status names no Secret"))?
        .name;
    let wanted = status
        .schema
        .as_ref()
        .and_then(|schema| schema.version)
        .with_context(|| format!("{name} has no schema version"))?;

    let connection = status
        .connection
        .as_ref()
        .with_context(|| format!("{name} has no connection"))?;
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!(
                "{} --no-psqlrc --tuples-only --no-align --command \"$PROBE\"",
                psql_line(TENANTS_NAMESPACE, secret)
            ),
        ])
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("PATH", path)
        .env("PROBE", PROBE);
    let said = output(command)
        .await
        .with_context(|| format!("psql does not reach the database of {name}"))?;
    let expected = format!("5|{wanted}|");
    let Some(database) = said.trim().strip_prefix(&expected) else {
        bail!(
            "the database of {name} says {:?}, and not {expected:?}",
            said.trim()
        );
    };
    Ok(Proof {
        text: format!(
            "{name}: psql reaches {} as {}; pgvector answers; schema {wanted}",
            connection.database, connection.role
        ),
        database: database.to_owned(),
    })
}
