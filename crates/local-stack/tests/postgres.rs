//! The PostgreSQL server of the demo and the tests has pgvector and leaves nothing behind.

use anyhow::Result;
use local_stack::postgres::Postgres;
use local_stack::run_folder::RunFolder;
use sqlx::{Connection as _, PgConnection};

#[tokio::test]
async fn a_new_server_has_pgvector_and_leaves_nothing_behind() -> Result<()> {
    let folder = RunFolder::new("postgres-test")?;
    let path = folder.path().to_owned();
    let postgres = Postgres::start(&path).await?;
    assert!(
        !format!("{postgres:?}").contains(postgres.uri()),
        "the password must not be printed"
    );

    let mut connection = PgConnection::connect(postgres.uri()).await?;
    sqlx::raw_sql("create extension vector")
        .execute(&mut connection)
        .await?;
    let distance: f64 = sqlx::query_scalar("select '[3,4]'::vector <-> '[0,0]'::vector")
        .fetch_one(&mut connection)
        .await?;
    assert!((distance - 5.0).abs() < f64::EPSILON);
    connection.close().await?;

    let uri = postgres.uri().to_owned();
    postgres.stop().await;
    assert!(
        PgConnection::connect(&uri).await.is_err(),
        "a stopped server must not accept connections"
    );
    drop(folder);
    assert!(!path.exists());
    Ok(())
}

#[test]
fn the_installer_exports_the_variable_that_local_servers_reads() -> Result<()> {
    let exported = installer::Component::Postgres.install()?;
    assert_eq!(exported[0].0, local_servers::postgres::BIN_DIR_VARIABLE);
    Ok(())
}
