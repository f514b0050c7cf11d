//! Pagination in both styles: lists are read to their end, and incomplete lists are errors.

use futures::TryStreamExt;
use neon_client::{BranchSortKey, ErrorKind, SortOrder, ids::ProjectId};
use serde_json::{Value, json};

use crate::{
    calls::AT,
    support::{Reply, Server},
};

fn project_id() -> ProjectId {
    "calm-sea-1".parse().unwrap()
}

fn listed_project(id: &str) -> Value {
    json!({"id": id, "name": "t", "region_id": "aws-eu-central-1", "pg_version": 18, "created_at": AT, "updated_at": AT})
}

fn page(ids: &[&str], unavailable: &[&str], cursor: Option<&str>) -> Reply {
    let projects: Vec<_> = ids.iter().map(|id| listed_project(id)).collect();
    let pagination = cursor.map(|cursor| json!({"cursor": cursor}));
    Reply::json(
        200,
        &json!({"projects": projects, "unavailable_project_ids": unavailable, "pagination": pagination}),
    )
}

#[tokio::test]
async fn a_list_is_read_until_a_page_is_empty_even_if_earlier_pages_are_short() {
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
        .all_mapped(|project| project.name)
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
    assert_eq!(unavailable, ["x", "y"], "b is available on another page");
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
async fn a_listing_with_a_missing_page_is_an_error() {
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
        "the stream ends after the error"
    );
}

#[tokio::test]
async fn a_page_that_refers_to_itself_is_an_error() {
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
        ErrorKind::InvalidResponse
    );
}

#[tokio::test]
async fn branches_are_listed_with_the_next_cursor_until_there_is_none() {
    let page = |names: &[&str], next: Option<&str>| {
        let branches: Vec<_> = names
            .iter()
            .map(|name| {
                json!({"id": format!("br-{name}-1"), "project_id": "calm-sea-1", "name": name, "current_state": "ready",
                       "created_at": AT, "updated_at": AT, "unknown_field": 1})
            })
            .collect();
        Reply::json(
            200,
            &json!({"branches": branches, "annotations": {}, "pagination": {"next": next, "sort_by": "name"}}),
        )
    };
    let server = Server::replying([page(&["a", "b"], Some("x=")), page(&["c"], None)]).await;
    let branches = server.neon().branches(&project_id());
    let all = branches
        .list()
        .limit(2)
        .sort_by(BranchSortKey::Name, SortOrder::Ascending)
        .all()
        .await
        .unwrap();
    let names: Vec<_> = all.iter().map(|branch| branch.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let targets: Vec<_> = server
        .received()
        .into_iter()
        .map(|request| request.target)
        .collect();
    let expected = ["limit=2", "limit=2&cursor=x%3D"].map(|start| {
        format!("/api/v2/projects/calm-sea-1/branches?{start}&sort_by=name&sort_order=asc")
    });
    assert_eq!(targets, expected);
}
