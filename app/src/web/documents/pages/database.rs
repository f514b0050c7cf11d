//! A banner shown while the workspace's database is unavailable. It polls and disappears once the
//! database is available.

use maud::{Markup, html};

use crate::ids::WorkspaceId;
use crate::web::shared::pages::parts::{self, Severity};

/// How often the banner is refreshed.
const POLL_TRIGGER: &str = "every 5s";

/// Why the database is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseStatus {
    Provisioning,
    /// An operator has to intervene.
    Stalled,
    /// The schema is being updated.
    Updating,
    /// It was deleted outside the app.
    Deleted,
}

impl DatabaseStatus {
    /// Severity, title, effect on uploads, and link text.
    fn text(self) -> (Severity, &'static str, &'static str, &'static str) {
        match self {
            Self::Provisioning => (
                Severity::Neutral,
                "Your database is being set up.",
                "You can upload files now. We\u{2019}ll process them as soon as the database is ready.",
                "View progress",
            ),
            Self::Stalled => (
                Severity::Warning,
                "Your database needs attention.",
                "Your administrator needs to fix a problem. You can still upload files; we\u{2019}ll process them once the database is available.",
                "View details",
            ),
            Self::Updating => (
                Severity::Neutral,
                "Your database is being updated.",
                "You can upload files now. We\u{2019}ll process them after the update.",
                "View progress",
            ),
            Self::Deleted => (
                Severity::Bad,
                "Your database was deleted.",
                "You can\u{2019}t upload documents or ask questions in this workspace.",
                "View options",
            ),
        }
    }
}

/// The banner, or its empty placeholder.
pub(in crate::web) fn database(workspace: &WorkspaceId, status: Option<DatabaseStatus>) -> Markup {
    let base = format!("/w/{workspace}");
    html! {
        @match status {
            None => div #database-status {},
            Some(status @ DatabaseStatus::Deleted) => div #database-status { (line(status, &base)) },
            // Polls instead of subscribing: a stream sends an event on every connection, and
            // replacing the banner in response would reconnect it.
            Some(status) => {
                div #database-status hx-get={ (base) "/documents" } hx-select="#database-status" hx-swap="outerHTML" hx-trigger=(POLL_TRIGGER) {
                    (line(status, &base))
                }
            },
        }
    }
}

fn line(status: DatabaseStatus, base: &str) -> Markup {
    let (severity, title, text, more) = status.text();
    parts::callout(
        severity,
        title,
        &html! { p { (text) " " a href={ (base) "/provisioning" } { (more) } } },
    )
}
