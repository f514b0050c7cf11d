//! Pages for getting started: home, sign-in, new workspace and invitations.

use app::web::home::pages as home;
use app::web::identity::pages::sign_in;
use app::web::shared::pages::{RoleView, SelectOption};
use app::web::workspaces::pages::{invitation, new_workspace};
use maud::Markup;

use super::{HOSTILE, ahead, anonymous, signed_in, uuid, workspace};

pub(super) fn entry() -> Vec<(&'static str, Markup)> {
    let sign_in = sign_in::SignInPage {
        provider: Some("Google".to_owned()),
        return_to: Some("/w/k3v9x2m7q0za/chat".to_owned()),
        ..Default::default()
    };
    let new = new_workspace::NewWorkspacePage {
        request_id: uuid(1).to_string(),
        name: String::new(),
        regions: vec![
            choice("aws-eu-central-1", "Frankfurt", Some("Europe"), true),
            choice("aws-us-east-1", "Virginia", Some("United States"), false),
            choice("aws-ap-southeast-1", "Singapore", Some("Asia"), false),
        ],
        classes: vec![
            choice(
                "default",
                "Standard",
                Some("Up to 2 compute units; suspends when idle"),
                true,
            ),
            choice("large", "Large", Some("Up to 8 compute units"), false),
        ],
        error: None,
    };
    vec![
        ("home", home::page(&anonymous(), true)),
        ("home-one-region", home::page(&anonymous(), false)),
        ("sign-in", sign_in::page(&anonymous(), &sign_in)),
        (
            "sign-in-refused",
            sign_in::page(
                &anonymous(),
                &sign_in::SignInPage {
                    sign_up: sign_in::SignUpView::Invited,
                    choose_account: true,
                    error: Some("You need an invitation to create an account here, so no account was created. Ask a member of the workspace that you want to join for an invitation link, open the link, and sign in from there.".to_owned()),
                    ..sign_in.clone()
                },
            ),
        ),
        (
            "sign-in-local",
            sign_in::page(
                &anonymous(),
                &sign_in::SignInPage {
                    local: true,
                    error: Some("Enter a name of 1 to 80 characters.".to_owned()),
                    name: HOSTILE.to_owned(),
                    ..sign_in.clone()
                },
            ),
        ),
        (
            "sign-in-local-only",
            sign_in::page(
                &anonymous(),
                &sign_in::SignInPage {
                    local: true,
                    ..Default::default()
                },
            ),
        ),
        ("new-workspace", new_workspace::page(&signed_in(), &new)),
        (
            "new-workspace-rejected",
            new_workspace::page(
                &signed_in(),
                &new_workspace::NewWorkspacePage {
                    name: HOSTILE.to_owned(),
                    error: Some("You already own 20 workspaces, which is the maximum. Delete one or hand it over to another owner first.".to_owned()),
                    regions: Vec::new(),
                    classes: vec![choice("default", "Standard", None, true)],
                    ..new
                },
            ),
        ),
    ]
}

pub(super) fn invitations() -> Vec<(&'static str, Markup)> {
    vec![
        (
            "invitation",
            invitation::page(
                &anonymous(),
                &invitation::InvitationPage {
                    token: "c2FtcGxl".to_owned(),
                    state: invitation::InvitationState::Open {
                        workspace: "House purchase".to_owned(),
                        invited_by: Some("Mira Halvorsen".to_owned()),
                        role: RoleView::Member,
                        expires_at: ahead(600_000),
                    },
                },
            ),
        ),
        (
            "invitation-signed-in",
            invitation::page(
                &signed_in(),
                &invitation::InvitationPage {
                    token: "c2FtcGxl".to_owned(),
                    state: invitation::InvitationState::Open {
                        workspace: HOSTILE.to_owned(),
                        invited_by: None,
                        role: RoleView::Owner,
                        expires_at: ahead(600_000),
                    },
                },
            ),
        ),
        (
            "invitation-already",
            invitation::page(
                &signed_in(),
                &invitation::InvitationPage {
                    token: "c2FtcGxl".to_owned(),
                    state: invitation::InvitationState::AlreadyMember {
                        workspace: workspace(),
                        name: "House purchase".to_owned(),
                        is_used: true,
                    },
                },
            ),
        ),
        (
            "invitation-closed",
            invitation::page(
                &signed_in(),
                &invitation::InvitationPage {
                    token: "c2FtcGxl".to_owned(),
                    state: invitation::InvitationState::Closed,
                },
            ),
        ),
    ]
}

fn choice(value: &str, label: &str, note: Option<&str>, chosen: bool) -> SelectOption {
    SelectOption {
        value: value.to_owned(),
        label: label.to_owned(),
        note: note.map(str::to_owned),
        chosen,
    }
}
