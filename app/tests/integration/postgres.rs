//! The PostgreSQL server of all tests. It stops with the test program.

use std::sync::atomic::{AtomicU32, Ordering};

use local_servers::postgres::Server;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::OnceCell;

static POSTGRES: OnceCell<Server> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

pub(crate) async fn postgres() -> &'static Server {
    let _ = rustls::crypto::ring::default_provider().install_default();
    POSTGRES
        .get_or_init(|| async { Server::builder().start().await.expect("PostgreSQL starts") })
        .await
}

/// A name of a database that no other test uses.
pub(crate) fn database_name(what: &str) -> String {
    format!("{what}_{}", DATABASES.fetch_add(1, Ordering::Relaxed))
}

/// Creates a database and returns its URL.
pub(crate) async fn empty_database() -> String {
    let server = postgres().await;
    let name = database_name("main");
    let mut connection = PgConnection::connect(server.uri()).await.expect("connects");
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .expect("a database");
    connection.close().await.expect("closes");
    let mut url = url::Url::parse(server.uri()).expect("a URL");
    url.set_path(&name);
    url.into()
}
