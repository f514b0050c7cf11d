//! Branches are real databases: copied with their data, apart from each other, and restored.

use std::str::FromStr;
use std::time::Instant;

use neon_client::ErrorKind;
use neon_client::model::{CreateBranch, CreateRole, INIT_SCHEMA_ONLY, NewBranch, RestoreBranch};
use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::client::client;
use crate::common::{SOON, World, connect, uri};

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
async fn a_branch_has_its_parents_data_and_goes_its_own_way() {
    let world = World::start().await;
    let neon = client(&world);
    let created = world.create("one").await;
    write(&uri(&created), TABLE).await;
    // A connection that is open does not keep the branch from being made.
    let _open = connect(&uri(&created)).await.expect("connects");
    let branches = neon.branches(&created.project.id);
    let made = branches
        .create(CreateBranch::named("preview").with_compute())
        .send()
        .await
        .expect("creates");
    let own = made.connection_uris[0].connection_uri.expose_secret();
    assert_eq!(notes(own).await, ["of both"]);
    // The owner of the copy is a role of its own, and may do there what it likes.
    write(
        own,
        "INSERT INTO notes (text) VALUES ('of the branch'); ALTER TABLE notes ADD more text",
    )
    .await;
    write(
        &uri(&created),
        "INSERT INTO notes (text) VALUES ('of main')",
    )
    .await;
    assert_eq!(notes(own).await, ["of both", "of the branch"]);
    assert_eq!(notes(&uri(&created)).await, ["of both", "of main"]);

    let reset = RestoreBranch::from_head(created.branch.id.clone());
    branches
        .restore(&made.branch.id, reset)
        .send()
        .await
        .expect("restores");
    assert_eq!(
        notes(own).await,
        ["of both", "of main"],
        "as its parent now"
    );
    branches
        .delete(&made.branch.id)
        .send()
        .await
        .expect("deletes");
    assert!(connect(own).await.is_err());
    assert_eq!(notes(&uri(&created)).await, ["of both", "of main"]);
}

#[tokio::test]
async fn what_a_branch_held_before_it_was_restored_can_be_kept() {
    let world = World::start().await;
    let neon = client(&world);
    let created = world.create("one").await;
    write(&uri(&created), TABLE).await;
    let branches = neon.branches(&created.project.id);
    let made = branches
        .create(CreateBranch::named("source"))
        .send()
        .await
        .expect("creates");
    write(&uri(&created), "INSERT INTO notes (text) VALUES ('later')").await;
    let restore = RestoreBranch::from_head(made.branch.id.clone()).preserve_under_name("before");
    branches
        .restore(&created.branch.id, restore)
        .send()
        .await
        .expect("restores");
    assert_eq!(notes(&uri(&created)).await, ["of both"]);
    let all = branches.list().all().await.expect("a list");
    let kept = all
        .iter()
        .find(|branch| branch.name == "before")
        .expect("it is kept");
    let source = all
        .iter()
        .find(|branch| branch.name == "source")
        .expect("it is there");
    assert_eq!(
        source.parent_id.as_ref(),
        Some(&kept.id),
        "children stay with what is kept"
    );
    let compute = neon_client::model::CreateEndpoint::new(
        kept.id.clone(),
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
        .branch(&kept.id)
        .send()
        .await
        .expect("a URI");
    assert_eq!(notes(old.uri.expose_secret()).await, ["later", "of both"]);
}

#[tokio::test]
async fn a_branch_of_the_schema_alone_has_tables_and_no_rows() {
    let world = World::start().await;
    let neon = client(&world);
    let created = world.create("one").await;
    write(&uri(&created), TABLE).await;
    let mut request = CreateBranch::named("empty").with_compute();
    request.branch = NewBranch {
        init_source: Some(INIT_SCHEMA_ONLY.to_owned()),
        ..request.branch
    };
    let branches = neon.branches(&created.project.id);
    let made = branches.create(request).send().await.expect("creates");
    assert_eq!(made.branch.parent_id, None);
    let own = made.connection_uris[0].connection_uri.expose_secret();
    assert_eq!(notes(own).await, [""; 0]);
}

#[tokio::test]
async fn a_past_that_cannot_be_had_is_refused_and_one_that_is_the_present_is_not() {
    let world = World::start().await;
    let neon = client(&world);
    let created = world.create("one").await;
    let branches = neon.branches(&created.project.id);
    let before = world.emulator.now();
    write(&uri(&created), TABLE).await;
    let early = CreateBranch::named("early").parent_timestamp(before);
    let error = branches.create(early).send().await.expect_err("refused");
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
        .expect_err("refused");
    assert!(error.message().contains("keeps no history"), "{error}");

    // Nobody was connected since.
    crate::common::until("the connection's end", || async {
        world.open_connections().await == 0
    })
    .await;
    let after = world.emulator.now();
    let late = CreateBranch::named("late")
        .parent_timestamp(after)
        .with_compute();
    let made = branches.create(late).send().await.expect("creates");
    assert_eq!(made.branch.parent_timestamp, Some(after));
    assert_eq!(
        notes(made.connection_uris[0].connection_uri.expose_secret()).await,
        ["of both"]
    );
}

#[tokio::test]
async fn other_roles_may_do_in_the_copy_what_they_may_in_the_parent() {
    let world = World::start().await;
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
    // The role is known to PostgreSQL once it has connected; there it has a name of its own.
    write(&uri(&created), TABLE).await;
    let mut connection = connect(reader.uri.expose_secret()).await.expect("connects");
    let real: String = sqlx::query_scalar("SELECT current_user::text")
        .fetch_one(&mut connection)
        .await
        .expect("a name");
    connection.close().await.expect("closes");
    write(
        &uri(&created),
        &format!("GRANT SELECT ON notes TO \"{real}\""),
    )
    .await;

    let made = neon
        .branches(project)
        .create(CreateBranch::named("preview").with_compute())
        .send()
        .await;
    let made = made.expect("creates");
    let own = neon
        .projects()
        .connection_uri(project, database, &role)
        .branch(&made.branch.id)
        .send()
        .await
        .expect("a URI");
    assert_eq!(notes(own.uri.expose_secret()).await, ["of both"]);
    let error = neon
        .branches(project)
        .create(CreateBranch::named("preview"))
        .send()
        .await
        .expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let error = neon
        .branches(project)
        .delete(branch)
        .send()
        .await
        .expect_err("refused");
    assert!(error.message().contains("default branch"), "{error}");
}

#[tokio::test]
async fn a_branch_whose_time_is_over_is_removed() {
    let world = World::start().await;
    let neon = client(&world);
    let created = world.create("one").await;
    let hour = std::time::Duration::from_hours(1);
    let mut request = CreateBranch::named("short");
    request.branch = request.branch.expires_at(world.emulator.now() + hour);
    let branches = neon.branches(&created.project.id);
    branches.create(request).send().await.expect("creates");
    world.emulator.turn_clock(2 * hour).await.expect("turns");
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
    let gone = deleted
        .iter()
        .find(|branch| branch.name == "short")
        .expect("it can be recovered");
    assert_eq!(
        gone.recovery
            .as_ref()
            .expect("it says how long")
            .deletion_method,
        "ttl"
    );
}

/// Somebody waits for a lock on a row of the emulator's state.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test]
async fn who_waits_for_a_project_that_is_changed_holds_nothing_of_it() {
    let world = World::start().await;
    let created = world.create("one").await;
    connect(&uri(&created)).await.expect("connects");
    let project = created.project.id.as_str();
    let options = PgConnectOptions::from_str(world.postgres.uri()).expect("a URI");
    let options = options.database(&world.control_database);
    let mut change = options.connect().await.expect("connects");
    let mut watch = options.connect().await.expect("connects");

    let mut tx = change.begin().await.expect("begins");
    hold(&mut tx, "projects WHERE id", project).await;
    let path = format!("/projects/{project}");
    let uri = uri(&created);
    let others = async { tokio::join!(connect(&uri), world.get(&path)) };
    let changes = async {
        waiting(&mut watch, 2).await;
        for table in ["endpoints", "usage_hours"] {
            hold_at_once(&mut tx, table, project).await;
        }
        tx.commit().await.expect("commits");
    };
    let ((connected, _), ()) = tokio::join!(others, changes);
    connected.expect("connects when the change is done");
}

#[tokio::test]
async fn who_connects_first_while_roles_and_databases_are_changed_holds_nothing_of_the_project() {
    let world = World::start().await;
    let created = world.create("one").await;
    let project = created.project.id.as_str();
    let options = PgConnectOptions::from_str(world.postgres.uri()).expect("a URI");
    let options = options.database(&world.control_database);
    let mut change = options.connect().await.expect("connects");
    let mut watch = options.connect().await.expect("connects");

    // What a call holds that makes or changes a database; a foreign key makes it want the branch too.
    let mut tx = change.begin().await.expect("begins");
    for table in [
        "projects WHERE id",
        "roles WHERE project_id",
        "databases WHERE project_id",
    ] {
        hold(&mut tx, table, project).await;
    }
    let uri = uri(&created);
    let changes = async {
        waiting(&mut watch, 1).await;
        for table in ["branches", "endpoints", "usage_hours"] {
            hold_at_once(&mut tx, table, project).await;
        }
        tx.commit().await.expect("commits");
    };
    let (connected, ()) = tokio::join!(connect(&uri), changes);
    connected.expect("connects when the change is done");
}

async fn hold(tx: &mut PgConnection, rows: &str, project: &str) {
    sqlx::query(AssertSqlSafe(format!("SELECT FROM {rows} = $1 FOR UPDATE")))
        .bind(project)
        .execute(tx)
        .await
        .expect("locks");
}

/// Holds a project's rows in this table, which nobody else may hold.
async fn hold_at_once(tx: &mut PgConnection, table: &str, project: &str) {
    let rows = format!("SELECT FROM {table} WHERE project_id = $1 FOR UPDATE NOWAIT");
    sqlx::query(AssertSqlSafe(rows))
        .bind(project)
        .execute(tx)
        .await
        .unwrap_or_else(|error| unexpected(table, &error));
}

#[expect(clippy::panic, reason = "the test ends here")]
fn unexpected(table: &str, error: &sqlx::Error) -> sqlx::postgres::PgQueryResult {
    panic!("rows of {table} are held: {error}")
}

/// Waits until so many wait for rows of the emulator's state.
async fn waiting(watch: &mut PgConnection, wanted: i64) {
    let limit = Instant::now() + SOON;
    loop {
        let waiting: i64 = sqlx::query_scalar(WAITING)
            .fetch_one(&mut *watch)
            .await
            .expect("counts");
        if waiting >= wanted {
            return;
        }
        assert!(Instant::now() < limit, "{waiting} wait");
    }
}
