//! Members, settings and account pages.

use app::ids::{InvitationId, SessionId, UserId};
use app::web::identity::pages::account;
use app::web::shared::pages::{Notice, PageContext, RoleView};
use app::web::workspaces::pages::{members, settings};
use maud::Markup;

use super::{HOSTILE, ago, ahead, hostile_inside, inside, link, signed_in, uuid, workspace};

pub(super) fn members() -> Vec<(&'static str, Markup)> {
    let member = |number, name: &str, role, you| members::MemberView {
        id: UserId(uuid(number)),
        name: name.to_owned(),
        email: Some(format!(
            "{}@example.com",
            name.split(' ').next().unwrap_or("x").to_lowercase()
        )),
        email_verified: number != 12,
        role,
        joined_at: ago(86_400 * i64::try_from(number).unwrap_or(1)),
        you,
    };
    let page = members::MembersPage {
        workspace: workspace(),
        request_id: uuid(21).to_string(),
        members: vec![
            member(11, "Mira Halvorsen", RoleView::Owner, true),
            member(12, "Tomasz Kowalczyk-Wiśniewski", RoleView::Member, false),
            member(13, "Ödön", RoleView::Member, false),
        ],
        invitations: vec![members::InvitationView {
            id: InvitationId(uuid(20)),
            role: RoleView::Member,
            created_by: Some("Mira Halvorsen".to_owned()),
            created_at: ago(7_200),
            expires_at: ahead(600_000),
        }],
        new_invitation: None,
        owner: true,
        error: None,
    };
    vec![
        ("members", members::page(&inside(), &page)),
        (
            "members-invited",
            members::page(
                &inside(),
                &members::MembersPage {
                    new_invitation: Some(members::NewInvitation {
                        url: "https://folio.example.com/invitations/Zx81hJkQn0vPq3Lr7TsYwBdEfGhIjKlMnOpQrStUvWx".to_owned(),
                        role: RoleView::Member,
                        expires_at: ahead(604_800),
                    }),
                    ..page.clone()
                },
            ),
        ),
        (
            "members-as-member",
            members::page(
                &PageContext {
                    notice: Some(Notice::Joined),
                    ..inside()
                },
                &members::MembersPage {
                    owner: false,
                    invitations: Vec::new(),
                    ..page.clone()
                },
            ),
        ),
        (
            "members-hostile",
            members::page(
                &hostile_inside(),
                &members::MembersPage {
                    members: vec![members::MemberView {
                        email: Some(HOSTILE.to_owned()),
                        ..member(12, HOSTILE, RoleView::Member, false)
                    }],
                    error: Some(HOSTILE.to_owned()),
                    ..page
                },
            ),
        ),
    ]
}

pub(super) fn settings_and_account() -> Vec<(&'static str, Markup)> {
    vec![
        ("settings", settings::page(&inside(), &settings_page())),
        (
            "settings-hostile",
            settings::page(
                &hostile_inside(),
                &settings::SettingsPage {
                    name: HOSTILE.to_owned(),
                    name_error: Some("Enter a name of 1 to 80 characters.".to_owned()),
                    delete_error: Some(
                        "The name doesn\u{2019}t match. Nothing was deleted.".to_owned(),
                    ),
                    ..settings_page()
                },
            ),
        ),
        (
            "settings-as-member",
            settings::page(
                &inside(),
                &settings::SettingsPage {
                    owner: false,
                    region: None,
                    schema: None,
                    ready_ms: None,
                    embedding_model: None,
                    ..settings_page()
                },
            ),
        ),
        ("account", account::page(&signed_in(), &account_page())),
        (
            "account-hostile",
            account::page(
                &hostile_inside(),
                &account::AccountPage {
                    name: HOSTILE.to_owned(),
                    email: Some(HOSTILE.to_owned()),
                    email_verified: false,
                    delete_error: Some(
                        "The text doesn\u{2019}t match. Nothing was deleted.".to_owned(),
                    ),
                    ..account_page()
                },
            ),
        ),
    ]
}

fn settings_page() -> settings::SettingsPage {
    settings::SettingsPage {
        workspace: workspace(),
        name: "House purchase".to_owned(),
        created_at: ago(86_400 * 12),
        region: Some("aws-eu-central-1".to_owned()),
        class_name: "default".to_owned(),
        tenant: "ws-k3v9x2m7q0za".to_owned(),
        schema: Some(2),
        ready_ms: Some(3_412),
        embedding_model: Some("text-embedding-3-small".to_owned()),
        owner: true,
        name_error: None,
        delete_error: None,
    }
}

fn account_page() -> account::AccountPage {
    let session = |number, browser: &str, current| account::SessionView {
        id: SessionId(uuid(number)),
        browser: browser.to_owned(),
        created_at: ago(86_400 * 3),
        last_seen_at: ago(if current { 5 } else { 86_400 }),
        current,
    };
    account::AccountPage {
        name: "Mira Halvorsen".to_owned(),
        email: Some("mira@halvorsen.example".to_owned()),
        email_verified: false,
        identities: vec![account::IdentityView {
            issuer: "https://accounts.google.com".to_owned(),
            subject: "113774920184423099017".to_owned(),
        }],
        created_at: ago(86_400 * 90),
        sessions: vec![
            session(
                31,
                "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
                true,
            ),
            session(
                32,
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile/15E148 Safari/604.1",
                false,
            ),
        ],
        owned_alone: vec![link("House purchase", RoleView::Owner)],
        delete_error: None,
    }
}
