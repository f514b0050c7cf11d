//! The app's components with a database and an API server of their own.

use std::time::Duration;

use app::config::{ByteSize, WorkspaceQuota};
use app::domain::{Role, Workspace};
use app::ids::{UserId, WorkspaceId};
use app::tenants::{PoolLimits, Pools, TenantName, Tenants};
use app::workspaces::create::{NewWorkspace, WorkspaceLimits, create};
use app::workspaces::reconcile;
use futures::StreamExt as _;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::api_server::{Cluster, NAMESPACE};
use crate::postgres::empty_database;

/// Limit on every wait.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

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
                max_workspaces: 100,
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
            max_workspaces: count(self.limits.max_workspaces),
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
        // The stream yields the current state first, and never ends.
        let mut changes = std::pin::pin!(self.tenants.changes(&TenantName::of(workspace)));
        let waiting =
            async { while !holds(changes.next().await.expect("an endless stream").as_deref()) {} };
        timeout(TIMEOUT, waiting).await.expect("the cached Tenant");
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
    let database = PgPoolOptions::new()
        .max_connections(12)
        .connect(&empty_database().await)
        .await
        .expect("connects");
    sqlx::migrate!("./migrations")
        .run(&database)
        .await
        .expect("tables");
    database
}

fn count(number: u32) -> std::num::NonZeroU32 {
    std::num::NonZeroU32::new(number).expect("not zero")
}
