//! Every page with values to look at: ordinary ones, long ones, and such as somebody hostile would choose.

use app::ids::{InvitationId, SessionId, UserId, WorkspaceId};
use app::pages::{
    Choice, Chrome, Notice, PersonView, Role, Theme, WorkspaceLink, account, invitation, landing,
    members, new_workspace, problem, provisioning, receipt, settings, sign_in,
};
use jiff::{SignedDuration, Timestamp};
use maud::Markup;
use uuid::Uuid;

mod chats;
mod files;

/// A name as somebody would choose it who wants to break pages.
pub(crate) const HOSTILE: &str =
    "\"><script>alert(1)</script><img src=x onerror=alert(2)>' onmouseover='alert(3)";

/// All of them by name.
pub(crate) fn all() -> Vec<(&'static str, Markup)> {
    let mut pages = entry();
    pages.extend(invitations());
    pages.extend(provisioning_pages());
    pages.extend(files::pages());
    pages.extend(chats::pages());
    pages.extend(people());
    pages.extend(settings_and_account());
    pages.extend(leaving());
    pages.extend(problems());
    pages
}

/// When all samples are looked at.
fn now() -> Timestamp {
    Timestamp::from_second(1_795_432_800).unwrap_or_default()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

fn ahead(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x1f2e_3d4c_5b6a_7988_0000_0000_0000_0000 + number)
}

/// The same workspace in every sample.
fn workspace() -> WorkspaceId {
    WorkspaceId::try_from("k3v9x2m7q0za".to_owned()).unwrap_or_else(|_| WorkspaceId::random())
}

fn link(name: &str, role: Role) -> WorkspaceLink {
    WorkspaceLink {
        id: workspace(),
        name: name.to_owned(),
        role,
    }
}

fn stranger() -> Chrome {
    Chrome::anonymous(Theme::Device, "sample-token".to_owned(), now())
}

fn signed_in() -> Chrome {
    Chrome {
        user: Some(PersonView {
            name: "Mira Halvorsen".to_owned(),
            email: Some("mira@halvorsen.example".to_owned()),
        }),
        workspaces: vec![
            link("House purchase", Role::Owner),
            WorkspaceLink {
                id: WorkspaceId::random(),
                name: "Reading group on the philosophy of physics".to_owned(),
                role: Role::Member,
            },
        ],
        ..stranger()
    }
}

fn inside() -> Chrome {
    Chrome {
        workspace: Some(link("House purchase", Role::Owner)),
        ..signed_in()
    }
}

fn hostile_inside() -> Chrome {
    Chrome {
        user: Some(PersonView {
            name: HOSTILE.to_owned(),
            email: Some(HOSTILE.to_owned()),
        }),
        csrf: HOSTILE.to_owned(),
        workspace: Some(link(HOSTILE, Role::Owner)),
        workspaces: vec![link(HOSTILE, Role::Owner)],
        ..stranger()
    }
}

fn entry() -> Vec<(&'static str, Markup)> {
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
                Some("Up to 2 CUs; sleeps when nobody asks"),
                true,
            ),
            choice("large", "Large", Some("Up to 8 CUs"), false),
        ],
        trouble: None,
    };
    vec![
        ("landing", landing::page(&stranger())),
        ("sign-in", sign_in::page(&stranger(), &sign_in)),
        (
            "sign-in-local",
            sign_in::page(
                &stranger(),
                &sign_in::SignInPage {
                    local: true,
                    trouble: Some("Type a name of 1 to 80 characters.".to_owned()),
                    name: HOSTILE.to_owned(),
                    ..sign_in.clone()
                },
            ),
        ),
        (
            "sign-in-local-only",
            sign_in::page(
                &stranger(),
                &sign_in::SignInPage {
                    local: true,
                    ..Default::default()
                },
            ),
        ),
        ("new-workspace", new_workspace::page(&signed_in(), &new)),
        (
            "new-workspace-refused",
            new_workspace::page(
                &signed_in(),
                &new_workspace::NewWorkspacePage {
                    name: HOSTILE.to_owned(),
                    trouble: Some("You are in 20 workspaces, which is as many as there may be. Leave or remove one first.".to_owned()),
                    regions: Vec::new(),
                    classes: vec![choice("default", "Standard", None, true)],
                    ..new
                },
            ),
        ),
    ]
}

fn invitations() -> Vec<(&'static str, Markup)> {
    vec![
        (
            "invitation",
            invitation::page(
                &stranger(),
                &invitation::InvitationPage {
                    token: "c2FtcGxl".to_owned(),
                    state: invitation::InvitationState::Open {
                        workspace: "House purchase".to_owned(),
                        invited_by: Some("Mira Halvorsen".to_owned()),
                        role: Role::Member,
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
                        role: Role::Owner,
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

fn choice(value: &str, label: &str, note: Option<&str>, chosen: bool) -> Choice {
    Choice {
        value: value.to_owned(),
        label: label.to_owned(),
        note: note.map(str::to_owned),
        chosen,
    }
}

fn provisioning_pages() -> Vec<(&'static str, Markup)> {
    use provisioning::ProvisioningState as State;
    let page = |state| {
        provisioning::page(
            &inside(),
            &provisioning::ProvisioningView {
                workspace: workspace(),
                since: ago(2),
                now: now(),
                state,
                owner: true,
            },
        )
    };
    vec![
        (
            "provisioning",
            page(State::Working {
                step: provisioning::Step::Credentials,
            }),
        ),
        (
            "provisioning-ready",
            page(State::Ready {
                ready_ms: Some(3_412),
                project_ms: Some(2_150),
                schema_ms: Some(840),
                region: "aws-eu-central-1".to_owned(),
                schema: 2,
            }),
        ),
        (
            "provisioning-behind",
            page(State::SchemaBehind {
                has: Some(1),
                needs: 2,
            }),
        ),
        (
            "provisioning-stalled",
            page(State::Stalled {
                reason: "RegionNotAllowed".to_owned(),
                message: "Class default does not allow the region azure-eastus2. Allowed are aws-eu-central-1 and aws-us-east-1.".to_owned(),
                next: "Whoever runs this service has to allow the region. It is tried again as soon as that changes, and every 10 minutes.".to_owned(),
            }),
        ),
        ("provisioning-removed", page(State::Removed)),
        ("provisioning-unknown", page(State::Unknown)),
    ]
}

fn people() -> Vec<(&'static str, Markup)> {
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
        members: vec![
            member(11, "Mira Halvorsen", Role::Owner, true),
            member(12, "Tomasz Kowalczyk-Wiśniewski", Role::Member, false),
            member(13, "Ödön", Role::Member, false),
        ],
        invitations: vec![members::InvitationView {
            id: InvitationId(uuid(20)),
            role: Role::Member,
            created_by: Some("Mira Halvorsen".to_owned()),
            created_at: ago(7_200),
            expires_at: ahead(600_000),
        }],
        new_invitation: None,
        owner: true,
        trouble: None,
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
                        role: Role::Member,
                        expires_at: ahead(604_800),
                    }),
                    ..page.clone()
                },
            ),
        ),
        (
            "members-as-member",
            members::page(
                &Chrome {
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
                        ..member(12, HOSTILE, Role::Member, false)
                    }],
                    trouble: Some(HOSTILE.to_owned()),
                    ..page
                },
            ),
        ),
    ]
}

fn settings_and_account() -> Vec<(&'static str, Markup)> {
    vec![
        ("settings", settings::page(&inside(), &settings_page())),
        (
            "settings-hostile",
            settings::page(
                &hostile_inside(),
                &settings::SettingsPage {
                    name: HOSTILE.to_owned(),
                    name_trouble: Some("A name has 1 to 80 characters.".to_owned()),
                    remove_trouble: Some(
                        "That is not the workspace\u{2019}s name. Nothing was removed.".to_owned(),
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
                    remove_trouble: Some("The words do not match. Nothing was removed.".to_owned()),
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
        name_trouble: None,
        remove_trouble: None,
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
        owned_alone: vec![link("House purchase", Role::Owner)],
        remove_trouble: None,
    }
}

fn leaving() -> Vec<(&'static str, Markup)> {
    let step = |label: &str, state, note: Option<&str>| receipt::RemovalStep {
        label: label.to_owned(),
        state,
        note: note.map(str::to_owned),
    };
    let view = receipt::ReceiptView {
        token: "c2FtcGxl".to_owned(),
        subject: receipt::Subject::Workspace {
            id: "k3v9x2m7q0za".to_owned(),
        },
        requested_at: ago(9),
        finished_at: None,
        steps: vec![
            step("Stop work under way", receipt::StepState::Done, None),
            step("Files", receipt::StepState::Done, Some("14 files, 31 MB")),
            step(
                "Database",
                receipt::StepState::Now,
                Some("Waiting until it is gone"),
            ),
            step("Entries", receipt::StepState::Waiting, None),
        ],
        removed: Vec::new(),
        databases: Vec::new(),
    };
    let mut held = view.clone();
    if let Some(step) = held.steps.get_mut(2) {
        step.state = receipt::StepState::Held;
        step.note = Some(
            "The cluster does not answer. It is tried again in 8 s; nothing is lost.".to_owned(),
        );
    }
    let finished = receipt::ReceiptView {
        finished_at: Some(now()),
        removed: [
            ("Documents", "14"),
            ("Files", "14, 31 MB"),
            ("Conversations", "with the database"),
            ("Members", "3"),
            ("Open invitations", "1"),
        ]
        .map(|(label, amount)| receipt::RemovedItem {
            label: label.to_owned(),
            amount: amount.to_owned(),
        })
        .to_vec(),
        databases: vec![receipt::RemovedDatabase {
            tenant: "ws-k3v9x2m7q0za".to_owned(),
            region: Some("aws-eu-central-1".to_owned()),
            removed_at: now(),
            recoverable_until: Some(ahead(7 * 86_400)),
        }],
        ..view.clone()
    };
    vec![
        ("removal", receipt::page(&stranger(), &view)),
        ("removal-held", receipt::page(&signed_in(), &held)),
        ("receipt", receipt::page(&stranger(), &finished)),
        (
            "receipt-account",
            receipt::page(
                &stranger(),
                &receipt::ReceiptView {
                    subject: receipt::Subject::Account,
                    ..finished
                },
            ),
        ),
    ]
}

fn problems() -> Vec<(&'static str, Markup)> {
    let view = |status, title: &str, what_to_do: &str, code: &str| problem::ProblemView {
        status,
        title: title.to_owned(),
        what_to_do: what_to_do.to_owned(),
        code: code.to_owned(),
        sign_in: None,
        request_id: Some("7f3a9c12".to_owned()),
        retry_after_seconds: None,
    };
    vec![
        (
            "not-found",
            problem::page(
                &signed_in(),
                &view(
                    404,
                    "There is nothing here",
                    "The link may be old, or what it showed belongs to a workspace that you are not a member of.",
                    "not_found",
                ),
            ),
        ),
        (
            "error",
            problem::page(
                &stranger(),
                &view(
                    500,
                    "Something went wrong on our side",
                    "Try again in a moment. If it stays like this, tell whoever runs this site the number of this request.",
                    "internal",
                ),
            ),
        ),
        (
            "too-many-requests",
            problem::page(
                &stranger(),
                &problem::ProblemView {
                    retry_after_seconds: Some(12),
                    ..view(
                        429,
                        "That was a little too much at once",
                        "Wait 12 seconds, and try again.",
                        "too_many_requests",
                    )
                },
            ),
        ),
        (
            "signed-out",
            problem::page(
                &stranger(),
                &problem::ProblemView {
                    sign_in: Some("/sign-in?return_to=/w/k3v9x2m7q0za".to_owned()),
                    ..view(
                        401,
                        "You are not signed in",
                        "Sign in, and you come back to where you were.",
                        "signed_out",
                    )
                },
            ),
        ),
        (
            "problem-hostile",
            problem::page(
                &hostile_inside(),
                &view(422, HOSTILE, HOSTILE, "wrong_input"),
            ),
        ),
        (
            "problem-fragment",
            app::pages::layout(
                &inside(),
                "A problem at the top",
                &maud::html! { h1 { "A problem at the top" } (problem::fragment(&view(409, "This document is being read already", "Wait until it is done.", "busy"))) },
            ),
        ),
    ]
}
