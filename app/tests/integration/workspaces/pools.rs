//! Pools against the emulator's data plane, with TLS, endpoints and passwords like Neon's.

use std::time::Duration;

use app::domain::Workspace;
use app::tenants::{PoolLimits, TenantDatabase, Unavailable};
use crds::{Connection, ConnectionDetails, SSL_MODE};
use neon_client::model::{CreateProject, CreatedProject, ProjectEnvelope};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use test_support::wait::{until_some, until_true};
use tokio::time::timeout;

use crate::emulator::Emulated;
use crate::fixture::{Fixture, TIMEOUT};

pub(crate) struct DataPlaneFixture {
    pub(crate) fixture: Fixture,
    emulator: Emulated,
    http: reqwest::Client,
}

impl DataPlaneFixture {
    pub(crate) async fn start(limits: PoolLimits) -> Self {
        Self {
            fixture: Fixture::with(limits).await,
            emulator: Emulated::start().await,
            http: reqwest::Client::builder().timeout(TIMEOUT).build().unwrap(),
        }
    }

    async fn call<T: serde::de::DeserializeOwned>(&self, path: &str, body: &Value) -> T {
        let url = format!("{}{path}", self.emulator.api_url());
        let request = self.http.post(url).bearer_auth(self.emulator.api_key());
        let response = request.json(body).send().await.expect("an answer");
        assert!(response.status().is_success(), "{response:?}");
        response.json().await.expect("JSON")
    }

    /// A workspace with an available database.
    pub(crate) async fn workspace(&self) -> (Workspace, CreatedProject) {
        let workspace = self.fixture.workspace(self.fixture.user("Ada").await).await;
        let body = serde_json::to_value(ProjectEnvelope {
            project: CreateProject::named(workspace.id.as_str()),
        })
        .unwrap();
        let project: CreatedProject = self.call("/projects", &body).await;
        self.write_secret(&workspace, &project, &password(&project));
        self.fixture.cluster.make_available(
            &format!("ws-{}", workspace.id),
            &secret(&workspace),
            2,
        );
        until_true("the available Tenant", || async {
            self.fixture.tenants.available(&workspace).is_ok()
        })
        .await;
        (workspace, project)
    }

    fn write_secret(&self, workspace: &Workspace, project: &CreatedProject, password: &str) {
        self.put_secret(&secret(workspace), &self.details(project, password));
    }

    fn details(&self, project: &CreatedProject, password: &str) -> ConnectionDetails {
        let endpoint = &project.endpoints[0].id;
        ConnectionDetails {
            connection: Connection {
                host: "127.0.0.1".to_owned(),
                pooled_host: "127.0.0.1".to_owned(),
                port: i32::from(self.emulator.data_addr().port()),
                database: "neondb".to_owned(),
                role: "neondb_owner".to_owned(),
                ssl_mode: SSL_MODE.to_owned(),
                options: Some(format!("endpoint={endpoint}")),
            },
            pooled_options: Some(format!("endpoint={endpoint}-pooler")),
            password: password.to_owned(),
            ca_crt: Some(self.emulator.ca_pem().to_owned()),
        }
    }

    fn put_secret(&self, name: &str, details: &ConnectionDetails) {
        self.fixture.cluster.put(
            "secrets",
            name,
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": details.to_data() }),
        );
    }

    async fn new_password(&self, project: &CreatedProject) -> String {
        let path = format!(
            "/projects/{}/branches/{}/roles/neondb_owner/reset_password",
            project.project.id, project.branch.id
        );
        let answer: Value = self.call(&path, &json!({})).await;
        answer["role"]["password"].as_str().unwrap().to_owned()
    }

    async fn open_connections(&self) -> u64 {
        let projects = self.emulator.projects().await.unwrap();
        projects
            .iter()
            .map(|project| project.connections_open)
            .sum()
    }
}

fn password(project: &CreatedProject) -> String {
    let parameters = &project.connection_uris[0].connection_parameters;
    parameters.password.expose_secret().to_owned()
}

fn secret(workspace: &Workspace) -> String {
    format!("ws-{}-connection", workspace.id)
}

async fn query(database: &TenantDatabase) -> i32 {
    sqlx::query_scalar("SELECT 41 + 1")
        .fetch_one(database.pool())
        .await
        .expect("an answer")
}

fn limits_of(max_pools: usize) -> PoolLimits {
    PoolLimits {
        max_pools,
        slot_timeout: Duration::from_millis(200),
        ..PoolLimits::default()
    }
}

#[tokio::test]
async fn concurrent_callers_share_one_pool() {
    let plane = DataPlaneFixture::start(PoolLimits::default()).await;
    let (workspace, _) = plane.workspace().await;
    let reads = plane.fixture.cluster.requests("GET secrets/ws-");
    let (one, two, three) = tokio::join!(
        plane.fixture.pools.get(&workspace),
        plane.fixture.pools.get(&workspace),
        plane.fixture.pools.get(&workspace),
    );
    for database in [one, two, three] {
        assert_eq!(query(&database.expect("open")).await, 42);
    }
    assert_eq!(plane.fixture.cluster.requests("GET secrets/ws-"), reads + 1);
    assert_eq!(plane.fixture.pools.counts().open, 1);
}

#[tokio::test]
async fn opening_a_database_records_its_use_at_most_once_an_hour() {
    let plane = DataPlaneFixture::start(PoolLimits::default()).await;
    let cluster = &plane.fixture.cluster;
    let used_at = |workspace: &Workspace| {
        let tenant = cluster.tenant(&format!("ws-{}", workspace.id))?;
        let annotations = &tenant["metadata"]["annotations"];
        let text = annotations["dbpertenant.dev/used-at"].as_str()?;
        Some(text.parse::<jiff::Timestamp>().expect("a time"))
    };
    let open = async |workspace| {
        drop(plane.fixture.pools.get(workspace).await.expect("open"));
    };
    let (workspace, _) = plane.workspace().await;
    open(&workspace).await;
    let first = until_some("the record", || async { used_at(&workspace) }).await;
    plane.fixture.pools.close(&workspace.id);
    open(&workspace).await;
    // The record of a later opening shows that there would be another one by now.
    let (other, _) = plane.workspace().await;
    open(&other).await;
    until_some("the other record", || async { used_at(&other) }).await;
    assert_eq!(used_at(&workspace), Some(first));
}

#[tokio::test]
async fn the_longest_idle_pool_is_closed_to_make_room_and_pools_in_use_are_kept() {
    let plane = DataPlaneFixture::start(limits_of(2)).await;
    let (first, _) = plane.workspace().await;
    let (second, _) = plane.workspace().await;
    let (third, _) = plane.workspace().await;
    let pools = &plane.fixture.pools;
    let held = pools.get(&first).await.expect("open");
    drop(pools.get(&second).await.expect("open"));
    let also_held = pools.get(&third).await.expect("a slot was freed");
    assert_eq!(query(&held).await, 42, "the pool in use is kept");
    assert_eq!(pools.counts().open, 2);
    let refused = pools.get(&second).await.map(|_| ());
    assert_eq!(
        refused,
        Err(Unavailable::PoolsExhausted),
        "both slots are in use"
    );
    let waiting = tokio::spawn({
        let (pools, second) = (pools.clone(), second.clone());
        async move {
            loop {
                match pools.get(&second).await {
                    Err(Unavailable::PoolsExhausted) => {}
                    other => return other,
                }
            }
        }
    });
    drop(also_held);
    let database = timeout(TIMEOUT, waiting).await.unwrap().unwrap();
    assert_eq!(query(&database.expect("a slot became free")).await, 42);
}

#[tokio::test]
async fn idle_pools_are_closed_so_that_computes_can_suspend() {
    let plane = DataPlaneFixture::start(PoolLimits {
        idle_timeout: Duration::from_millis(200),
        ..PoolLimits::default()
    })
    .await;
    let (workspace, _) = plane.workspace().await;
    let database = plane.fixture.pools.get(&workspace).await.expect("open");
    assert_eq!(query(&database).await, 42);
    drop(database);
    until_true("all connections to close", || async {
        plane.open_connections().await == 0 && plane.fixture.pools.counts().open == 0
    })
    .await;
    let again = plane
        .fixture
        .pools
        .get(&workspace)
        .await
        .expect("open again");
    assert_eq!(query(&again).await, 42);
}

#[tokio::test]
async fn a_rotated_password_is_picked_up_without_a_restart() {
    let plane = DataPlaneFixture::start(PoolLimits::default()).await;
    let (workspace, project) = plane.workspace().await;
    let pools = &plane.fixture.pools;
    assert_eq!(query(&pools.get(&workspace).await.expect("open")).await, 42);
    let password = plane.new_password(&project).await;
    plane.write_secret(&workspace, &project, &password);
    let reads = plane.fixture.cluster.requests("GET secrets/ws-");
    until_true("the new Secret to be read", || async {
        drop(pools.get(&workspace).await);
        plane.fixture.cluster.requests("GET secrets/ws-") > reads
    })
    .await;
    assert_eq!(query(&pools.get(&workspace).await.expect("open")).await, 42);
    let reads = plane.fixture.cluster.requests("GET secrets/ws-");
    for _ in 0..5 {
        drop(pools.get(&workspace).await.expect("open"));
    }
    assert_eq!(
        plane.fixture.cluster.requests("GET secrets/ws-"),
        reads,
        "the Secret is read only when it changed"
    );
}

#[tokio::test]
async fn running_queries_finish_on_the_old_pool() {
    let plane = DataPlaneFixture::start(PoolLimits::default()).await;
    let (workspace, project) = plane.workspace().await;
    let pools = &plane.fixture.pools;
    let old = pools.get(&workspace).await.expect("open");
    let mut running = old.begin().await.expect("a transaction");
    // A different address of the same database.
    let name = secret(&workspace);
    let password = password(&project);
    let mut details = plane.details(&project, &password);
    details.pooled_options = None;
    plane.put_secret(&name, &details);
    until_true("a second pool", || async {
        drop(pools.get(&workspace).await.expect("open"));
        pools.counts().open == 2
    })
    .await;
    assert_eq!(query(&pools.get(&workspace).await.expect("open")).await, 42);
    let number: i32 = sqlx::query_scalar("SELECT 7")
        .fetch_one(&mut *running)
        .await
        .expect("the old pool still works");
    assert_eq!(number, 7);
    drop((running, old));
    until_true("the old pool to close", || async {
        pools.counts().open == 1
    })
    .await;
}

#[tokio::test]
async fn a_failed_login_with_the_newest_secret_requests_a_reconcile() {
    let plane = DataPlaneFixture::start(PoolLimits::default()).await;
    let (workspace, project) = plane.workspace().await;
    let password = plane.new_password(&project).await;
    let pools = &plane.fixture.pools;
    let refused = pools.get(&workspace).await.map(|_| ());
    assert!(
        matches!(refused, Err(Unavailable::Unreachable { .. })),
        "{refused:?}"
    );
    let tenant = plane
        .fixture
        .cluster
        .tenant(&format!("ws-{}", workspace.id))
        .unwrap();
    assert!(tenant["metadata"]["annotations"]["dbpertenant.dev/reconcile-at"].is_string());
    // The controller fixes the Secret.
    plane.write_secret(&workspace, &project, &password);
    let database = pools.get(&workspace).await.expect("open");
    assert_eq!(query(&database).await, 42);
}

#[tokio::test]
async fn a_metadata_change_of_the_secret_rereads_it_without_reconnecting() {
    let plane = DataPlaneFixture::start(PoolLimits::default()).await;
    let (workspace, project) = plane.workspace().await;
    let pools = &plane.fixture.pools;
    drop(pools.get(&workspace).await.expect("open"));
    let logins = || async {
        let projects = plane.emulator.projects().await.unwrap();
        projects
            .iter()
            .map(|project| project.connections_opened)
            .sum::<u64>()
    };
    // The emulator records its counters with a delay.
    until_true("the first connection to be counted", || async {
        logins().await > 0
    })
    .await;
    let before = logins().await;
    let reads = plane.fixture.cluster.requests("GET secrets/ws-");
    plane.write_secret(&workspace, &project, &password(&project));
    until_true("the Secret to be read", || async {
        drop(pools.get(&workspace).await.expect("open"));
        plane.fixture.cluster.requests("GET secrets/ws-") > reads
    })
    .await;
    assert_eq!(logins().await, before);
}
