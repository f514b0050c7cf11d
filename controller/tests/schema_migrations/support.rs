//! What these tests share: one PostgreSQL server, and a database of its own for each test.

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

use crate::relay::Relay;

/// How long a condition is waited for.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(20);
/// The password of every test's role, to look for in texts.
pub(crate) const PASSWORD: &str = "hunter2-is-not-to-be-seen";

/// The server, for as long as a test holds it: a static value would never be dropped, and its folder would stay behind.
static SERVER: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());
static NEXT: AtomicU32 = AtomicU32::new(1);

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
        Err(error) => panic!("these tests need a PostgreSQL server: {error}"),
    }
}

/// An empty database, owned by a role that is nothing special.
pub(crate) struct TestDatabase {
    pub(crate) target: DatabaseTarget,
    _server: Arc<Server>,
}

impl TestDatabase {
    pub(crate) async fn create() -> Self {
        let server = server().await;
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut root = PgConnection::connect(server.uri())
            .await
            .expect("the server answers");
        for sql in [
            format!("CREATE ROLE {name}_owner LOGIN PASSWORD '{PASSWORD}'"),
            format!("CREATE DATABASE {name} OWNER {name}_owner"),
        ] {
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut root)
                .await
                .expect("the database is made");
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
            _server: server,
        }
    }

    /// Another session of the same role, as the application or a person would have.
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
            .expect("the database answers")
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
        let seen = async {
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
        tokio::time::timeout(WAIT_MAX, seen)
            .await
            .unwrap_or_else(|_| panic!("never came true: {sql}"));
    }
}

pub(crate) async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .expect(sql);
}

pub(crate) fn set(files: &[(&str, &str)]) -> MigrationSet {
    MigrationSet::from_files(files.iter().copied()).expect("a set")
}

/// Limits that do not keep a test waiting.
pub(crate) fn limits() -> MigrationLimits {
    MigrationLimits {
        connect_total_timeout: Duration::from_secs(5),
        lock_timeout: Duration::from_secs(15),
        table_lock_timeout: Duration::from_secs(2),
        ..MigrationLimits::default()
    }
}

/// Two migrations that need nothing.
pub(crate) const TWO: [(&str, &str); 2] = [
    ("0001_a.sql", "CREATE TABLE a (n int)"),
    ("0002_b.sql", "CREATE TABLE b (n int)"),
];

/// The database, reached through the relay.
pub(crate) fn through(relay: &Relay, database: &TestDatabase) -> DatabaseTarget {
    DatabaseTarget {
        port: relay.port(),
        ..database.target.clone()
    }
}

/// Migrates, and returns what was applied.
pub(crate) async fn migrated(database: &TestDatabase, set: &MigrationSet) -> Vec<i64> {
    match migrate(&database.target, set, &limits()).await {
        Ok(migrated) => migrated.applied,
        Err(failure) => panic!("{failure}"),
    }
}

/// Migrates in vain, and returns why.
pub(crate) async fn refused(database: &TestDatabase, set: &MigrationSet) -> MigrationError {
    let outcome = migrate(&database.target, set, &limits()).await;
    outcome.expect_err("it should be refused").error
}

/// Migrates in vain, and returns the statement that failed.
pub(crate) async fn failing_statement(
    database: &TestDatabase,
    set: &MigrationSet,
) -> StatementError {
    match refused(database, set).await {
        MigrationError::Statement(error) => *error,
        other => panic!("{other}"),
    }
}
