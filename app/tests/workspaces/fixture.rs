//! Shared setup: one PostgreSQL server for all tests, and a database and API server for each test.

use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use app::config::{ByteSize, WorkspaceQuota};
use app::domain::{Role, Workspace};
use app::ids::{UserId, WorkspaceId};
use app::tenants::{PoolLimits, Pools, TenantName, Tenants};
use app::workspaces::create::{NewWorkspace, WorkspaceLimits, create};
use app::workspaces::reconcile;
use local_servers::postgres::Server;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::api_server::{Cluster, NAMESPACE};

/// Limit on every wait.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// Shared by all tests; stops with the test process.
static POSTGRES: OnceCell<Server> = OnceCell::const_new();
static NEXT_DATABASE: AtomicU32 = AtomicU32::new(0);

pub(crate) async fn postgres() -> &'static Server {
    let _ = rustls::crypto::ring::default_provider().install_default();
    POSTGRES
        .get_or_init(|| async { Server::builder().start().await.expect("PostgreSQL starts") })
        .await
}

/// The app's components with their own database and API server.
pub(crate) struct Fixture {
    pub(crate) database: PgPool,
    pub(crate) cluster: Cluster,
    pub(crate) tenants: Tenants,
    pub(crate) pools: Pools,
    pub(crate) limits: WorkspaceLimits,
    _stop: DropGuard,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with(PoolLimits::default()).await
    }

    pub(crate) async fn with(limits: PoolLimits) -> Self {
        let database = database().await;
        let cluster = Cluster::new();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let tenants = Tenants::start(cluster.client(), NAMESPACE, &tasks, &stop);
        tenants.wait_until_synced().await;
        let pools = Pools::start(tenants.clone(), limits, &tasks, &stop);
        Self {
            database,
            cluster,
            tenants,
            pools,
            limits: WorkspaceLimits {
                classes: vec!["default".to_owned()],
                regions: vec!["aws-eu-central-1".to_owned()],
                max_workspaces_per_user: 3,
                max_members: 4,
            },
            _stop: stop.drop_guard(),
        }
    }

    pub(crate) async fn user(&self, name: &str) -> UserId {
        let id = UserId::random();
        sqlx::query("INSERT INTO users (id, display_name) VALUES ($1, $2)")
            .bind(id.0)
            .bind(name)
            .execute(&self.database)
            .await
            .expect("a user");
        id
    }

    /// A workspace whose Tenant is applied.
    pub(crate) async fn workspace(&self, owner: UserId) -> Workspace {
        let made = create(&self.database, &self.limits, owner, &new_workspace("Acme"))
            .await
            .expect("rows");
        reconcile::ensure_tenant(&self.database, &self.tenants, &made.id)
            .await
            .expect("applied")
            .expect("there")
    }

    /// The limits of the fixture with another member limit.
    pub(crate) fn plan(&self, max_members: u32) -> WorkspaceQuota {
        WorkspaceQuota {
            max_upload_bytes: ByteSize(1_000_000),
            max_documents: count(20),
            max_workspaces_per_user: count(self.limits.max_workspaces_per_user),
            max_members: count(max_members),
        }
    }

    /// Adds a member by inserting a row.
    pub(crate) async fn join(&self, workspace: &WorkspaceId, role: Role) -> UserId {
        let user = self.user("another").await;
        sqlx::query("INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, $3)")
            .bind(workspace.as_str())
            .bind(user.0)
            .bind(role)
            .execute(&self.database)
            .await
            .expect("a member");
        user
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&self.database)
            .await
            .expect("a number")
    }

    /// Waits until the cached Tenant satisfies the condition.
    pub(crate) async fn wait_for_tenant(
        &self,
        workspace: &WorkspaceId,
        holds: impl Fn(Option<&app::tenants::TenantView>) -> bool,
    ) {
        let name = TenantName::of(workspace);
        wait_until("the cached Tenant", || async {
            holds(self.tenants.view(&name).as_deref())
        })
        .await;
    }
}

pub(crate) fn new_workspace(name: &str) -> NewWorkspace {
    NewWorkspace {
        request_id: Uuid::new_v4(),
        name: name.parse().expect("a name"),
        class_name: None,
        region: None,
        is_personal: false,
    }
}

/// Creates a database with the tables of the app.
async fn database() -> PgPool {
    let server = postgres().await;
    let options = PgConnectOptions::from_str(server.uri()).expect("a URI");
    let name = format!("app_{}", NEXT_DATABASE.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect_with(&options)
        .await
        .expect("connects");
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .expect("a database");
    connection.close().await.expect("closes");
    let database = PgPoolOptions::new()
        .max_connections(12)
        .connect_with(options.database(&name))
        .await
        .expect("connects");
    sqlx::migrate!("./migrations")
        .run(&database)
        .await
        .expect("tables");
    database
}

/// Waits until the condition holds.
pub(crate) async fn wait_until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let limit = Instant::now() + TIMEOUT;
    while !holds().await {
        assert!(Instant::now() < limit, "timed out waiting for: {what}");
        sleep(POLL).await;
    }
}

fn count(number: u32) -> std::num::NonZeroU32 {
    std::num::NonZeroU32::new(number).expect("not zero")
}
