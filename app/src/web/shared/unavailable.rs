//! What people read when their workspace's database cannot be used now.

use axum::http::StatusCode;

use super::Problem;
use super::pages::problem::HelpLink;
use crate::ids::WorkspaceId;
use crate::tenants::Unavailable;

/// In one place for every handler that needs the database. Where waiting a few seconds is not all, it leads to the page about the database.
pub(in crate::web) fn problem(reason: &Unavailable, workspace: &WorkspaceId) -> Problem {
    let of = |code, title, hint| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, title, hint)
    };
    let lead = match reason {
        Unavailable::PoolsExhausted | Unavailable::Unreachable { .. } => None,
        Unavailable::Provisioning(_)
        | Unavailable::Stalled(_)
        | Unavailable::SchemaOutdated { .. }
        | Unavailable::Deleted
        | Unavailable::NotOwned => Some(Box::new(HelpLink {
            path: format!("/w/{workspace}/provisioning"),
            label: "About your database",
        })),
    };
    let words = words(reason, of);
    Problem { lead, ..words }
}

fn words(
    reason: &Unavailable,
    of: impl Fn(&'static str, &'static str, &'static str) -> Problem,
) -> Problem {
    match reason {
        Unavailable::Provisioning(_) => Problem {
            retry_after_seconds: Some(2),
            ..of(
                "database_provisioning",
                "Your database is not ready yet",
                "It is being made ready. Wait a few seconds, and try again.",
            )
        },
        Unavailable::Stalled(_) => of(
            "database_stalled",
            "Your database is held up",
            "Whoever runs this service has to mend something first; then it goes on by itself. What you brought is kept.",
        ),
        Unavailable::SchemaOutdated { .. } => Problem {
            retry_after_seconds: Some(10),
            ..of(
                "database_schema_behind",
                "Your database is being brought up to date",
                "Wait a little, and try again.",
            )
        },
        Unavailable::Deleted | Unavailable::NotOwned => of(
            "database_gone",
            "Your database is gone",
            "It was removed outside of this app. The page about it says what you can do.",
        ),
        Unavailable::PoolsExhausted => Problem {
            retry_after_seconds: Some(5),
            ..of(
                "databases_busy",
                "Very many people are here at the moment",
                "Wait a few seconds, and try again.",
            )
        },
        Unavailable::Unreachable { retry_after } => Problem {
            retry_after_seconds: Some(retry_after.as_secs().max(1)),
            ..of(
                "database_unreachable",
                "Your database does not answer",
                "It may be waking up. Wait a few seconds, and try again.",
            )
        },
    }
}
