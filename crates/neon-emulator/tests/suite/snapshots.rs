//! Snapshots, and restores that replace a branch.

use std::time::Duration;

use neon_client::model::{Branch, BranchPage, CreatedProject, Operation};
use neon_emulator::{Limits, Plan};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Executor;

use crate::common::{TestEmulator, connect, uri};

struct World {
    server: TestEmulator,
    created: CreatedProject,
    path: String,
}

impl World {
    async fn start(plan: Plan) -> Self {
        let limits = Limits {
            plan,
            ..Limits::default()
        };
        let world = TestEmulator::start_with(|emulator| emulator.limits(limits)).await;
        let created = world.create("one").await;
        let path = format!("/projects/{}", created.project.id);
        Self {
            server: world,
            created,
            path,
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let path = format!("{}{path}", self.path);
        self.server.call(method, &path, body).await
    }

    async fn succeed(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, body) = self.call(method, path, body).await;
        assert!(status.is_success(), "{path}: {status} {body}");
        if let Some(operations) = body.get("operations") {
            let operations: Vec<Operation> =
                serde_json::from_value(operations.clone()).expect("operations");
            self.server.finished(&operations).await;
        }
        body
    }

    /// Creates a snapshot of the first branch, and returns its ID.
    async fn snapshot(&self, query: &str) -> String {
        let path = format!("/branches/{}/snapshot{query}", self.created.branch.id);
        let body = self.succeed(Method::POST, &path, None).await;
        body["snapshot"]["id"].as_str().expect("an ID").to_owned()
    }

    async fn snapshots(&self) -> Vec<Value> {
        let body = self.succeed(Method::GET, "/snapshots", None).await;
        body["snapshots"].as_array().expect("a list").clone()
    }

    async fn branches(&self) -> Vec<Branch> {
        let body = self.succeed(Method::GET, "/branches", None).await;
        let page: BranchPage = serde_json::from_value(body).expect("branches");
        page.branches
    }

    /// The branch of the only compute.
    async fn branch_of_compute(&self) -> String {
        let body = self.succeed(Method::GET, "/endpoints", None).await;
        let branch = &body["endpoints"][0]["branch_id"];
        branch.as_str().expect("an ID").to_owned()
    }

    async fn execute(&self, sql: &'static str) {
        let mut connection = connect(&uri(&self.created)).await.expect("connects");
        connection.execute(sql).await.expect("executes");
    }

    async fn rows(&self) -> Vec<i32> {
        let mut connection = connect(&uri(&self.created)).await.expect("connects");
        sqlx::query_scalar("SELECT number FROM numbers ORDER BY number")
            .fetch_all(&mut connection)
            .await
            .expect("answers")
    }
}

#[tokio::test]
async fn a_finalized_restore_moves_the_compute_to_a_new_branch_with_the_old_contents() {
    let world = World::start(Plan::Scale).await;
    let main = world.created.branch.id.to_string();
    world
        .execute("CREATE TABLE numbers AS SELECT 1 AS number")
        .await;
    let snapshot = world.snapshot("?name=before").await;
    world.execute("INSERT INTO numbers VALUES (2)").await;
    assert_eq!(world.rows().await, [1, 2]);

    let path = format!("/snapshots/{snapshot}/restore");
    let body = json!({"finalize_restore": true});
    let restored = world.succeed(Method::POST, &path, Some(body)).await;
    let new = restored["branch"]["id"].as_str().expect("an ID").to_owned();
    assert_ne!(new, main);
    assert_eq!(world.branch_of_compute().await, new);
    // The same connection string leads to the restored contents.
    assert_eq!(world.rows().await, [1]);
    let branches = world.branches().await;
    let named = |id: &str| {
        let branch = branches.iter().find(|branch| branch.id.as_str() == id);
        branch.map(|branch| (branch.name.as_str(), branch.default))
    };
    assert_eq!(named(&new), Some(("main", true)));
    assert_eq!(named(&main), Some(("main (old)", false)));
}

#[tokio::test]
async fn a_restore_can_be_previewed_before_it_is_finalized() {
    let world = World::start(Plan::Scale).await;
    let main = world.created.branch.id.to_string();
    world
        .execute("CREATE TABLE numbers AS SELECT 1 AS number")
        .await;
    let snapshot = world.snapshot("").await;
    world.execute("INSERT INTO numbers VALUES (2)").await;
    let path = format!("/snapshots/{snapshot}/restore");
    let restored = world.succeed(Method::POST, &path, None).await;
    let new = restored["branch"]["id"].as_str().expect("an ID").to_owned();
    assert_eq!(world.branch_of_compute().await, main);
    assert_eq!(world.rows().await, [1, 2]);

    let path = format!("/branches/{new}/finalize_restore");
    let body = json!({"name": "replaced"});
    world.succeed(Method::POST, &path, Some(body)).await;
    assert_eq!(world.branch_of_compute().await, new);
    assert_eq!(world.rows().await, [1]);
    let names: Vec<_> = world.branches().await;
    assert!(
        names
            .iter()
            .any(|branch| branch.name == "replaced" && branch.id.as_str() == main)
    );
    let (status, _) = world.call(Method::POST, &path, None).await;
    assert_eq!(
        status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "already finalized"
    );
}

#[tokio::test]
async fn snapshots_are_renamed_deleted_and_expire() {
    let world = World::start(Plan::Scale).await;
    let hour = Duration::from_hours(1);
    let at = (world.server.emulator.now() + hour).to_string();
    let (kept, expiring) = (
        world.snapshot("").await,
        world.snapshot(&format!("?expires_at={at}")).await,
    );
    let path = format!("/snapshots/{kept}");
    let rename = json!({"snapshot": {"name": "kept"}});
    world.succeed(Method::PATCH, &path, Some(rename)).await;
    let ids = |snapshots: Vec<Value>| {
        let ids = snapshots
            .into_iter()
            .map(|mut snapshot| snapshot["id"].take());
        ids.collect::<Vec<_>>()
    };
    let listed = world.snapshots().await;
    assert_eq!(listed[0]["name"], "kept");
    assert_eq!(ids(listed), [json!(kept), json!(expiring)]);
    assert_eq!(
        world.branches().await.len(),
        1,
        "snapshots are not branches"
    );
    let clock = &world.server.emulator;
    clock.advance_clock(2 * hour).await.expect("advances");
    assert_eq!(ids(world.snapshots().await), [json!(kept)]);
    world.succeed(Method::DELETE, &path, None).await;
    assert!(world.snapshots().await.is_empty());
    let (status, _) = world.call(Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn free_has_one_snapshot_and_only_root_branches_have_any() {
    let world = World::start(Plan::Free).await;
    world.snapshot("").await;
    let path = format!("/branches/{}/snapshot", world.created.branch.id);
    let (status, body) = world.call(Method::POST, &path, None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");

    let world = World::start(Plan::Scale).await;
    let child = world.succeed(Method::POST, "/branches", None).await;
    let id = child["branch"]["id"].as_str().expect("an ID");
    let path = format!("/branches/{id}/snapshot");
    let (status, body) = world.call(Method::POST, &path, None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
}
