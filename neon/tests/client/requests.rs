//! What goes over the wire: methods, paths, queries, headers and bodies of every call, and how lists are read to their end.

use futures::TryStreamExt;
use neon::{
    ErrorKind, Route,
    ids::{BranchId, EndpointId, ProjectId, RoleName},
    model::{ComputeUnits, CreateProject, UpdateEndpoint, UpdateProject},
};
use serde_json::{Value, json};

use crate::support::{Reply, Server};

const AT: &str = "2026-02-03T04:05:06Z";

fn project_id() -> ProjectId {
    "calm-sea-1".parse().unwrap()
}

fn listed(id: &str) -> Value {
    json!({"id": id, "name": "t", "region_id": "aws-eu-central-1", "pg_version": 18, "created_at": AT, "updated_at": AT})
}

fn page(ids: &[&str], unavailable: &[&str], cursor: Option<&str>) -> Reply {
    let projects: Vec<_> = ids.iter().map(|id| listed(id)).collect();
    let pagination = cursor.map(|cursor| json!({"cursor": cursor}));
    Reply::json(
        200,
        &json!({"projects": projects, "unavailable_project_ids": unavailable, "pagination": pagination}),
    )
}

/// The route's template with the identifiers that these tests use.
fn path_of(route: Route) -> String {
    let filled = [
        ("{project_id}", "calm-sea-1"),
        ("{branch_id}", "br-a-1"),
        ("{endpoint_id}", "ep-a-1"),
        ("{role_name}", "neondb_owner"),
    ];
    let path = filled
        .iter()
        .fold(route.template().to_owned(), |path, (name, value)| {
            path.replace(name, value)
        });
    format!(
        "/api/v2{}",
        path.replace("{operation_id}", "d8ac46eb-a757-42b1-9907-f78322ee394e")
    )
}

#[tokio::test]
async fn every_route_is_called_with_its_method_and_path() {
    let server = Server::replying(vec![Reply::error(404, "", ""); Route::ALL.len()]).await;
    let neon = server.neon();
    let (project, branch): (_, BranchId) = (project_id(), "br-a-1".parse().unwrap());
    let (endpoint, role): (EndpointId, RoleName) =
        ("ep-a-1".parse().unwrap(), "neondb_owner".parse().unwrap());
    let operation = "d8ac46eb-a757-42b1-9907-f78322ee394e".parse().unwrap();
    let (projects, roles) = (neon.projects(), neon.roles(&project, &branch));
    let (endpoints, operations) = (neon.endpoints(&project), neon.operations(&project));
    let routes = [
        projects
            .create(CreateProject::named("t"))
            .send()
            .await
            .unwrap_err()
            .route(),
        projects.list().all().await.unwrap_err().route(),
        projects.get(&project).send().await.unwrap_err().route(),
        projects
            .update(&project, UpdateProject::default())
            .send()
            .await
            .unwrap_err()
            .route(),
        projects.delete(&project).send().await.unwrap_err().route(),
        projects.recover(&project).send().await.unwrap_err().route(),
        projects
            .connection_uri(&project, &"neondb".parse().unwrap(), &role)
            .send()
            .await
            .unwrap_err()
            .route(),
        operations
            .list()
            .first_page()
            .send()
            .await
            .unwrap_err()
            .route(),
        operations.get(operation).send().await.unwrap_err().route(),
        endpoints.list().send().await.unwrap_err().route(),
        endpoints.get(&endpoint).send().await.unwrap_err().route(),
        endpoints
            .update(&endpoint, UpdateEndpoint::default())
            .send()
            .await
            .unwrap_err()
            .route(),
        roles
            .reset_password(&role)
            .send()
            .await
            .unwrap_err()
            .route(),
        roles
            .reveal_password(&role)
            .send()
            .await
            .unwrap_err()
            .route(),
    ];
    assert_eq!(routes, Route::ALL, "each of them, in their order");
    for (route, request) in routes.into_iter().zip(server.received()) {
        assert_eq!(request.method, route.method().as_str(), "{route}");
        assert_eq!(
            request.target.split('?').next().unwrap(),
            path_of(route),
            "{route}"
        );
    }
}

#[tokio::test]
async fn a_request_says_who_it_is_and_what_it_wants() {
    let server = Server::replying([Reply::error(404, "", "")]).await;
    let neon = server
        .builder()
        .user_agent("tenant-controller/1.2")
        .org_id("org-cool-sea-1".parse::<neon::ids::OrgId>().unwrap())
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
async fn after_a_rotation_requests_bear_the_new_key() {
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
async fn a_change_names_only_what_changes() {
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
async fn names_are_encoded_in_paths_and_queries() {
    let server = Server::replying(vec![Reply::error(404, "", ""); 2]).await;
    let role = "a/b?c#d e%".parse().unwrap();
    let _ = server
        .neon()
        .roles(&project_id(), &"br-a-1".parse().unwrap())
        .reveal_password(&role)
        .send()
        .await;
    let uri = server
        .neon()
        .projects()
        .connection_uri(&project_id(), &"a&b=c".parse().unwrap(), &role)
        .pooled(true);
    let _ = uri.branch(&"br-a-1".parse().unwrap()).send().await;
    let targets: Vec<_> = server
        .received()
        .into_iter()
        .map(|request| request.target)
        .collect();
    assert!(
        targets[0].ends_with("/roles/a%2Fb%3Fc%23d%20e%25/reveal_password"),
        "{}",
        targets[0]
    );
    assert!(
        targets[1].ends_with(
            "?database_name=a%26b%3Dc&role_name=a%2Fb%3Fc%23d+e%25&pooled=true&branch_id=br-a-1"
        ),
        "{}",
        targets[1]
    );
}

#[tokio::test]
async fn a_list_is_read_until_a_page_is_empty_even_if_pages_before_are_short() {
    let pages = [
        page(&["a"], &[], Some("a")),
        page(&["b", "c"], &["x"], Some("c")),
        page(&[], &["b", "y"], Some("d")),
        page(&[], &[], Some("d")),
    ];
    let server = Server::replying(pages).await;
    let listing = server
        .neon()
        .projects()
        .list()
        .limit(2)
        .search("te nant")
        .all_as(|project| project.name)
        .await
        .unwrap();
    assert_eq!(
        listing
            .projects
            .keys()
            .map(ProjectId::as_str)
            .collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    let unavailable: Vec<_> = listing
        .unavailable_project_ids
        .iter()
        .map(ProjectId::as_str)
        .collect();
    assert_eq!(unavailable, ["x", "y"], "b was had on another page");
    let targets: Vec<_> = server
        .received()
        .into_iter()
        .map(|request| request.target)
        .collect();
    let expected = ["", "&cursor=a", "&cursor=c", "&cursor=d"]
        .map(|cursor| format!("/api/v2/projects?limit=2{cursor}&search=te+nant"));
    assert_eq!(targets, expected);
}

#[tokio::test]
async fn a_list_without_a_next_page_ends() {
    for last in [page(&["a"], &[], None), page(&["a"], &[], Some(""))] {
        let server = Server::replying([last]).await;
        assert_eq!(
            server
                .neon()
                .projects()
                .list()
                .all()
                .await
                .unwrap()
                .projects
                .len(),
            1
        );
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn there_is_no_listing_that_lacks_a_page() {
    let server = Server::replying([page(&["a"], &[], Some("a")), Reply::error(401, "", "")]).await;
    assert_eq!(
        server
            .neon()
            .projects()
            .list()
            .all()
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::Auth
    );
    let server = Server::replying([
        page(&["a"], &[], Some("a")),
        Reply::error(401, "", ""),
        page(&["b"], &[], None),
    ])
    .await;
    let neon = server.neon();
    let mut pages = std::pin::pin!(neon.projects().list().pages());
    assert_eq!(pages.try_next().await.unwrap().unwrap().projects.len(), 1);
    assert!(pages.try_next().await.is_err());
    assert!(
        pages.try_next().await.unwrap().is_none(),
        "the stream ends with the error"
    );
}

#[tokio::test]
async fn a_list_whose_page_leads_back_to_itself_is_an_error_and_not_a_circle() {
    let server =
        Server::replying([page(&["a"], &[], Some("a")), page(&["a"], &[], Some("a"))]).await;
    assert_eq!(
        server
            .neon()
            .projects()
            .list()
            .all()
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::NotJson
    );
}
