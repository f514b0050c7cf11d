//! Requests on the wire: method, path, headers and body of every call.

use std::time::Duration;

use futures::TryStreamExt;
use neon_client::{
    ConsumptionQuery, Neon, Route,
    ids::{BranchId, DatabaseName, EndpointId, OrgId, ProjectId, RoleName},
    model::{
        BranchEndpoint, ComputeUnits, CreateBranch, CreateDatabase, CreateEndpoint, CreateProject,
        CreateRole, CreateSnapshot, EndpointType, FinalizeRestore, Granularity, Metric,
        RestoreBranch, RestoreSnapshot, UpdateBranch, UpdateDatabase, UpdateEndpoint,
        UpdateProject,
    },
};
use serde_json::{Value, json};

use crate::support::{Reply, Server};

fn project_id() -> ProjectId {
    "calm-sea-1".parse().unwrap()
}

const OPERATION: &str = "d8ac46eb-a757-42b1-9907-f78322ee394e";

fn branch() -> BranchId {
    "br-a-1".parse().unwrap()
}

fn role() -> RoleName {
    "neondb_owner".parse().unwrap()
}

fn database() -> DatabaseName {
    "neondb".parse().unwrap()
}

fn organization() -> OrgId {
    "org-cool-sea-1".parse().unwrap()
}

/// Returns the route's path with the identifiers of these tests.
fn path_of(route: Route) -> String {
    let filled = [
        ("{project_id}", "calm-sea-1"),
        ("{branch_id}", "br-a-1"),
        ("{endpoint_id}", "ep-a-1"),
        ("{role_name}", "neondb_owner"),
        ("{database_name}", "neondb"),
        ("{operation_id}", OPERATION),
        ("{snapshot_id}", "snap-a-1"),
        ("{org_id}", "org-cool-sea-1"),
    ];
    let path = filled
        .iter()
        .fold(route.template().to_owned(), |path, (name, value)| {
            path.replace(name, value)
        });
    format!("/api/v2{path}")
}

/// Returns the route of a call. Every call of the test below fails.
macro_rules! route_of {
    ($call:expr) => {
        $call.await.unwrap_err().route()
    };
}

#[tokio::test]
async fn every_route_uses_its_method_and_path() {
    let server = Server::replying(vec![Reply::error(404, "", ""); Route::ALL.len()]).await;
    let neon = server.neon();
    let routes = [
        projects(&neon).await,
        operations_and_computes(&neon).await,
        branches(&neon).await,
        snapshots(&neon).await,
        databases_and_roles(&neon).await,
        account(&neon).await,
    ]
    .concat();
    assert_eq!(routes, Route::ALL, "every route, in order");
    for (route, request) in routes.into_iter().zip(server.received()) {
        assert_eq!(request.method, route.method().as_str(), "{route}");
        assert_eq!(
            request.target.split('?').next().unwrap(),
            path_of(route),
            "{route}"
        );
    }
}

async fn projects(neon: &Neon) -> Vec<Route> {
    let (projects, project, role) = (neon.projects(), project_id(), role());
    vec![
        route_of!(projects.create(CreateProject::named("t")).send()),
        route_of!(projects.list().all()),
        route_of!(projects.get(&project).send()),
        route_of!(projects.update(&project, UpdateProject::default()).send()),
        route_of!(projects.delete(&project).send()),
        route_of!(projects.recover(&project).send()),
        route_of!(projects.connection_uri(&project, &database(), &role).send()),
    ]
}

async fn operations_and_computes(neon: &Neon) -> Vec<Route> {
    let (operations, endpoints) = (
        neon.operations(&project_id()),
        neon.endpoints(&project_id()),
    );
    let endpoint: EndpointId = "ep-a-1".parse().unwrap();
    let operation = OPERATION.parse().unwrap();
    let new = CreateEndpoint::new(branch(), EndpointType::ReadWrite);
    vec![
        route_of!(operations.list().first_page().send()),
        route_of!(operations.get(operation).send()),
        route_of!(endpoints.list().send()),
        route_of!(endpoints.get(&endpoint).send()),
        route_of!(
            endpoints
                .update(&endpoint, UpdateEndpoint::default())
                .send()
        ),
        route_of!(endpoints.create(new).send()),
        route_of!(endpoints.delete(&endpoint).send()),
        route_of!(endpoints.start(&endpoint).send()),
        route_of!(endpoints.suspend(&endpoint).send()),
        route_of!(endpoints.restart(&endpoint).send()),
    ]
}

async fn branches(neon: &Neon) -> Vec<Route> {
    let (branches, branch) = (neon.branches(&project_id()), branch());
    let source = RestoreBranch::from_head("br-b-2".parse().unwrap());
    vec![
        route_of!(branches.create(CreateBranch::named("b")).send()),
        route_of!(branches.list().all()),
        route_of!(branches.get(&branch).send()),
        route_of!(branches.update(&branch, UpdateBranch::default()).send()),
        route_of!(branches.delete(&branch).send()),
        route_of!(branches.restore(&branch, source).send()),
        route_of!(
            branches
                .finalize_restore(&branch, FinalizeRestore::default())
                .send()
        ),
        route_of!(branches.set_as_default(&branch).send()),
        route_of!(branches.endpoints(&branch).send()),
    ]
}

async fn snapshots(neon: &Neon) -> Vec<Route> {
    let snapshots = neon.snapshots(&project_id());
    let snapshot = "snap-a-1".parse().unwrap();
    vec![
        route_of!(
            snapshots
                .create(&branch(), CreateSnapshot::default())
                .send()
        ),
        route_of!(snapshots.list().send()),
        route_of!(
            snapshots
                .restore(&snapshot, RestoreSnapshot::default())
                .send()
        ),
    ]
}

async fn databases_and_roles(neon: &Neon) -> Vec<Route> {
    let (databases, roles) = (
        neon.databases(&project_id(), &branch()),
        neon.roles(&project_id(), &branch()),
    );
    let (database, role) = (database(), role());
    let new = CreateDatabase::new(database.clone(), role.clone());
    vec![
        route_of!(databases.create(new).send()),
        route_of!(databases.list().send()),
        route_of!(databases.get(&database).send()),
        route_of!(
            databases
                .update(&database, UpdateDatabase::default())
                .send()
        ),
        route_of!(databases.delete(&database).send()),
        route_of!(roles.create(CreateRole::new(role.clone())).send()),
        route_of!(roles.list().send()),
        route_of!(roles.get(&role).send()),
        route_of!(roles.delete(&role).send()),
        route_of!(roles.reset_password(&role).send()),
        route_of!(roles.reveal_password(&role).send()),
    ]
}

async fn account(neon: &Neon) -> Vec<Route> {
    let mut of_projects = std::pin::pin!(neon.consumption().projects(consumption()).pages());
    let mut of_branches = std::pin::pin!(
        neon.consumption()
            .branches(project_id(), consumption())
            .pages()
    );
    vec![
        of_projects.try_next().await.unwrap_err().route(),
        of_branches.try_next().await.unwrap_err().route(),
        route_of!(neon.regions().list().send()),
        route_of!(neon.users().auth().send()),
        route_of!(neon.users().me().send()),
        route_of!(neon.organizations().list().send()),
        route_of!(neon.organizations().get(&organization()).send()),
    ]
}

fn consumption() -> ConsumptionQuery {
    let at = |text: &str| text.parse().unwrap();
    let (from, to) = (at("2026-02-03T00:00:00Z"), at("2026-02-04T00:00:00Z"));
    ConsumptionQuery::new(
        organization(),
        from,
        to,
        Granularity::Hourly,
        Metric::ComputeUnitSeconds,
    )
    .metric(Metric::ExtraBranchesMonth)
    .metric(Metric::ComputeUnitSeconds)
}

#[tokio::test]
async fn a_snapshot_is_created_with_query_parameters_and_restored_with_a_body() {
    let server = Server::replying([Reply::error(404, "", ""), Reply::error(404, "", "")]).await;
    let neon = server.builder().build().unwrap();
    let snapshots = neon.snapshots(&project_id());
    let at: jiff::Timestamp = "2026-02-03T04:05:06Z".parse().unwrap();
    let new = CreateSnapshot::default().name("before 1").expires_at(at);
    let _ = snapshots.create(&branch(), new).send().await;
    let restore = RestoreSnapshot::default()
        .name("restored")
        .target_branch_id(branch());
    let snapshot = "snap-a-1".parse().unwrap();
    let _ = snapshots.restore(&snapshot, restore).send().await;
    let requests = server.received();
    assert!(
        requests[0]
            .target
            .ends_with("/snapshot?name=before+1&expires_at=2026-02-03T04%3A05%3A06Z"),
        "{}",
        requests[0].target
    );
    let body: Value = serde_json::from_str(&requests[1].body).unwrap();
    assert_eq!(
        body,
        json!({"name": "restored", "target_branch_id": "br-a-1"})
    );
}

#[tokio::test]
async fn a_request_has_the_expected_headers_and_body() {
    let server = Server::replying([Reply::error(404, "", "")]).await;
    let neon = server
        .builder()
        .user_agent("tenant-controller/1.2")
        .org_id("org-cool-sea-1".parse::<neon_client::ids::OrgId>().unwrap())
        .build()
        .unwrap();
    let _ = neon
        .projects()
        .create(CreateProject::named("tenant-1"))
        .send()
        .await;
    let request = server.received().remove(0);
    assert_eq!(request.header("authorization"), Some("Bearer napi_hunter2"));
    assert_eq!(request.header("user-agent"), Some("tenant-controller/1.2"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(
        body,
        json!({"project": {"name": "tenant-1", "org_id": "org-cool-sea-1"}})
    );
}

#[tokio::test]
async fn requests_use_the_new_key_after_a_rotation() {
    let server = Server::replying([Reply::error(404, "", ""), Reply::error(404, "", "")]).await;
    let before = server.builder().build().unwrap();
    let after = before.with_api_key("napi_rotated".into()).unwrap();
    let project = "calm-sea-1".parse().unwrap();
    for neon in [before, after.clone()] {
        let _ = neon.projects().get(&project).send().await;
    }
    let sent: Vec<_> = server
        .received()
        .iter()
        .map(|request| request.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(
        sent,
        [
            Some("Bearer napi_hunter2".to_owned()),
            Some("Bearer napi_rotated".to_owned())
        ]
    );
    assert!(after.with_api_key("a\nb".into()).is_err());
}

#[tokio::test]
async fn an_update_contains_only_the_changed_fields() {
    let server = Server::replying([Reply::error(404, "", "")]).await;
    let changes = UpdateEndpoint {
        autoscaling_limit_max_cu: Some(ComputeUnits::from_quarters(8)),
        ..UpdateEndpoint::default()
    };
    let _ = server
        .neon()
        .endpoints(&project_id())
        .update(&"ep-a-1".parse().unwrap(), changes)
        .send()
        .await;
    assert_eq!(
        server.received()[0].body,
        r#"{"endpoint":{"autoscaling_limit_max_cu":2}}"#
    );
}

#[tokio::test]
async fn a_consumption_query_contains_all_required_parameters() {
    let server = Server::replying([Reply::json(200, &json!({"projects": []}))]).await;
    let neon = server.neon();
    let only = ["calm-sea-1", "calm-sea-2"].map(|id| id.parse::<ProjectId>().unwrap());
    let list = neon.consumption().projects(consumption()).only(only);
    assert!(
        list.items()
            .try_collect::<Vec<_>>()
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        server.received()[0].target,
        "/api/v2/consumption_history/v2/projects?limit=100&from=2026-02-03T00%3A00%3A00Z&to=2026-02-04T00%3A00%3A00Z\
         &granularity=hourly&org_id=org-cool-sea-1&metrics=compute_unit_seconds%2Cextra_branches_month\
         &project_ids=calm-sea-1%2Ccalm-sea-2"
    );
}

#[tokio::test]
async fn deleting_a_missing_resource_returns_none() {
    let server = Server::replying([Reply::with_headers(204, "")]).await;
    let branches = server.neon().branches(&project_id());
    assert_eq!(branches.delete(&branch()).send().await.unwrap(), None);
}

#[tokio::test]
async fn request_bodies_contain_the_values_that_were_set() {
    let server = Server::replying(vec![Reply::error(404, "", ""); 3]).await;
    let neon = server.neon();
    let new = CreateBranch::named("preview")
        .parent_id(branch())
        .endpoint(BranchEndpoint::new(EndpointType::ReadWrite).suspend_timeout_seconds(60));
    let _ = neon.branches(&project_id()).create(new).send().await;
    let never = UpdateBranch::default().expires_at(None);
    let _ = neon
        .branches(&project_id())
        .update(&branch(), never)
        .send()
        .await;
    let compute = CreateEndpoint::new(branch(), EndpointType::ReadOnly).name("reports");
    let _ = neon.endpoints(&project_id()).create(compute).send().await;
    let bodies: Vec<Value> = server
        .received()
        .iter()
        .map(|request| serde_json::from_str(&request.body).unwrap())
        .collect();
    let expected = [
        json!({"branch": {"parent_id": "br-a-1", "name": "preview"},
               "endpoints": [{"type": "read_write", "suspend_timeout_seconds": 60}]}),
        json!({"branch": {"expires_at": null}}),
        json!({"endpoint": {"branch_id": "br-a-1", "type": "read_only", "name": "reports"}}),
    ];
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn options_of_lists_and_deletions_are_query_parameters() {
    let server = Server::replying(vec![Reply::error(404, "", ""); 3]).await;
    let neon = server.neon();
    let list = neon.projects().list().limit(9_999).recoverable();
    let list = list.org_id(organization()).response_timeout(Duration::ZERO);
    let _ = list.all().await;
    let branches = neon.branches(&project_id());
    let _ = branches.list().limit(0).include_deleted().all().await;
    let _ = branches.delete_permanently(&branch()).send().await;
    let targets: Vec<_> = server
        .received()
        .into_iter()
        .map(|request| request.target)
        .collect();
    let expected = [
        "/api/v2/projects?limit=400&org_id=org-cool-sea-1&recoverable=true&timeout=100",
        "/api/v2/projects/calm-sea-1/branches?limit=1&include_deleted=true",
        "/api/v2/projects/calm-sea-1/branches/br-a-1?hard_delete=true",
    ];
    assert_eq!(targets, expected);
}
