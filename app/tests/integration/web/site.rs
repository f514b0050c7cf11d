//! The app in the test process, with its own database and fake cluster.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

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
use test_support::wait::until_some;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::api_server::{Cluster, NAMESPACE};
use crate::browser::Browser;
use crate::fixture::TIMEOUT;
use crate::postgres::empty_database;

/// The public URL of the app.
pub(crate) const ORIGIN: &str = "http://127.0.0.1:8000";

/// The settings for a database, with additional flags.
pub(crate) fn settings(database: &str, flags: &[&str]) -> Config {
    let own = [
        "chat-app",
        "serve",
        "--bucket=files",
        "--openai-base-url=http://127.0.0.1:9/v1",
        "--max-database-connections=8",
    ];
    let with_default = |name: &str, value: String| {
        let given = flags.iter().any(|flag| flag.starts_with(name));
        (!given).then(|| format!("{name}{value}"))
    };
    let defaults = [
        with_default("--public-url=", ORIGIN.to_owned()),
        with_default("--auth-mode=", "local".to_owned()),
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
    match config::load(args, &env).expect("settings") {
        config::Role::Serve(config) => *config,
        other => panic!("{other:?}"),
    }
}

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

    /// With the given routes instead of the app's.
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
        .expect("components");
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

    /// A browser in which a user of this name is signed in.
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
                .expect("a user of this name");
        UserId(id)
    }

    /// Waits until the Tenant of the user's first workspace is applied, and returns the workspace.
    pub(crate) async fn workspace_of(&self, user: UserId) -> Workspace {
        until_some("the Tenant is applied", || async {
            let mut all = store::of_user(&self.app.database, user)
                .await
                .expect("rows");
            let (workspace, _) = all.pop().expect("a workspace");
            workspace.tenant_uid.is_some().then_some(workspace)
        })
        .await
    }

    /// Waits until the Tenant watch reports a state of the database that satisfies the condition.
    pub(crate) async fn until_database(
        &self,
        workspace: &Workspace,
        condition: impl Fn(&Result<Arc<TenantView>, Unavailable>) -> bool,
    ) {
        // The stream yields the current state first.
        let name = TenantName::of(&workspace.id);
        let mut changes = std::pin::pin!(self.app.tenants.changes(&name));
        timeout(TIMEOUT, async {
            while !condition(&self.app.tenants.available(workspace)) {
                changes.next().await.expect("an endless watch");
            }
        })
        .await
        .expect("the state of the Tenant in time");
    }

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

    pub(crate) fn tenant_name(workspace: &WorkspaceId) -> String {
        format!("ws-{workspace}")
    }
}

/// The fake cluster uses the default namespace of the settings.
const _: () = assert!(matches!(NAMESPACE.as_bytes(), b"chat-tenants"));
