//! Progress of the deletion of a workspace or account, and its receipt.
//!
//! The server sends the panel with the event [`EVENT_CHANGED`]. The event [`EVENT_ENDED`] also
//! carries it and closes the stream. Browsers without JavaScript reload the page.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::web::shared::pages::layout::{Layout, PageContext};
use crate::web::shared::pages::parts::{self, Severity};
use crate::web::shared::pages::{format, icons};

/// Carries the panel while the deletion continues.
pub const EVENT_CHANGED: &str = "deletion";
pub const EVENT_ENDED: &str = "ended";
/// How often browsers without JavaScript reload the page.
const RELOAD_SECONDS: u32 = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptView {
    /// The secret token in the page's URL.
    pub token: String,
    pub subject: Subject,
    pub requested_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    /// In order.
    pub steps: Vec<ReceiptStep>,
    /// What was deleted, one item per line.
    pub deleted: Vec<DeletedItem>,
    pub databases: Vec<ReceiptDatabase>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Without its name, which is deleted as well.
    Workspace {
        id: String,
    },
    Account,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptStep {
    /// For example `Files`.
    pub label: String,
    pub state: StepState,
    /// Counts, or why the step is blocked.
    pub note: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    Waiting,
    Active,
    /// Blocked; it is retried automatically.
    Blocked,
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedItem {
    /// For example `Documents`.
    pub label: String,
    /// The formatted count or size.
    pub amount: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptDatabase {
    pub tenant: String,
    pub region: Option<String>,
    pub deleted_at: Timestamp,
    /// Until when an administrator can recover the database; `None` if it cannot be recovered.
    pub recoverable_until: Option<Timestamp>,
}

pub fn page(context: &PageContext, view: &ReceiptView) -> Markup {
    let title = if view.finished_at.is_some() {
        "Receipt"
    } else {
        "Deletion"
    };
    let mut layout = Layout::new(context, title);
    if view.finished_at.is_none() {
        layout = layout.reload(RELOAD_SECONDS);
    }
    layout.render(&html! {
        @if view.finished_at.is_some() {
            section #deletion { (panel(view)) }
        } @else {
            div hx-ext="sse" sse-connect={ "/receipts/" (view.token) "/events" } sse-close=(EVENT_ENDED) {
                section #deletion sse-swap={ (EVENT_CHANGED) "," (EVENT_ENDED) } { (panel(view)) }
            }
        }
    })
}

/// Content of `#deletion`, sent with both events. Screen readers announce only the changed step.
pub fn panel(view: &ReceiptView) -> Markup {
    html! {
        span #deletion-news hidden data-announce=(announcement(view)) {}
        @match view.finished_at {
            None => (in_progress(view)),
            Some(finished_at) => (receipt(view, finished_at)),
        }
    }
}

/// The announcement for screen readers.
fn announcement(view: &ReceiptView) -> String {
    if view.finished_at.is_some() {
        return "Deletion complete. This is your receipt.".to_owned();
    }
    view.steps
        .iter()
        .find(|step| matches!(step.state, StepState::Active | StepState::Blocked))
        .map_or_else(String::new, |step| match step.state {
            StepState::Blocked => format!("{} is delayed.", step.label),
            StepState::Waiting | StepState::Active | StepState::Done => step.label.clone(),
        })
}

fn in_progress(view: &ReceiptView) -> Markup {
    html! {
        (parts::heading(match view.subject {
            Subject::Workspace { .. } => "Deleting your workspace",
            Subject::Account => "Deleting your account",
        }, Some(html! { "You can close this page; the deletion continues in the background. Bookmark this address if you want to keep the receipt." }), None))
        div.card { (steps(view)) }
    }
}

fn steps(view: &ReceiptView) -> Markup {
    html! {
        ol.steps {
            @for step in &view.steps {
                li.done[step.state == StepState::Done].now[step.state == StepState::Active].blocked[step.state == StepState::Blocked]
                    aria-current=[matches!(step.state, StepState::Active | StepState::Blocked).then_some("step")] {
                    span.step-mark {
                        @match step.state { StepState::Done => (icons::CHECK), StepState::Blocked => (icons::WARNING), StepState::Waiting | StepState::Active => {} }
                    }
                    div {
                        strong { (step.label) @if step.state == StepState::Done { span.visually-hidden { " (done)" } } }
                        @if let Some(note) = &step.note { p { (note) } }
                    }
                }
            }
        }
    }
}

fn receipt(view: &ReceiptView, finished_at: Timestamp) -> Markup {
    html! {
        (parts::heading("Deletion receipt", Some(html! {
            @match &view.subject {
                Subject::Workspace { id } => { "Workspace " code { (id) } " and everything in it." },
                Subject::Account => "Your account, and the workspaces that you alone owned.",
            }
        }), None))
        div.card.receipt {
            dl.ledger {
                div { dt { "Requested" } dd { (format::date_time(view.requested_at)) } }
                div { dt { "Finished" } dd { (format::date_time(finished_at)) } }
                @for item in &view.deleted { div { dt { (item.label) } dd { (item.amount) } } }
            }
            @for database in &view.databases {
                h2 { "Database of " code { (database.tenant) } }
                dl.ledger {
                    @if let Some(region) = &database.region { div { dt { "Region" } dd { (region) } } }
                    div { dt { "Deleted" } dd { (format::date_time(database.deleted_at)) } }
                    div { dt { "Recoverable until" } dd {
                        @match database.recoverable_until { Some(until) => (format::date_time(until)), None => "Can\u{2019}t be recovered" }
                    } }
                }
            }
            @if view.databases.iter().any(|database| database.recoverable_until.is_some()) {
                (parts::callout(Severity::Neutral, "Changed your mind?", &html! {
                    p { "Your administrator can recover the database until the time shown above. The uploaded files can\u{2019}t be recovered." }
                }))
            }
        }
        p { a.button href="/" { "Go to home page" } }
    }
}
