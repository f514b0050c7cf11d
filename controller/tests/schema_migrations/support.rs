//! A PostgreSQL server that the tests share, and a database for each test.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use controller::migrations::{
    DatabaseTarget, MigrationError, MigrationLimits, MigrationSet, StatementError, Tls, migrate,
};
use local_servers::postgres::Server;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::relay::Relay;

/// For waiting until a condition is true.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(20);
/// Limit on a call that must return although the database would keep it waiting for an hour. Far
/// longer than the call takes, so that a busy machine does not matter.
const RETURN_TIMEOUT: Duration = Duration::from_mins(3);
/// The password of all roles. Tests search for it in messages.
pub(crate) const PASSWORD: &str = "hunter2-must-not-be-printed";

/// The server, while a test uses it. A static `Arc` would never be dropped, and the server's
/// directory would not be deleted.
static SERVER: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());
static NEXT_DATABASE: AtomicU32 = AtomicU32::new(1);

pub(crate) async fn server() -> Arc<Server> {
    let mut shared = SERVER.lock().await;
    if let Some(server) = shared.upgrade() {
        return server;
    }
    match Server::builder().start().await {
        Ok(server) => {
            let server = Arc::new(server);
            *shared = Arc::downgrade(&server);
            server
        }
        Err(error) => panic!("failed to start a PostgreSQL server: {error}"),
    }
}

/// An empty database, owned by a role without special privileges.
pub(crate) struct TestDatabase {
    pub(crate) target: DatabaseTarget,
    server: Arc<Server>,
}

impl TestDatabase {
    pub(crate) async fn create() -> Self {
        let server = server().await;
        let name = format!("t{}", NEXT_DATABASE.fetch_add(1, Ordering::Relaxed));
        let mut root = PgConnection::connect(server.uri())
            .await
            .expect("connected to the server");
        for sql in [
            format!("CREATE ROLE {name}_owner LOGIN PASSWORD '{PASSWORD}'"),
            format!("CREATE DATABASE {name} OWNER {name}_owner"),
        ] {
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut root)
                .await
                .expect("created the database");
        }
        root.close().await.expect("closed");
        Self {
            target: DatabaseTarget {
                host: "127.0.0.1".to_owned(),
                port: server.port(),
                database: name.clone(),
                role: format!("{name}_owner"),
                password: PASSWORD.to_owned().into(),
                options: None,
                tls: Tls::DisabledOnLoopback,
            },
            server,
        }
    }

    /// Another session of the same role, such as the application's.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnectOptions::new_without_pgpass()
            .host(&self.target.host)
            .port(self.target.port)
            .database(&self.target.database)
            .username(&self.target.role)
            .password(PASSWORD)
            .ssl_mode(PgSslMode::Disable)
            .connect()
            .await
            .expect("connected to the database")
    }

    /// A session of a superuser in the database.
    pub(crate) async fn connect_as_root(&self) -> PgConnection {
        let options: PgConnectOptions = self.server.uri().parse().expect("a URI");
        options
            .database(&self.target.database)
            .connect()
            .await
            .expect("connected to the database")
    }

    pub(crate) async fn run(&self, sql: &str) {
        let mut connection = self.connect().await;
        execute(&mut connection, sql).await;
        connection.close().await.expect("closed");
    }

    /// The first column of the rows, as text.
    pub(crate) async fn column(&self, sql: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&mut connection)
            .await
            .expect(sql)
    }

    /// Waits until the query returns a row.
    pub(crate) async fn wait_for(&self, sql: &str) {
        let mut connection = self.connect().await;
        let poll = async {
            loop {
                let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
                if query
                    .fetch_optional(&mut connection)
                    .await
                    .expect(sql)
                    .is_some()
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(WAIT_TIMEOUT, poll)
            .await
            .unwrap_or_else(|_| panic!("timed out waiting for a row: {sql}"));
    }
}

pub(crate) async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .expect(sql);
}

pub(crate) fn set(files: &[(&str, &str)]) -> MigrationSet {
    MigrationSet::from_files(files.iter().copied()).expect("the set is valid")
}

/// Limits that are short enough for tests.
/// Awaits a call that must return on its own.
pub(crate) async fn returns<T>(what: &str, call: impl Future<Output = T>) -> T {
    timeout(RETURN_TIMEOUT, call)
        .await
        .unwrap_or_else(|_| panic!("{what}: no result after {} s", RETURN_TIMEOUT.as_secs()))
}

/// Limits under which a transient error would be retried for longer than [`returns`] waits.
pub(crate) fn patient() -> MigrationLimits {
    MigrationLimits {
        connect_total_timeout: Duration::from_hours(1),
        ..limits()
    }
}

pub(crate) fn limits() -> MigrationLimits {
    MigrationLimits {
        connect_total_timeout: Duration::from_secs(5),
        lock_timeout: Duration::from_secs(15),
        table_lock_timeout: Duration::from_secs(2),
        ..MigrationLimits::default()
    }
}

pub(crate) const TWO_MIGRATIONS: [(&str, &str); 2] = [
    ("0001_a.sql", "CREATE TABLE a (n int)"),
    ("0002_b.sql", "CREATE TABLE b (n int)"),
];

/// The database, with connections through the relay.
pub(crate) fn through(relay: &Relay, database: &TestDatabase) -> DatabaseTarget {
    DatabaseTarget {
        port: relay.port(),
        ..database.target.clone()
    }
}

/// Migrates and returns the applied versions.
pub(crate) async fn migrate_ok(database: &TestDatabase, set: &MigrationSet) -> Vec<i64> {
    match migrate(&database.target, set, &limits()).await {
        Ok(report) => report.applied,
        Err(failure) => panic!("{failure}"),
    }
}

/// Migrates and returns the error.
pub(crate) async fn migrate_err(database: &TestDatabase, set: &MigrationSet) -> MigrationError {
    let result = migrate(&database.target, set, &limits()).await;
    result.expect_err("the migration fails").error
}

/// Migrates and returns the error of the statement that failed.
pub(crate) async fn statement_error(database: &TestDatabase, set: &MigrationSet) -> StatementError {
    match migrate_err(database, set).await {
        MigrationError::Statement(error) => *error,
        other => panic!("{other}"),
    }
}
