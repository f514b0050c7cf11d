//! Invitation links in the browser.

use app::domain::Role;
use app::workspaces::invitations;
use axum::http::StatusCode;

use super::site::Site;

#[tokio::test]
async fn a_used_link_leads_only_its_user_to_the_workspace() {
    let site = Site::start().await;
    let _ada = site.signed_in("Ada").await;
    let owner = site.user("ada").await;
    let workspace = site.workspace_of(owner).await;
    let database = &site.app.database;
    let link = async || {
        let invitation = invitations::create(database, &workspace.id, owner, Role::Member).await;
        let (_, token) = invitation.unwrap();
        format!("/invitations/{}", token.reveal())
    };
    let path = link().await;
    let mut grace = site.signed_in("Grace").await;
    let joined = grace.post(&path, &[]).await;
    assert_eq!(joined.status, StatusCode::SEE_OTHER, "{}", joined.text);
    // Creating an invitation deletes expired ones, but keeps the used one.
    link().await;
    let back = format!("href=\"/w/{}\"", workspace.id);
    let again = grace.get(&path).await;
    assert_eq!(again.status, StatusCode::OK);
    assert!(again.text.contains(&back), "{}", again.text);
    let mut mallory = site.signed_in("Mallory").await;
    let other = mallory.get(&path).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
    assert!(!other.text.contains(&back), "{}", other.text);
    let stranger = site.browser().get(&path).await;
    assert_eq!(stranger.status, StatusCode::NOT_FOUND);
    let sign_in = format!("href=\"/sign-in?return_to={path}\"");
    assert!(stranger.text.contains(&sign_in), "{}", stranger.text);
    // A removed member has no access.
    site.execute("DELETE FROM members WHERE role = 'member'")
        .await;
    assert_eq!(grace.get(&path).await.status, StatusCode::NOT_FOUND);
}
