//! Invitation links in the browser.

use app::domain::Role;
use app::identity::Token;
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
        let token = Token::random();
        invitations::create(database, &workspace.id, owner, Role::Member, &token)
            .await
            .unwrap();
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

#[tokio::test]
async fn reloading_the_page_with_a_new_link_creates_no_second_invitation() {
    let site = Site::start().await;
    let mut ada = site.signed_in("Ada").await;
    let workspace = site.workspace_of(site.user("ada").await).await;
    let path = format!("/w/{}/members", workspace.id);
    let form = ada.get(&path).await;
    let request = form
        .after("name=\"request_id\" value=\"")
        .unwrap()
        .to_owned();
    let fields = [("request_id", request.as_str()), ("role", "member")];
    let mut shown = Vec::new();
    for _ in 0..2 {
        let created = ada.post(&format!("{path}/invitations"), &fields).await;
        assert_eq!(created.status, StatusCode::SEE_OTHER, "{}", created.text);
        let page = ada.get(created.location()).await;
        let link = page.after("id=\"invitation-link\" type=\"text\" value=\"");
        shown.push(link.expect("the link").to_owned());
    }
    assert_eq!(shown[0], shown[1]);
    assert_eq!(site.count("SELECT count(*) FROM invitations").await, 1);
    // Another session of the same user cannot show the link.
    let address = format!("{path}?invitation={request}");
    let mut elsewhere = site.signed_in("Ada").await;
    let page = elsewhere.get(&address).await;
    assert!(!page.text.contains("invitation-link"), "{}", page.text);
    // A revoked link is not shown any more.
    site.execute("DELETE FROM invitations").await;
    let page = ada.get(&address).await;
    assert!(!page.text.contains("invitation-link"), "{}", page.text);
}
