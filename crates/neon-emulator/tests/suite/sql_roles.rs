//! Roles that are created with SQL: they sign in to their project, and projects are isolated from each
//! other.

use neon_client::model::CreatedProject;
use reqwest::{Method, StatusCode};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::common::{TestEmulator, connect, connection_error, password, uri};

const PASSWORD: &str = "npg_of_the_role";

/// The name of a role that no other test uses.
fn role_of(project: &CreatedProject) -> String {
    format!("app_{}", project.project.id.as_str().replace('-', "_"))
}

/// The connection string of a project for another role.
fn uri_as(project: &CreatedProject, role: &str, role_password: &str) -> String {
    uri(project)
        .replace("neondb_owner", role)
        .replace(&password(project), role_password)
}

/// The SQLSTATE with which a statement fails, or an empty string.
async fn sqlstate(connection: &mut PgConnection, sql: String) -> String {
    match connection.execute(AssertSqlSafe(sql)).await {
        Ok(_) => String::new(),
        Err(error) => {
            let error = error.as_database_error().expect("an error of the server");
            error.code().unwrap_or_default().into_owned()
        }
    }
}

async fn succeed(connection: &mut PgConnection, sql: String) {
    assert_eq!(sqlstate(connection, sql.clone()).await, "", "{sql}");
}

#[tokio::test]
async fn a_role_created_with_sql_signs_in_with_the_privileges_that_it_was_granted() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let role = role_of(&created);
    let mut owner = connect(&uri(&created)).await.expect("connects");
    for sql in [
        "CREATE TABLE notes AS SELECT 'of the owner' AS text".to_owned(),
        // As migrations do it.
        format!(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
             CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; END IF; END $$"
        ),
        format!("GRANT SELECT ON notes TO {role}"),
    ] {
        succeed(&mut owner, sql).await;
    }
    let host = created.endpoints[0].id.as_str();
    let direct = uri_as(&created, &role, PASSWORD);
    let pooled = direct.replace(host, &format!("{host}-pooler"));
    for uri in [&direct, &pooled] {
        let mut connection = connect(uri).await.expect("connects");
        succeed(&mut connection, "SELECT * FROM notes".to_owned()).await;
        let write = "INSERT INTO notes VALUES ('of the role')".to_owned();
        assert_eq!(sqlstate(&mut connection, write).await, "42501");
        let name: String = sqlx::query_scalar("SELECT current_user::text")
            .fetch_one(&mut connection)
            .await
            .expect("answers");
        assert_eq!(name, role);
    }
    let wrong = uri_as(&created, &role, "npg_wrong");
    assert_eq!(connection_error(&wrong).await.0, "28P01");

    succeed(&mut owner, format!("ALTER ROLE {role} PASSWORD 'npg_new'")).await;
    assert_eq!(connection_error(&direct).await.0, "28P01");
    connect(&uri_as(&created, &role, "npg_new"))
        .await
        .expect("the new password is valid");
    for sql in [
        format!("REVOKE ALL ON notes FROM {role}"),
        format!("ALTER ROLE {role} NOLOGIN"),
    ] {
        succeed(&mut owner, sql).await;
    }
    let signed_out = uri_as(&created, &role, "npg_new");
    assert_eq!(connection_error(&signed_out).await.0, "28P01");
}

#[tokio::test]
async fn a_role_belongs_to_the_project_that_created_it() {
    let world = TestEmulator::start().await;
    let (one, two) = (world.create("one").await, world.create("two").await);
    let (role, group) = (role_of(&one), format!("{}_group", role_of(&one)));
    let mut owner = connect(&uri(&one)).await.expect("connects");
    for sql in [
        format!("CREATE ROLE {role} LOGIN CREATEROLE PASSWORD '{PASSWORD}'"),
        format!("CREATE ROLE {group}"),
        format!("GRANT {group} TO {role}"),
    ] {
        succeed(&mut owner, sql).await;
    }
    // A role that the role creates signs in as well.
    let nested = format!("{role}_nested");
    let mut creator = connect(&uri_as(&one, &role, PASSWORD))
        .await
        .expect("connects");
    succeed(
        &mut creator,
        format!("CREATE ROLE {nested} LOGIN PASSWORD '{PASSWORD}'"),
    )
    .await;
    connect(&uri_as(&one, &nested, PASSWORD))
        .await
        .expect("the nested role connects");

    let foreign = uri_as(&two, &role, PASSWORD);
    assert_eq!(connection_error(&foreign).await.0, "28P01");
    let mut other = connect(&uri(&two)).await.expect("connects");
    for sql in [
        format!("ALTER ROLE {role} PASSWORD 'npg_stolen'"),
        format!("DROP ROLE {role}"),
        format!("GRANT {role} TO CURRENT_USER"),
        format!("SET ROLE {role}"),
        "CREATE ROLE superuser_of_two SUPERUSER".to_owned(),
        "GRANT pg_read_server_files TO CURRENT_USER".to_owned(),
    ] {
        assert_eq!(sqlstate(&mut other, sql.clone()).await, "42501", "{sql}");
    }
    let taken = other
        .execute(AssertSqlSafe(format!("CREATE ROLE {role}")))
        .await;
    let taken = taken.expect_err("the name is taken");
    let taken = taken.as_database_error().expect("an error of the server");
    assert_eq!(taken.code().as_deref(), Some("42710"));
    let taken = taken.downcast_ref::<sqlx::postgres::PgDatabaseError>();
    assert!(
        taken
            .detail()
            .is_some_and(|detail| detail.contains("share one PostgreSQL server")),
        "{taken:?}"
    );

    // The roles are dropped with their project.
    let path = format!("/projects/{}", one.project.id);
    let (status, body) = world.call(Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let week = std::time::Duration::from_hours(8 * 24);
    world.emulator.advance_clock(week).await.expect("advances");
    world.emulator.purge().await.expect("purges");
    let mut admin = PgConnection::connect(world.postgres.uri())
        .await
        .expect("connects");
    let left: Vec<String> =
        sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE rolname = ANY($1)")
            .bind([&role, &group, &nested])
            .fetch_all(&mut admin)
            .await
            .expect("answers");
    assert_eq!(left, Vec::<String>::new());
}
