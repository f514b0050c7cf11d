//! The app in this process, over a database and a cluster of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use app::config::{self, Config};
use app::domain::{Role, Workspace};
use app::ids::{UserId, WorkspaceId};
use app::run::compose;
use app::telemetry::Metrics;
use app::tenants::{TenantName, TenantView, Unavailable};
use app::web::router::{router, router_of};
use app::web::shared::App;
use app::web::shared::route::Route;
use app::workspaces::store;
use axum::Router;
use futures::StreamExt as _;
use local_servers::postgres::Server;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::browser::Browser;
use crate::cluster::{Cluster, NAMESPACE};

/// How long anything may take that is waited for.
pub(crate) const SOON: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);
/// As browsers know the app.
pub(crate) const ORIGIN: &str = "http://127.0.0.1:8000";

/// The server of all tests. It ends with the test program.
static POSTGRES: OnceCell<Server> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

pub(crate) async fn postgres() -> &'static Server {
    let _ = rustls::crypto::ring::default_provider().install_default();
    POSTGRES
        .get_or_init(|| async { Server::builder().start().await.expect("PostgreSQL starts") })
        .await
}

/// The URL of an empty database of its own.
pub(crate) async fn empty_database() -> String {
    let server = postgres().await;
    let options = PgConnectOptions::from_str(server.uri()).expect("a URI");
    let name = format!("web_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect_with(&options)
        .await
        .expect("connects");
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .expect("a database");
    connection.close().await.expect("closes");
    let mut url = url::Url::parse(server.uri()).expect("a URL");
    url.set_path(&name);
    url.into()
}

/// Settings for this database, with these flags besides.
pub(crate) fn settings(database: &str, flags: &[&str]) -> Config {
    let own = [
        "chat-app",
        "serve",
        "--bucket=files",
        "--openai-base-url=http://127.0.0.1:9/v1",
        "--database-connections-max=8",
    ];
    let with_default = |name: &str, value: String| {
        let given = flags.iter().any(|flag| flag.starts_with(name));
        (!given).then(|| format!("{name}{value}"))
    };
    let defaults = [
        with_default("--public-url=", ORIGIN.to_owned()),
        with_default("--sign-in=", "local".to_owned()),
    ];
    let args = own
        .iter()
        .chain(flags)
        .map(|flag| (*flag).to_owned())
        .chain(defaults.into_iter().flatten())
        .map(OsString::from);
    let env = BTreeMap::from([
        ("DATABASE_URL".to_owned(), database.to_owned()),
        ("OPENAI_API_KEY".to_owned(), "sk-test".to_owned()),
    ]);
    let (_, work) = config::load(args, &env).expect("settings");
    work.config().expect("pages")
}

/// The app, and what it stands on.
pub(crate) struct Site {
    pub(crate) app: App,
    pub(crate) cluster: Cluster,
    router: Router,
    _stop: DropGuard,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(flags: &[&str]) -> Self {
        Self::of(flags, None).await
    }

    /// With these routes instead of the app's.
    pub(crate) async fn of(flags: &[&str], routes: Option<Vec<Route>>) -> Self {
        let config = settings(&empty_database().await, flags);
        app::database::migrate(&config.database)
            .await
            .expect("migrated");
        let cluster = Cluster::new();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let app = compose(
            Arc::new(config),
            cluster.client(),
            Arc::new(Metrics::new()),
            &tasks,
            &stop,
        )
        .await
        .expect("parts");
        app.tenants.wait_until_synced().await;
        Self {
            router: match routes {
                Some(routes) => router_of(&app, routes),
                None => router(&app),
            },
            app,
            cluster,
            _stop: stop.drop_guard(),
        }
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// A browser without cookies.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.router())
    }

    /// A browser in which somebody of this name has signed in.
    pub(crate) async fn signed_in(&self, name: &str) -> Browser {
        let mut browser = self.browser();
        browser.sign_in(name).await;
        browser
    }

    pub(crate) async fn user(&self, name: &str) -> UserId {
        let (id,): (uuid::Uuid,) =
            sqlx::query_as("SELECT user_id FROM identities WHERE subject = $1")
                .bind(name)
                .fetch_one(&self.app.database)
                .await
                .expect("somebody of this name");
        UserId(id)
    }

    /// The user's first workspace, once its Tenant was applied.
    pub(crate) async fn workspace_of(&self, user: UserId) -> Workspace {
        let limit = Instant::now() + SOON;
        loop {
            let mut all = store::of_user(&self.app.database, user)
                .await
                .expect("rows");
            let (workspace, _) = all.pop().expect("a workspace");
            if workspace.tenant_uid.is_some() {
                return workspace;
            }
            assert!(Instant::now() < limit, "no Tenant was applied");
            sleep(POLL).await;
        }
    }

    /// Waits until the watch of Tenants has made the workspace's database what is wanted of it.
    pub(crate) async fn until_database(
        &self,
        workspace: &Workspace,
        is_so: impl Fn(&Result<Arc<TenantView>, Unavailable>) -> bool,
    ) {
        // The first item is the state as it is.
        let name = TenantName::of(&workspace.id);
        let mut changes = std::pin::pin!(self.app.tenants.changes(&name));
        timeout(SOON, async {
            while !is_so(&self.app.tenants.available(workspace)) {
                changes.next().await.expect("the watch goes on");
            }
        })
        .await
        .expect("the app sees the Tenant change");
    }

    /// Makes somebody a member, by the row.
    pub(crate) async fn join(&self, user: UserId, workspace: &WorkspaceId, role: Role) {
        sqlx::query("INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, $3)")
            .bind(workspace.as_str())
            .bind(user.0)
            .bind(role)
            .execute(&self.app.database)
            .await
            .expect("a member");
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&self.app.database)
            .await
            .expect("a number")
    }

    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::query(sql)
            .execute(&self.app.database)
            .await
            .expect("done");
    }

    /// The name of a workspace's Tenant in the cluster.
    pub(crate) fn tenant_name(workspace: &WorkspaceId) -> String {
        format!("ws-{workspace}")
    }
}

/// The namespace of the tests' Tenants, which is the settings' default.
const _: () = assert!(matches!(NAMESPACE.as_bytes(), b"chat-tenants"));
