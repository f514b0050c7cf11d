//! Provisioning, deletion and error pages.

use app::web::shared::pages::problem;
use app::web::workspaces::pages::{provisioning, receipt};
use maud::Markup;

use super::{HOSTILE, ago, ahead, anonymous, hostile_inside, inside, now, signed_in, workspace};

pub(super) fn provisioning_pages() -> Vec<(&'static str, Markup)> {
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
                step: provisioning::ProvisioningStep::Credentials,
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
            "provisioning-outdated",
            page(State::SchemaOutdated {
                version: Some(1),
                required: 2,
            }),
        ),
        (
            "provisioning-stalled",
            page(State::Stalled {
                reason: "ApiKeyInvalid".to_owned(),
                tenant: "ws-k3v9x2m7q0za".to_owned(),
                guidance: "Your administrator needs to renew the API key of the database account. Setup will then continue automatically.",
            }),
        ),
        ("provisioning-deleted", page(State::Deleted)),
        ("provisioning-unknown", page(State::Unknown)),
    ]
}

pub(super) fn deletions() -> Vec<(&'static str, Markup)> {
    let step = |label: &str, state, note: Option<&str>| receipt::ReceiptStep {
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
            step("Running tasks", receipt::StepState::Done, None),
            step("Files", receipt::StepState::Done, Some("14 files, 31 MB")),
            step(
                "Database",
                receipt::StepState::Active,
                Some("Waiting for the database to be deleted"),
            ),
            step("Remaining data", receipt::StepState::Waiting, None),
        ],
        deleted: Vec::new(),
        databases: Vec::new(),
    };
    let mut blocked = view.clone();
    if let Some(step) = blocked.steps.get_mut(2) {
        step.state = receipt::StepState::Blocked;
        step.note = Some(
            "The database service isn\u{2019}t available right now. We\u{2019}ll keep trying."
                .to_owned(),
        );
    }
    let finished = receipt::ReceiptView {
        finished_at: Some(now()),
        deleted: [
            ("Documents", "14"),
            ("Files", "14, 31 MB"),
            ("Conversations", "deleted with the database"),
            ("Members", "3"),
            ("Pending invitations", "1"),
        ]
        .map(|(label, amount)| receipt::DeletedItem {
            label: label.to_owned(),
            amount: amount.to_owned(),
        })
        .to_vec(),
        databases: vec![receipt::ReceiptDatabase {
            tenant: "ws-k3v9x2m7q0za".to_owned(),
            region: Some("aws-eu-central-1".to_owned()),
            deleted_at: now(),
            recoverable_until: Some(ahead(7 * 86_400)),
        }],
        ..view.clone()
    };
    vec![
        ("deletion", receipt::page(&anonymous(), &view)),
        ("deletion-blocked", receipt::page(&signed_in(), &blocked)),
        ("receipt", receipt::page(&anonymous(), &finished)),
        (
            "receipt-account",
            receipt::page(
                &anonymous(),
                &receipt::ReceiptView {
                    subject: receipt::Subject::Account,
                    ..finished
                },
            ),
        ),
    ]
}

pub(super) fn problems() -> Vec<(&'static str, Markup)> {
    let view = |status, title: &str, hint: &str, code: &str| problem::ProblemView {
        status,
        title: title.to_owned(),
        hint: hint.to_owned(),
        code: code.to_owned(),
        sign_in: None,
        request_id: Some("7f3a9c12".to_owned()),
        retry_after_seconds: None,
        link: None,
    };
    vec![
        (
            "not-found",
            problem::page(
                &signed_in(),
                &view(
                    404,
                    "Page not found",
                    "The link may be outdated, the content may have been deleted, or it may belong to a workspace that you\u{2019}re not a member of.",
                    "not_found",
                ),
            ),
        ),
        (
            "error",
            problem::page(
                &anonymous(),
                &view(
                    500,
                    "Something went wrong on our side",
                    "Try again in a moment. If the problem persists, contact your administrator and mention the request ID below.",
                    "internal",
                ),
            ),
        ),
        (
            "too-many-requests",
            problem::page(
                &anonymous(),
                &problem::ProblemView {
                    retry_after_seconds: Some(12),
                    ..view(
                        429,
                        "Too many requests",
                        "Wait 12 seconds, then try again.",
                        "too_many_requests",
                    )
                },
            ),
        ),
        (
            "signed-out",
            problem::page(
                &anonymous(),
                &problem::ProblemView {
                    sign_in: Some("/sign-in?return_to=/w/k3v9x2m7q0za".to_owned()),
                    ..view(
                        401,
                        "You\u{2019}re not signed in",
                        "Sign in to continue where you left off.",
                        "signed_out",
                    )
                },
            ),
        ),
        (
            "problem-hostile",
            problem::page(
                &hostile_inside(),
                &view(422, HOSTILE, HOSTILE, "invalid_input"),
            ),
        ),
        (
            "database-stalled",
            problem::page(
                &inside(),
                &problem::ProblemView {
                    link: Some(problem::HelpLink {
                        path: "/w/k3v9x2m7q0za/provisioning".to_owned(),
                        label: "View database status",
                    }),
                    ..view(
                        503,
                        "Your database needs attention",
                        "Your administrator needs to fix a problem first. Your files are safe, and processing will continue automatically.",
                        "database_stalled",
                    )
                },
            ),
        ),
        (
            "problem-fragment",
            app::web::shared::pages::layout(
                &inside(),
                "Page with an error message",
                &maud::html! { h1 { "Page with an error message" } (problem::fragment(&view(409, "This document is already being processed", "Wait until it\u{2019}s done.", "busy"))) },
            ),
        ),
    ]
}
