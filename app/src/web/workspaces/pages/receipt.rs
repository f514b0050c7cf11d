//! The removal of a workspace or an account: its steps while they are done, then what was removed.
//!
//! The panel is sent anew with the event [`EVENT_CHANGED`]; after [`EVENT_ENDED`], which also carries it, the stream closes. A browser without
//! script loads the page again.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::web::shared::pages::layout::{PageContext, Layout};
use crate::web::shared::pages::parts::{self, Severity};
use crate::web::shared::pages::{format, icons};

/// The event that carries the panel while something is still to come.
pub const EVENT_CHANGED: &str = "removal";
/// The event that carries the panel when all is gone.
pub const EVENT_ENDED: &str = "ended";
/// How often a browser without script looks again.
const RELOAD_SECONDS: u32 = 3;

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptView {
    /// The secret in the page's URL.
    pub token: String,
    /// What is being removed.
    pub subject: Subject,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When all was done.
    pub finished_at: Option<Timestamp>,
    /// The steps in their order.
    pub steps: Vec<RemovalStep>,
    /// What was removed, once it is known: one line each.
    pub removed: Vec<RemovedItem>,
    /// Databases that went.
    pub databases: Vec<DeletedDatabase>,
}

/// What is being removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A workspace; its name is gone with it.
    Workspace {
        /// Its id.
        id: String,
    },
    /// An account, with what only it owned.
    Account,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalStep {
    /// What is done, such as `Files`.
    pub label: String,
    /// How far it is.
    pub state: StepState,
    /// More about it: numbers, or why it waits.
    pub note: Option<String>,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// Under way.
    Now,
    /// Something is in the way; it is tried again.
    Held,
    /// Done.
    Done,
}

/// A kind of thing that was removed, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedItem {
    /// Such as `Documents`.
    pub label: String,
    /// How many, or how much, in words.
    pub amount: String,
}

/// A database that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedDatabase {
    /// The Tenant it belonged to.
    pub tenant: String,
    /// Where it was.
    pub region: Option<String>,
    /// When it went.
    pub removed_at: Timestamp,
    /// Until when whoever runs this service could have it recovered; `None` if it cannot be.
    pub recoverable_until: Option<Timestamp>,
}

/// The page.
pub fn page(context: &PageContext, view: &ReceiptView) -> Markup {
    let title = if view.finished_at.is_some() {
        "Receipt"
    } else {
        "Removal"
    };
    let mut frame = Layout::new(context, title);
    if view.finished_at.is_none() {
        frame = frame.reload(RELOAD_SECONDS);
    }
    frame.render(&html! {
        @if view.finished_at.is_some() {
            section #removal { (panel(view)) }
        } @else {
            div hx-ext="sse" sse-connect={ "/receipts/" (view.token) "/events" } sse-close=(EVENT_ENDED) {
                section #removal sse-swap={ (EVENT_CHANGED) "," (EVENT_ENDED) } { (panel(view)) }
            }
        }
    })
}

/// What is inside `#removal`: sent with both events. What changed in it is read out, not all of it again.
pub fn panel(view: &ReceiptView) -> Markup {
    html! {
        span #removal-news hidden data-announce=(news(view)) {}
        @match view.finished_at {
            None => (under_way(view)),
            Some(finished_at) => (receipt(view, finished_at)),
        }
    }
}

/// How far it is in a few words, for those who hear the page.
fn news(view: &ReceiptView) -> String {
    if view.finished_at.is_some() {
        return "The removal is finished. This is the receipt.".to_owned();
    }
    view.steps
        .iter()
        .find(|step| matches!(step.state, StepState::Now | StepState::Held))
        .map_or_else(String::new, |step| match step.state {
            StepState::Held => format!("{} is held up.", step.label),
            StepState::Waiting | StepState::Now | StepState::Done => step.label.clone(),
        })
}

fn under_way(view: &ReceiptView) -> Markup {
    html! {
        (parts::heading(match view.subject {
            Subject::Workspace { .. } => "The workspace is being removed",
            Subject::Account => "Your account is being removed",
        }, Some(html! { "You can close this page: the removal goes on, and this address then shows the receipt. Keep it if you want that." }), None))
        div.card { (steps(view)) }
    }
}

fn steps(view: &ReceiptView) -> Markup {
    html! {
        ol.steps {
            @for step in &view.steps {
                li.done[step.state == StepState::Done].now[step.state == StepState::Now].held[step.state == StepState::Held]
                    aria-current=[matches!(step.state, StepState::Now | StepState::Held).then_some("step")] {
                    span.step-mark {
                        @match step.state { StepState::Done => (icons::CHECK), StepState::Held => (icons::WARNING), StepState::Waiting | StepState::Now => {} }
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
        (parts::heading("Receipt of removal", Some(html! {
            @match &view.subject {
                Subject::Workspace { id } => { "Workspace " code { (id) } " and all it held." },
                Subject::Account => "Your account, and the workspaces that nobody else owned.",
            }
        }), None))
        div.card.receipt {
            dl.ledger {
                div { dt { "Asked for" } dd { (format::date_time(view.requested_at)) } }
                div { dt { "Finished" } dd { (format::date_time(finished_at)) } }
                @for item in &view.removed { div { dt { (item.label) } dd { (item.amount) } } }
            }
            @for database in &view.databases {
                h2 { "Database of " code { (database.tenant) } }
                dl.ledger {
                    @if let Some(region) = &database.region { div { dt { "Region" } dd { (region) } } }
                    div { dt { "Removed" } dd { (format::date_time(database.removed_at)) } }
                    div { dt { "Recoverable until" } dd {
                        @match database.recoverable_until { Some(until) => (format::date_time(until)), None => "not recoverable" }
                    } }
                }
            }
            @if view.databases.iter().any(|database| database.recoverable_until.is_some()) {
                (parts::callout(Severity::Neutral, "Changed your mind?", &html! {
                    p { "Until the time above, whoever runs this service can have the database recovered. The files of the documents cannot be recovered. After that, nothing is left." }
                }))
            }
        }
        p { a.button href="/" { "To the front page" } }
    }
}
