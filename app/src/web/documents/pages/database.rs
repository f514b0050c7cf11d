//! A line on top while the workspace's database cannot be used: how it is, and where more of it is said. It goes by itself.

use maud::{Markup, html};

use crate::ids::WorkspaceId;
use crate::web::shared::pages::parts::{self, Severity};

/// How often the line is looked at again while it stands there.
const LOOK_AGAIN: &str = "every 5s";

/// Why the database cannot be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseNote {
    /// It is being made.
    ComingUp,
    /// Somebody else has to do something first.
    HeldUp,
    /// It gets a newer schema.
    Updating,
    /// It was removed, and not by this app.
    Gone,
}

impl DatabaseNote {
    /// How it is meant, what there is to say, what it means for files, and what the link to more says.
    fn words(self) -> (Severity, &'static str, &'static str, &'static str) {
        match self {
            Self::ComingUp => (
                Severity::Neutral,
                "The database is not there yet.",
                "Files that you bring are kept, and read as soon as it is.",
                "Watch it come up",
            ),
            Self::HeldUp => (
                Severity::Warning,
                "The database is held up.",
                "It waits for whoever runs this service. Files that you bring are kept, and read once it is there.",
                "What it waits for",
            ),
            Self::Updating => (
                Severity::Neutral,
                "The database is being brought up to date.",
                "Files that you bring are kept, and read after that.",
                "How far it is",
            ),
            Self::Gone => (
                Severity::Bad,
                "The database was removed.",
                "Nothing can be read or asked here any more.",
                "What you can do",
            ),
        }
    }
}

/// The line, or the place where it would stand.
pub(in crate::web) fn database(workspace: &WorkspaceId, note: Option<DatabaseNote>) -> Markup {
    let base = format!("/w/{workspace}");
    html! {
        @match note {
            None => div #database-note {},
            Some(note @ DatabaseNote::Gone) => div #database-note { (line(note, &base)) },
            // It asks for itself and holds no stream: a stream speaks as soon as it is connected, and the line that came with its word
            // would connect anew.
            Some(note) => {
                div #database-note hx-get={ (base) "/documents" } hx-select="#database-note" hx-swap="outerHTML" hx-trigger=(LOOK_AGAIN) {
                    (line(note, &base))
                }
            },
        }
    }
}

fn line(note: DatabaseNote, base: &str) -> Markup {
    let (tone, title, text, more) = note.words();
    parts::callout(
        tone,
        title,
        &html! { p { (text) " " a href={ (base) "/provisioning" } { (more) } } },
    )
}
