//! Uses connection strings as they are returned: by default they require no DNS, so every client
//! can use them on every machine.

use std::path::Path;

use neon_client::model::CreateBranch;
use sqlx::Connection as _;
use tokio::process::Command;

use crate::client::client;
use crate::common::{TestEmulator, connect, password, uri};
use crate::tools::{TOOL_TIMEOUT, script, tools};

/// Runs a query with every client, and returns the first value of each.
async fn query_with_all_clients(
    world: &TestEmulator,
    folder: &Path,
    uri: &str,
    statement: &'static str,
) -> Vec<String> {
    let psql = std::env::var_os("PSQL").unwrap_or_else(|| "psql".into());
    let mut by_psql = Command::new(psql);
    by_psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--command"]);
    by_psql.args([statement, uri]);
    let mut by_node = Command::new("node");
    by_node.arg(script("query.mjs")).args([uri, statement]);
    let mut by_psycopg = Command::new("python3");
    by_psycopg.arg(script("query.py")).args([uri, statement]);
    let mut values = Vec::new();
    for command in [by_psql, by_node, by_psycopg] {
        values.push(output(world, folder, command).await);
    }
    let mut by_sqlx = connect(uri).await.expect("sqlx connects");
    let value: String = sqlx::query_scalar(statement)
        .fetch_one(&mut by_sqlx)
        .await
        .expect("answers");
    by_sqlx.close().await.expect("closes");
    values.push(value);
    values
}

/// The output of a program that is configured only with the location of the tools and the CA
/// certificate.
async fn output(world: &TestEmulator, folder: &Path, mut command: Command) -> String {
    let ca_file = folder.join("ca.pem");
    std::fs::write(&ca_file, world.emulator.ca_pem()).expect("writes");
    for name in ["PGHOST", "PGHOSTADDR", "PGPORT", "PGOPTIONS", "PGSSLMODE"] {
        command.env_remove(name);
    }
    command
        .env("API_URL", world.emulator.api_url())
        .env("API_KEY", world.emulator.api_key())
        .env("NEON_TOOLS", tools())
        .env("PYTHONPATH", tools().join("python"))
        // node-postgres verifies the certificate even with `sslmode=require`.
        .env("NODE_EXTRA_CA_CERTS", &ca_file)
        .env("HOME", folder)
        .kill_on_drop(true);
    let output = tokio::time::timeout(TOOL_TIMEOUT, command.output()).await;
    let output = output.expect("it exits in time").expect("it can be run");
    assert!(
        output.status.success(),
        "{:?} ended with {}: {}",
        command.as_std(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test]
async fn every_client_connects_to_projects_and_branches_directly_and_pooled() {
    let world = TestEmulator::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let created = world.create("one").await;
    let project = &created.project.id;
    let mut main = connect(&uri(&created)).await.expect("connects");
    for sql in [
        "CREATE TABLE notes (text text)",
        "INSERT INTO notes VALUES ('of main')",
    ] {
        sqlx::query(sql).execute(&mut main).await.expect("makes");
    }
    main.close().await.expect("closes");
    let request = CreateBranch::named("preview").with_compute();
    let branches = client(&world).branches(project);
    let branch = branches
        .create(request)
        .send()
        .await
        .expect("a branch")
        .branch;

    for (branch, text) in [
        (&created.branch.id, "of main"),
        (&branch.id, "of the branch"),
    ] {
        for pooled in [false, true] {
            let path = format!(
                "/projects/{project}/connection_uri?database_name=neondb&role_name=neondb_owner&branch_id={branch}&pooled={pooled}"
            );
            let answer = world.get(&path).await;
            let uri = answer["uri"].as_str().expect("a URI");
            assert_eq!(uri.contains("-pooler"), pooled, "{uri}");
            if text == "of the branch" && !pooled {
                let mut connection = connect(uri).await.expect("connects");
                let change = "UPDATE notes SET text = 'of the branch'";
                sqlx::query(change)
                    .execute(&mut connection)
                    .await
                    .expect("writes");
            }
            let values =
                query_with_all_clients(&world, folder.path(), uri, "SELECT text FROM notes").await;
            assert_eq!(values, [text; 4], "{uri}");
        }
    }
}

/// Some of the clients use channel binding, for which the emulator authenticates the role.
#[tokio::test]
async fn every_client_connects_as_a_role_that_was_created_with_sql() {
    let world = TestEmulator::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let created = world.create("one").await;
    let role = format!("reader_{}", created.project.id.as_str().replace('-', "_"));
    let mut owner = connect(&uri(&created)).await.expect("connects");
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD 'npg_reader'");
    sqlx::query(sqlx::AssertSqlSafe(create))
        .execute(&mut owner)
        .await
        .expect("creates");
    let as_role = uri(&created)
        .replace("neondb_owner", &role)
        .replace(&password(&created), "npg_reader");
    let statement = "SELECT current_user::text";
    let values = query_with_all_clients(&world, folder.path(), &as_role, statement).await;
    assert!(values.iter().all(|value| *value == role), "{values:?}");
}

#[tokio::test]
async fn psycopg_prepares_and_pipelines_through_the_pooler_and_survives_a_rejection() {
    let world = TestEmulator::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let created = world.create("one").await;
    let endpoint = created.endpoints[0].id.as_str();
    let pooled = uri(&created).replace(endpoint, &format!("{endpoint}-pooler"));
    let mut command = Command::new("python3");
    command.arg(script("pooled.py")).arg(pooled);
    output(&world, folder.path(), command).await;
}
