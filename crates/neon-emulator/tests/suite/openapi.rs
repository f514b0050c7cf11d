//! Checks that the tests cover the OpenAPI document. The `common` module checks every call of every
//! test against it.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use neon_client::Neon;
use neon_client::ids::{BranchId, EndpointId, ProjectId};
use neon_client::model::{
    BranchEndpoint, CreateBranch, CreateDatabase, CreateEndpoint, CreateProject, CreateRole,
    EndpointType, Granularity, Metric, RestoreBranch, UpdateBranch, UpdateDatabase, UpdateEndpoint,
    UpdateProject,
};
use neon_client::{BranchSortKey, ConsumptionQuery, SortOrder};
use neon_emulator::OPERATIONS;
use reqwest::{Method, StatusCode};

use crate::client::client;
use crate::common::{TestEmulator, document};

const HOW_TO_GET_IT: &str = "the OpenAPI document is missing: run `make test`, or `eval \"$(target/debug/xtask env)\"` first";

#[test]
fn every_implemented_operation_is_in_the_openapi_document() {
    let described = document().expect(HOW_TO_GET_IT).operations();
    for (method, path, name) in OPERATIONS {
        assert!(
            described.iter().any(|operation| operation.method == *method
                && operation.path == *path
                && operation.name == *name),
            "{method} {path} {name}"
        );
    }
}

#[test]
fn the_readme_lists_the_implemented_operations() {
    let described = document().expect(HOW_TO_GET_IT).operations().len();
    let implemented = OPERATIONS.len();
    let sentence = format!(
        "The emulator implements {implemented} of the {described} operations; the other {} return 501.",
        described - implemented
    );
    let readme = include_str!("../../README.md");
    assert!(
        readme.contains(&sentence),
        "the README must contain: {sentence}"
    );
    for (_, _, name) in OPERATIONS {
        assert!(readme.contains(name), "the README must contain {name}");
    }
}

#[tokio::test]
async fn every_other_operation_returns_501_with_its_name() {
    let world = TestEmulator::start().await;
    for operation in document().expect(HOW_TO_GET_IT).operations() {
        if OPERATIONS
            .iter()
            .any(|(_, _, name)| *name == operation.name)
        {
            continue;
        }
        let path = operation.path.replace(['{', '}'], "");
        let (status, body) = world.call(operation.method.clone(), &path, None).await;
        assert_eq!(status, StatusCode::NOT_IMPLEMENTED, "{operation:?}");
        let message = body["message"].as_str().unwrap_or_default();
        assert!(
            message.contains(&path) && message.contains(operation.method.as_str()),
            "{message}"
        );
    }
}

#[tokio::test]
async fn every_implemented_operation_succeeds_and_matches_the_openapi_document() {
    let world = TestEmulator::start().await;
    let neon = client(&world);
    let organization = account(&neon).await;
    let project = CreateProject::named("one").org_id(organization);
    let created = neon
        .projects()
        .create(project)
        .send()
        .await
        .expect("creates");
    let id = created.project.id.clone();
    let main = created.branch.id.clone();
    projects(&neon, &id).await;
    computes(&neon, &id, &created.endpoints[0].id, &main).await;
    databases_and_roles(&neon, &id, &main).await;
    branches(&neon, &id, &main).await;
    consumption(&neon, &id).await;
    neon.projects().delete(&id).send().await.expect("deletes");
    neon.projects().recover(&id).send().await.expect("recovers");

    // Operations that the client does not support.
    for path in [
        "/projects/shared".to_owned(),
        "/auth".to_owned(),
        format!("/projects/{id}/branches/count"),
    ] {
        world.get(&path).await;
    }
    let deleted = neon
        .branches(&id)
        .create(CreateBranch::default())
        .send()
        .await;
    let deleted = deleted.expect("creates").branch.id;
    neon.branches(&id)
        .delete(&deleted)
        .send()
        .await
        .expect("deletes");
    let path = format!("/projects/{id}/branches/{deleted}/recover");
    assert_eq!(
        world.call(Method::POST, &path, None).await.0,
        StatusCode::OK
    );

    snapshots(&world, &id, &main).await;

    let called: BTreeSet<String> = world.emulator.calls().into_keys().collect();
    let implemented: BTreeSet<String> = OPERATIONS
        .iter()
        .map(|(_, _, name)| (*name).to_owned())
        .collect();
    assert_eq!(called, implemented, "every operation was called");
}

/// The operations for snapshots. The client does not support all of them.
async fn snapshots(world: &TestEmulator, id: &ProjectId, main: &BranchId) {
    let project = format!("/projects/{id}");
    let call = async |method: Method, path: String, body: Option<serde_json::Value>| {
        let (status, body) = world.call(method, &path, body).await;
        assert!(status.is_success(), "{path}: {body}");
        body
    };
    let path = format!("{project}/branches/{main}/snapshot");
    let created = call(Method::POST, path, None).await;
    call(Method::GET, format!("{project}/snapshots"), None).await;
    let snapshot = created["snapshot"]["id"].as_str().expect("an ID");
    let snapshot = format!("{project}/snapshots/{snapshot}");
    let rename = serde_json::json!({"snapshot": {"name": "two"}});
    call(Method::PATCH, snapshot.clone(), Some(rename)).await;
    let restored = call(Method::POST, format!("{snapshot}/restore"), None).await;
    let branch = restored["branch"]["id"].as_str().expect("an ID");
    let path = format!("{project}/branches/{branch}/finalize_restore");
    call(Method::POST, path, None).await;
    call(Method::DELETE, snapshot, None).await;
}

async fn account(neon: &Neon) -> neon_client::ids::OrgId {
    let regions = neon.regions().list().send().await.expect("regions");
    assert!(regions.iter().any(|region| region.default));
    let me = neon.users().me().send().await.expect("a user");
    assert!(me.email.contains('@'));
    let organizations = neon.organizations().list().send().await.expect("a list");
    let id = &organizations[0].id;
    let one = neon.organizations().get(id).send().await.expect("one");
    assert_eq!(one, organizations[0]);
    id.clone()
}

async fn projects(neon: &Neon, id: &ProjectId) {
    let listed = neon.projects().list().all().await.expect("a list");
    assert!(listed.projects.contains_key(id));
    neon.projects().get(id).send().await.expect("one");
    let changes = UpdateProject::default().name("two");
    neon.projects()
        .update(id, changes)
        .send()
        .await
        .expect("updates");
    let (database, role) = (
        "neondb".parse().expect("a name"),
        "neondb_owner".parse().expect("a name"),
    );
    let uri = neon
        .projects()
        .connection_uri(id, &database, &role)
        .pooled(true);
    uri.send().await.expect("a URI");
    let operations: Vec<_> = neon
        .operations(id)
        .list()
        .items()
        .try_collect()
        .await
        .expect("a list");
    neon.operations(id)
        .get(operations[0].id)
        .send()
        .await
        .expect("one");
}

async fn computes(neon: &Neon, id: &ProjectId, endpoint: &EndpointId, main: &BranchId) {
    let endpoints = neon.endpoints(id);
    assert_eq!(endpoints.list().send().await.expect("a list").len(), 1);
    endpoints.get(endpoint).send().await.expect("one");
    let changes = UpdateEndpoint::default().suspend_timeout_seconds(60);
    endpoints
        .update(endpoint, changes)
        .send()
        .await
        .expect("updates");
    endpoints.suspend(endpoint).send().await.expect("suspends");
    let started = endpoints.start(endpoint).send().await.expect("starts");
    let ids = started.operations.iter().map(|operation| operation.id);
    neon.operations(id).wait(ids).done().await.expect("is over");
    endpoints.restart(endpoint).send().await.expect("restarts");
    let reader = CreateEndpoint::new(main.clone(), EndpointType::ReadOnly).name("reports");
    let reader = endpoints.create(reader).send().await.expect("creates");
    let of_branch = neon
        .branches(id)
        .endpoints(main)
        .send()
        .await
        .expect("a list");
    assert_eq!(of_branch.len(), 2);
    let deleted = endpoints
        .delete(&reader.endpoint.id)
        .send()
        .await
        .expect("deletes");
    assert!(deleted.is_some());
    let again = endpoints
        .delete(&reader.endpoint.id)
        .send()
        .await
        .expect("deletes");
    assert_eq!(again, None);
}

async fn databases_and_roles(neon: &Neon, id: &ProjectId, main: &BranchId) {
    let (databases, roles) = (neon.databases(id, main), neon.roles(id, main));
    let role = "reader".parse().expect("a name");
    let created = roles
        .create(CreateRole::new("reader".parse().expect("a name")))
        .send()
        .await;
    assert!(created.expect("creates").role.password.is_some());
    roles.get(&role).send().await.expect("one");
    assert_eq!(roles.list().send().await.expect("a list").len(), 2);
    roles.reset_password(&role).send().await.expect("resets");
    roles.reveal_password(&role).send().await.expect("reveals");
    let name = "second".parse().expect("a name");
    let new = CreateDatabase::new("second".parse().expect("a name"), role.clone());
    databases.create(new).send().await.expect("creates");
    databases.get(&name).send().await.expect("one");
    let changes = UpdateDatabase::default().owner_name(
        "neondb_owner"
            .parse::<neon_client::ids::RoleName>()
            .expect("a name"),
    );
    databases
        .update(&name, changes)
        .send()
        .await
        .expect("updates");
    assert_eq!(databases.list().send().await.expect("a list").len(), 2);
    assert!(
        databases
            .delete(&name)
            .send()
            .await
            .expect("deletes")
            .is_some()
    );
    assert!(
        databases
            .delete(&name)
            .send()
            .await
            .expect("deletes")
            .is_none()
    );
    assert!(roles.delete(&role).send().await.expect("deletes").is_some());
    assert!(roles.delete(&role).send().await.expect("deletes").is_none());
}

async fn branches(neon: &Neon, id: &ProjectId, main: &BranchId) {
    let branches = neon.branches(id);
    let compute = BranchEndpoint::new(EndpointType::ReadWrite).suspend_timeout_seconds(60);
    let created = branches
        .create(CreateBranch::named("preview").endpoint(compute))
        .send()
        .await;
    let created = created.expect("creates");
    assert_eq!(created.branch.parent_id.as_ref(), Some(main));
    assert_eq!(
        (
            created.roles.len(),
            created.databases.len(),
            created.connection_uris.len()
        ),
        (1, 1, 1)
    );
    let preview = created.branch.id;
    branches.get(&preview).send().await.expect("one");
    branches
        .update(
            &preview,
            UpdateBranch::default().name("renamed").protected(false),
        )
        .send()
        .await
        .expect("updates");
    let all = branches
        .list()
        .limit(1)
        .sort_by(BranchSortKey::Name, SortOrder::Ascending)
        .all()
        .await
        .expect("a list");
    let names: Vec<_> = all.iter().map(|branch| branch.name.as_str()).collect();
    assert_eq!(names, ["main", "renamed"]);
    branches
        .restore(&preview, RestoreBranch::from_head(main.clone()))
        .send()
        .await
        .expect("restores");
    branches
        .set_as_default(&preview)
        .send()
        .await
        .expect("becomes the default");
    branches
        .set_as_default(main)
        .send()
        .await
        .expect("becomes the default");
    assert!(
        branches
            .delete(&preview)
            .send()
            .await
            .expect("deletes")
            .is_some()
    );
    assert!(
        branches
            .delete(&preview)
            .send()
            .await
            .expect("deletes")
            .is_none()
    );
}

async fn consumption(neon: &Neon, id: &ProjectId) {
    let organization = neon
        .organizations()
        .list()
        .send()
        .await
        .expect("a list")
        .remove(0)
        .id;
    let now = jiff::Timestamp::now();
    let hour = std::time::Duration::from_hours(1);
    let query = ConsumptionQuery::new(
        organization,
        now - hour,
        now + hour,
        Granularity::Hourly,
        Metric::ComputeUnitSeconds,
    )
    .metric(Metric::PublicNetworkTransferBytes);
    let of_projects = neon
        .consumption()
        .projects(query.clone())
        .only([id.clone()]);
    let projects: Vec<_> = of_projects.items().try_collect().await.expect("a list");
    assert_eq!(projects.len(), 1);
    let of_branches = neon.consumption().branches(id.clone(), query);
    let branches: Vec<_> = of_branches.items().try_collect().await.expect("a list");
    assert_eq!(branches[0].project_id, *id);
}
