//! Branches are physical databases: copied with their data, independent of each other, and
//! restorable.

use std::str::FromStr;
use std::time::Instant;

use neon_client::ErrorKind;
use neon_client::model::{
    CreateBranch, CreateRole, INIT_SCHEMA_ONLY, NewBranch, RestoreBranch, UpdateBranch,
};
use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::client::client;
use crate::common::{TestEmulator, WAIT_TIMEOUT, connect, uri};

async fn write(uri: &str, statements: &str) {
    let mut connection = connect(uri).await.expect("connects");
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(&mut connection)
        .await
        .expect("writes");
    connection.close().await.expect("closes");
}

async fn notes(uri: &str) -> Vec<String> {
    let mut connection = connect(uri).await.expect("connects");
    let notes = sqlx::query_scalar("SELECT text FROM notes ORDER BY text")
        .fetch_all(&mut connection)
        .await
        .expect("reads");
    connection.close().await.expect("closes");
    notes
}

const TABLE: &str =
    "CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY, text text NOT NULL);
                     INSERT INTO notes (text) VALUES ('of both')";

#[tokio::test]
async fn a_branch_starts_with_its_parents_data_and_diverges() {
    let world = TestEmulator::start().await;
    let neon = client(&world);
    let created = world.create("one").await;
    write(&uri(&created), TABLE).await;
    // An open connection does not prevent the creation of the branch.
    let _open = connect(&uri(&created)).await.expect("connects");
    let branches = neon.branches(&created.project.id);
    let created_branch = branches
        .create(CreateBranch::named("preview").with_compute())
        .send()
        .await
        .expect("creates");
    let branch_uri = created_branch.connection_uris[0]
        .connection_uri
        .expose_secret();
    assert_eq!(notes(branch_uri).await, ["of both"]);
    // The owner of the copy is a separate role with full privileges.
    write(
        branch_uri,
        "INSERT INTO notes (text) VALUES ('of the branch'); ALTER TABLE notes ADD more text",
    )
    .await;
    write(
        &uri(&created),
        "INSERT INTO notes (text) VALUES ('of main')",
    )
    .await;
    assert_eq!(notes(branch_uri).await, ["of both", "of the branch"]);
    assert_eq!(notes(&uri(&created)).await, ["of both", "of main"]);

    let reset = RestoreBranch::from_head(created.branch.id.clone());
    branches
        .restore(&created_branch.branch.id, reset)
        .send()
        .await
        .expect("restores");
    assert_eq!(
        notes(branch_uri).await,
        ["of both", "of main"],
        "the same as its parent"
    );
    branches
        .delete(&created_branch.branch.id)
        .send()
        .await
        .expect("deletes");
    assert!(connect(branch_uri).await.is_err());
    assert_eq!(notes(&uri(&created)).await, ["of both", "of main"]);
}

#[tokio::test]
async fn the_state_before_a_restore_can_be_preserved() {
    let world = TestEmulator::start().await;
    let neon = client(&world);
    let created = world.create("one").await;
    write(&uri(&created), TABLE).await;
    let branches = neon.branches(&created.project.id);
    let created_branch = branches
        .create(CreateBranch::named("source"))
        .send()
        .await
        .expect("creates");
    write(&uri(&created), "INSERT INTO notes (text) VALUES ('later')").await;
    let restore =
        RestoreBranch::from_head(created_branch.branch.id.clone()).preserve_under_name("before");
    branches
        .restore(&created.branch.id, restore)
        .send()
        .await
        .expect("restores");
    assert_eq!(notes(&uri(&created)).await, ["of both"]);
    let all = branches.list().all().await.expect("a list");
    let preserved = all
        .iter()
        .find(|branch| branch.name == "before")
        .expect("the preserved branch");
    let source = all
        .iter()
        .find(|branch| branch.name == "source")
        .expect("the source branch");
    assert_eq!(
        source.parent_id.as_ref(),
        Some(&preserved.id),
        "children move to the preserved branch"
    );
    let compute = neon_client::model::CreateEndpoint::new(
        preserved.id.clone(),
        neon_client::model::EndpointType::ReadWrite,
    );
    neon.endpoints(&created.project.id)
        .create(compute)
        .send()
        .await
        .expect("creates");
    let (database, role) = (&created.databases[0].name, &created.roles[0].name);
    let old = neon
        .projects()
        .connection_uri(&created.project.id, database, role)
        .branch(&preserved.id)
        .send()
        .await
        .expect("a URI");
    assert_eq!(notes(old.uri.expose_secret()).await, ["later", "of both"]);
}

#[tokio::test]
async fn a_schema_only_branch_has_tables_without_rows() {
    let world = TestEmulator::start().await;
    let neon = client(&world);
    let created = world.create("one").await;
    write(&uri(&created), TABLE).await;
    let mut request = CreateBranch::named("empty").with_compute();
    request.branch = NewBranch {
        init_source: Some(INIT_SCHEMA_ONLY.to_owned()),
        ..request.branch
    };
    let branches = neon.branches(&created.project.id);
    let created_branch = branches.create(request).send().await.expect("creates");
    assert_eq!(created_branch.branch.parent_id, None);
    let branch_uri = created_branch.connection_uris[0]
        .connection_uri
        .expose_secret();
    assert_eq!(notes(branch_uri).await, [""; 0]);
}

#[tokio::test]
async fn only_a_past_state_equal_to_the_present_can_be_restored() {
    let world = TestEmulator::start().await;
    let neon = client(&world);
    let created = world.create("one").await;
    let branches = neon.branches(&created.project.id);
    let before = world.emulator.now();
    write(&uri(&created), TABLE).await;
    let early = CreateBranch::named("early").parent_timestamp(before);
    let error = branches.create(early).send().await.expect_err("rejected");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("keeps no history"), "{error}");
    let lsn = RestoreBranch::from_lsn(
        created.branch.id.clone(),
        "0/1".parse().expect("a position"),
    );
    let error = branches
        .restore(&created.branch.id, lsn.preserve_under_name("old"))
        .send()
        .await
        .expect_err("rejected");
    assert!(error.message().contains("keeps no history"), "{error}");

    // There were no connections since then.
    crate::common::until("the connection's end", || async {
        world.open_connections().await == 0
    })
    .await;
    let after = world.emulator.now();
    let late = CreateBranch::named("late")
        .parent_timestamp(after)
        .with_compute();
    let created_branch = branches.create(late).send().await.expect("creates");
    assert_eq!(created_branch.branch.parent_timestamp, Some(after));
    assert_eq!(
        notes(
            created_branch.connection_uris[0]
                .connection_uri
                .expose_secret()
        )
        .await,
        ["of both"]
    );
}

#[tokio::test]
async fn other_roles_have_the_same_privileges_in_the_copy_as_in_the_parent() {
    let world = TestEmulator::start().await;
    let neon = client(&world);
    let created = world.create("one").await;
    let (project, branch) = (&created.project.id, &created.branch.id);
    let role: neon_client::ids::RoleName = "reader".parse().expect("a name");
    neon.roles(project, branch)
        .create(CreateRole::new(role.clone()))
        .send()
        .await
        .expect("creates");
    let database = &created.databases[0].name;
    let reader = neon
        .projects()
        .connection_uri(project, database, &role)
        .send()
        .await
        .expect("a URI");
    // The role exists in PostgreSQL, under its physical name, once it has connected.
    write(&uri(&created), TABLE).await;
    let mut connection = connect(reader.uri.expose_secret()).await.expect("connects");
    let role_name: String = sqlx::query_scalar("SELECT current_user::text")
        .fetch_one(&mut connection)
        .await
        .expect("a name");
    connection.close().await.expect("closes");
    write(
        &uri(&created),
        &format!("GRANT SELECT ON notes TO \"{role_name}\""),
    )
    .await;

    let created_branch = neon
        .branches(project)
        .create(CreateBranch::named("preview").with_compute())
        .send()
        .await;
    let created_branch = created_branch.expect("creates");
    let branch_uri = neon
        .projects()
        .connection_uri(project, database, &role)
        .branch(&created_branch.branch.id)
        .send()
        .await
        .expect("a URI");
    assert_eq!(notes(branch_uri.uri.expose_secret()).await, ["of both"]);
    let error = neon
        .branches(project)
        .create(CreateBranch::named("preview"))
        .send()
        .await
        .expect_err("rejected");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let error = neon
        .branches(project)
        .delete(branch)
        .send()
        .await
        .expect_err("rejected");
    assert!(error.message().contains("default branch"), "{error}");
}

#[tokio::test]
async fn a_branch_expires_within_30_days() {
    let world = TestEmulator::start().await;
    let neon = client(&world);
    let created = world.create("one").await;
    let day = std::time::Duration::from_hours(24);
    let mut request = CreateBranch::named("long");
    request.branch = request.branch.expires_at(world.emulator.now() + 31 * day);
    let branches = neon.branches(&created.project.id);
    let error = branches.create(request).send().await.expect_err("rejected");
    assert!(error.message().contains("30 days"), "{error}");
}

#[tokio::test]
async fn a_branch_that_expires_has_no_children() {
    let world = TestEmulator::start().await;
    let neon = client(&world);
    let created = world.create("one").await;
    let hour = std::time::Duration::from_hours(1);
    let mut request = CreateBranch::named("short");
    request.branch = request.branch.expires_at(world.emulator.now() + hour);
    let branches = neon.branches(&created.project.id);
    let short = branches.create(request).send().await.expect("creates");
    let short = short.branch.id;
    let child = CreateBranch::named("child").parent_id(short.clone());
    let refused = branches.create(child).send().await;
    assert_eq!(refused.expect_err("rejected").kind(), ErrorKind::Invalid);
    // The restored branch becomes a child of its source.
    let restore = RestoreBranch::from_head(short.clone()).preserve_under_name("old");
    let main = &created.branch.id;
    let refused = branches.restore(main, restore.clone()).send().await;
    assert_eq!(refused.expect_err("rejected").kind(), ErrorKind::Invalid);
    let kept = UpdateBranch::default().expires_at(None);
    branches.update(&short, kept).send().await.expect("updates");
    let restored = branches.restore(main, restore).send().await;
    restored.expect("restores");
}

#[tokio::test]
async fn an_expired_branch_is_deleted() {
    let world = TestEmulator::start().await;
    let neon = client(&world);
    let created = world.create("one").await;
    let hour = std::time::Duration::from_hours(1);
    let mut request = CreateBranch::named("short");
    request.branch = request.branch.expires_at(world.emulator.now() + hour);
    let branches = neon.branches(&created.project.id);
    branches.create(request).send().await.expect("creates");
    world.emulator.advance_clock(2 * hour).await.expect("turns");
    let names = |branches: Vec<neon_client::model::Branch>| {
        branches
            .into_iter()
            .map(|branch| branch.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(branches.list().all().await.expect("a list")),
        ["main"]
    );
    let deleted = branches
        .list()
        .include_deleted()
        .all()
        .await
        .expect("a list");
    let expired = deleted
        .iter()
        .find(|branch| branch.name == "short")
        .expect("it can be recovered");
    assert_eq!(
        expired
            .recovery
            .as_ref()
            .expect("it is recoverable")
            .deletion_method,
        "ttl"
    );
}

/// Sessions that wait for a row lock in the state database.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test]
async fn a_connection_that_waits_for_a_locked_project_holds_no_row_locks() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    connect(&uri(&created)).await.expect("connects");
    let project = created.project.id.as_str();
    let options = PgConnectOptions::from_str(world.postgres.uri()).expect("a URI");
    let options = options.database(&world.control_database);
    let mut change = options.connect().await.expect("connects");
    let mut watch = options.connect().await.expect("connects");

    let mut tx = change.begin().await.expect("begins");
    lock_rows(&mut tx, "projects WHERE id", project).await;
    let path = format!("/projects/{project}");
    let uri = uri(&created);
    let others = async { tokio::join!(connect(&uri), world.get(&path)) };
    let changes = async {
        waiting(&mut watch, 2).await;
        for table in ["endpoints", "usage_hours"] {
            lock_rows_nowait(&mut tx, table, project).await;
        }
        tx.commit().await.expect("commits");
    };
    let ((connected, _), ()) = tokio::join!(others, changes);
    connected.expect("connects after the change");
}

#[tokio::test]
async fn a_first_connection_during_a_change_of_databases_holds_no_row_locks() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let project = created.project.id.as_str();
    let options = PgConnectOptions::from_str(world.postgres.uri()).expect("a URI");
    let options = options.database(&world.control_database);
    let mut change = options.connect().await.expect("connects");
    let mut watch = options.connect().await.expect("connects");

    // The locks of a call that creates or changes a database. Its foreign key locks the branch too.
    let mut tx = change.begin().await.expect("begins");
    for table in [
        "projects WHERE id",
        "roles WHERE project_id",
        "databases WHERE project_id",
    ] {
        lock_rows(&mut tx, table, project).await;
    }
    let uri = uri(&created);
    let changes = async {
        waiting(&mut watch, 1).await;
        for table in ["branches", "endpoints", "usage_hours"] {
            lock_rows_nowait(&mut tx, table, project).await;
        }
        tx.commit().await.expect("commits");
    };
    let (connected, ()) = tokio::join!(connect(&uri), changes);
    connected.expect("connects after the change");
}

async fn lock_rows(tx: &mut PgConnection, rows: &str, project: &str) {
    sqlx::query(AssertSqlSafe(format!("SELECT FROM {rows} = $1 FOR UPDATE")))
        .bind(project)
        .execute(tx)
        .await
        .expect("locks");
}

/// Locks a project's rows in a table, which must not be locked by another session.
async fn lock_rows_nowait(tx: &mut PgConnection, table: &str, project: &str) {
    let rows = format!("SELECT FROM {table} WHERE project_id = $1 FOR UPDATE NOWAIT");
    sqlx::query(AssertSqlSafe(rows))
        .bind(project)
        .execute(tx)
        .await
        .unwrap_or_else(|error| unexpected(table, &error));
}

#[expect(clippy::panic, reason = "the test ends here")]
fn unexpected(table: &str, error: &sqlx::Error) -> sqlx::postgres::PgQueryResult {
    panic!("rows of {table} are locked: {error}")
}

/// Waits until `wanted` sessions wait for row locks in the state database.
async fn waiting(watch: &mut PgConnection, count: i64) {
    let limit = Instant::now() + WAIT_TIMEOUT;
    loop {
        let waiting: i64 = sqlx::query_scalar(WAITING)
            .fetch_one(&mut *watch)
            .await
            .expect("counts");
        if waiting >= count {
            return;
        }
        assert!(
            Instant::now() < limit,
            "only {waiting} sessions are waiting"
        );
    }
}
