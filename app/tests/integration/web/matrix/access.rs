//! Membership, roles and sessions.

use app::domain::Role;
use app::ids::WorkspaceId;
use app::web::router::routes;
use app::web::shared::route::{Access, ResponseKind};
use axum::body::Body;
use axum::http::{Request, StatusCode};

use super::{Matrix, fill, in_workspaces, parameters, send};

#[tokio::test]
async fn routes_of_a_workspace_respond_404_to_users_who_are_not_members() {
    let matrix = Matrix::start().await;
    let mut tried = 0;
    for route in in_workspaces() {
        let nowhere = WorkspaceId::random();
        for workspace in [&matrix.b.id, &nowhere] {
            let path = matrix.path(&route, workspace);
            for (who, browser) in [("alice", &matrix.alice), ("bob", &matrix.bob)] {
                let answer = send(browser, &route, &path).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{who}: {route:?}");
                tried += 1;
            }
        }
        let malformed = fill(route.path, |_| "..%2F..%2Fetc".to_owned());
        let answer = send(&matrix.alice, &route, &malformed).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{malformed}");
    }
    assert!(tried > 80, "only {tried} requests");
}

#[tokio::test]
async fn resources_of_another_workspace_are_not_found_in_ones_own() {
    let matrix = Matrix::start().await;
    let mut tried = 0;
    for route in in_workspaces().filter(|route| parameters(route).count() > 1) {
        let path = matrix.path(&route, &matrix.a.id);
        let answer = send(&matrix.alice, &route, &path).await;
        // An event ends a stream, so that htmx does not open it again.
        let expected = match route.policy.response_kind {
            ResponseKind::EventStream => StatusCode::OK,
            _ => StatusCode::NOT_FOUND,
        };
        assert_eq!(answer.status, expected, "{route:?}: {}", answer.text);
        assert!(!answer.text.contains("Why?"), "{route:?}: {}", answer.text);
        tried += 1;
    }
    assert!(tried >= 12, "only {tried} requests");
    // Nothing in B has changed.
    let kept = "SELECT (SELECT count(*) FROM documents WHERE state = 'ready' AND title = 'Of B')
                     + (SELECT count(*) FROM invitations) + (SELECT count(*) FROM members)";
    assert_eq!(matrix.site.count(kept).await, 1 + 1 + 3);
    let tenant = matrix.site.app.pools.get(&matrix.b).await.unwrap();
    let messages: i64 =
        sqlx::query_scalar("SELECT count(*) FROM messages JOIN threads ON threads.id = thread_id")
            .fetch_one(tenant.pool())
            .await
            .unwrap();
    assert_eq!(messages, 1);
}

#[tokio::test]
async fn a_question_cannot_refer_to_another_workspaces_resources() {
    let matrix = Matrix::start().await;
    let (thread, document) = (
        matrix.of_b.thread.to_string(),
        matrix.of_b.document.to_string(),
    );
    let path = format!("/w/{}/chat", matrix.a.id);
    for field in [("thread", thread.as_str()), ("document", &document)] {
        let answer = matrix
            .alice
            .clone()
            .post(&path, &[("question", "What is it?"), field])
            .await;
        assert!(
            answer.status.is_client_error(),
            "{field:?}: {} {}",
            answer.status,
            answer.text
        );
    }
}

#[tokio::test]
async fn owner_routes_respond_403_to_members_and_member_routes_do_not() {
    let matrix = Matrix::start().await;
    let (mut owners, mut members) = (0, 0);
    for route in in_workspaces() {
        let path = matrix.path(&route, &matrix.a.id);
        if route.policy.response_kind == ResponseKind::EventStream {
            // Do not read the body: the stream does not end.
            let request = Request::get(&path).body(Body::empty()).unwrap();
            let status = matrix.bob.clone().send(request).await.status();
            assert_ne!(status, StatusCode::FORBIDDEN, "{route:?}");
            continue;
        }
        let answer = send(&matrix.bob, &route, &path).await;
        if route.policy.access == Access::Owner {
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{route:?}");
            assert!(answer.text.contains("owners_only"), "{route:?}");
            owners += 1;
        } else {
            assert_ne!(answer.status, StatusCode::FORBIDDEN, "{route:?}");
            members += 1;
        }
        if route.path.ends_with("/leave") {
            // Bob has just left the workspace.
            let bob = matrix.site.user("bob").await;
            matrix.site.join(bob, &matrix.a.id, Role::Member).await;
        }
    }
    assert!(owners >= 5 && members >= 15, "{owners} {members}");
}

#[tokio::test]
async fn requests_without_a_session_are_redirected_to_the_sign_in_page() {
    let matrix = Matrix::start().await;
    let anonymous = matrix.site.browser();
    let script = anonymous.clone().with("accept", "application/json");
    for route in routes() {
        if route.policy.access == Access::Public {
            continue;
        }
        let path = fill(route.path, |name| match name {
            "token" => "AAAA".to_owned(),
            "session" => uuid::Uuid::new_v4().to_string(),
            "workspace" => matrix.a.id.to_string(),
            _ => matrix.of_b.document.to_string(),
        });
        let page = send(&anonymous, &route, &path).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{route:?}");
        assert!(page.location().starts_with("/sign-in"), "{route:?}");
        let json = send(&script, &route, &path).await;
        assert_eq!(json.status, StatusCode::UNAUTHORIZED, "{route:?}");
    }
}

#[test]
fn routes_below_a_workspace_require_membership() {
    for route in routes() {
        let in_workspace = parameters(&route).any(|name| name == "workspace");
        let for_members = matches!(route.policy.access, Access::Member | Access::Owner);
        assert_eq!(in_workspace, for_members, "{route:?}");
        assert_eq!(in_workspace, route.path.starts_with("/w/"), "{route:?}");
    }
}
