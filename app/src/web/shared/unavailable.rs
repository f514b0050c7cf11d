//! Explains to users why their workspace's database cannot be used.

use axum::http::StatusCode;

use super::Problem;
use super::pages::problem::HelpLink;
use crate::ids::WorkspaceId;
use crate::tenants::Unavailable;

/// The error for every handler that needs the database. If waiting a few seconds is not enough, it
/// links to the page with the state of the database, or to where the user can make space.
pub(in crate::web) fn problem(reason: &Unavailable, workspace: &WorkspaceId) -> Problem {
    let link = match reason {
        Unavailable::PoolsExhausted | Unavailable::Unreachable { .. } => None,
        Unavailable::Full => Some(Box::new(HelpLink {
            path: format!("/w/{workspace}/documents"),
            label: "View documents",
        })),
        Unavailable::Provisioning(_)
        | Unavailable::Stalled(_)
        | Unavailable::SchemaOutdated { .. }
        | Unavailable::Deleted
        | Unavailable::NotOwned => Some(Box::new(HelpLink {
            path: format!("/w/{workspace}/provisioning"),
            label: "View database status",
        })),
    };
    let status = match reason {
        Unavailable::Full => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let (code, title, hint) = texts(reason);
    Problem {
        link,
        retry_after_seconds: retry_after_seconds(reason),
        ..Problem::new(status, code, title, hint)
    }
}

fn retry_after_seconds(reason: &Unavailable) -> Option<u64> {
    match reason {
        Unavailable::Provisioning(_) => Some(2),
        Unavailable::SchemaOutdated { .. } => Some(10),
        Unavailable::PoolsExhausted => Some(5),
        Unavailable::Unreachable { retry_after } => Some(retry_after.as_secs().max(1)),
        Unavailable::Full
        | Unavailable::Stalled(_)
        | Unavailable::Deleted
        | Unavailable::NotOwned => None,
    }
}

/// The code, the title and the hint.
fn texts(reason: &Unavailable) -> (&'static str, &'static str, &'static str) {
    match reason {
        Unavailable::Provisioning(_) => (
            "database_provisioning",
            "Your database isn\u{2019}t ready yet",
            "We\u{2019}re still setting it up. Wait a few seconds and try again.",
        ),
        Unavailable::Stalled(_) => (
            "database_stalled",
            "Your database couldn\u{2019}t be set up",
            "Your administrator needs to fix a problem first. Your uploaded files are safe.",
        ),
        Unavailable::SchemaOutdated { .. } => (
            "database_schema_outdated",
            "Your database is being updated",
            "Your data is safe. Wait a few seconds and try again.",
        ),
        Unavailable::Deleted | Unavailable::NotOwned => (
            "database_deleted",
            "Your database no longer exists",
            "It was deleted outside of this app. The status page explains your options.",
        ),
        Unavailable::Full => (
            "database_full",
            "Your workspace\u{2019}s database is full",
            "Nothing is lost, but this wasn\u{2019}t saved. Delete documents or conversations that you no longer need, or ask your administrator to raise the size limit. Then try again.",
        ),
        Unavailable::PoolsExhausted => (
            "databases_busy",
            "The service is busy",
            "Nothing was changed. Wait a few seconds and try again.",
        ),
        Unavailable::Unreachable { .. } => (
            "database_unreachable",
            "Your database isn\u{2019}t responding",
            "It may be starting up. Wait a few seconds and try again.",
        ),
    }
}
