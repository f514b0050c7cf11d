//! Progress of provisioning a workspace's database.
//!
//! The server sends the panel with the event [`EVENT_CHANGED`]. The event [`EVENT_ENDED`] also
//! carries it and closes the stream.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

use crate::ids::WorkspaceId;
use crate::web::shared::pages::layout::{Layout, PageContext, Section};
use crate::web::shared::pages::parts::{self, Severity};
use crate::web::shared::pages::{format, icons};

/// Carries the panel while provisioning continues.
pub const EVENT_CHANGED: &str = "provisioning";
/// Carries the final panel, when the database is ready or deleted.
pub const EVENT_ENDED: &str = "ended";
/// How often browsers without JavaScript reload the page.
const RELOAD_SECONDS: u32 = 3;
/// From this time on, the page says that this is taking longer than usual.
const SLOW_AFTER: Duration = Duration::from_secs(20);
/// From this time on, it says whom to ask.
const VERY_SLOW_AFTER: Duration = Duration::from_mins(2);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisioningView {
    pub workspace: WorkspaceId,
    /// When the workspace was created; the elapsed time counts from here.
    pub since: Timestamp,
    pub now: Timestamp,
    pub state: ProvisioningState,
    /// Whether the viewer may delete the workspace.
    pub owner: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProvisioningState {
    Working {
        step: ProvisioningStep,
    },
    Ready {
        /// From the request until the database was ready, in milliseconds, if measured.
        ready_ms: Option<u64>,
        /// Part of it until the project existed.
        project_ms: Option<u64>,
        /// Part of it for applying the schema.
        schema_ms: Option<u64>,
        region: String,
        schema: i64,
    },
    /// The schema is older than this app requires; an update is being rolled out.
    SchemaOutdated {
        version: Option<i64>,
        required: i64,
    },
    /// An operator has to intervene.
    Stalled {
        /// The condition's reason, such as `ClassLimitExceeded`.
        reason: String,
        /// Name of the Tenant, for the operator.
        tenant: String,
        /// What happens next and who has to act. The controller's own message names Secrets,
        /// classes and namespaces, so it is not shown.
        guidance: &'static str,
    },
    /// Someone deleted the Tenant outside the app. It is not recreated.
    Deleted,
    /// The cluster cannot be reached.
    Unknown,
}

/// The provisioning steps, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProvisioningStep {
    /// The request is being submitted.
    Request,
    Database,
    Credentials,
    Schema,
}

impl ProvisioningStep {
    const ALL: [Self; 4] = [
        Self::Request,
        Self::Database,
        Self::Credentials,
        Self::Schema,
    ];

    fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Request => (
                "Request your database",
                "We\u{2019}ve created your workspace and requested its database.",
            ),
            Self::Database => (
                "Create your database",
                "We\u{2019}re starting a Postgres database used only by this workspace.",
            ),
            Self::Credentials => (
                "Secure access",
                "We\u{2019}re setting up access credentials. They\u{2019}re never shown on a page or written to a log.",
            ),
            Self::Schema => (
                "Set up tables",
                "We\u{2019}re preparing your database for your documents and conversations.",
            ),
        }
    }
}

pub fn page(context: &PageContext, view: &ProvisioningView) -> Markup {
    let mut layout = Layout::new(context, "Your database").section(Section::Documents);
    if !view.ended() {
        layout = layout.reload(RELOAD_SECONDS);
    }
    layout.render(&html! {
        @if view.ended() {
            div #provisioning { (panel(view)) }
        } @else {
            div hx-ext="sse" sse-connect={ "/w/" (view.workspace) "/provisioning/events" } sse-close=(EVENT_ENDED) {
                div #provisioning sse-swap={ (EVENT_CHANGED) "," (EVENT_ENDED) } { (panel(view)) }
            }
        }
    })
}

impl ProvisioningView {
    /// Whether this is the final state.
    pub fn ended(&self) -> bool {
        matches!(
            self.state,
            ProvisioningState::Ready { .. } | ProvisioningState::Deleted
        )
    }
}

/// Content of `#provisioning`, sent with both events. Screen readers announce only the changed
/// state.
pub fn panel(view: &ProvisioningView) -> Markup {
    html! {
        span #provisioning-news hidden data-announce=(announcement(&view.state)) {}
        (content(view))
    }
}

/// The announcement for screen readers.
fn announcement(state: &ProvisioningState) -> &'static str {
    match state {
        ProvisioningState::Working { step } => step.text().0,
        ProvisioningState::Ready { .. } => "Your database is ready.",
        ProvisioningState::SchemaOutdated { .. } => "Your database is being updated.",
        ProvisioningState::Stalled { .. } => "Your database needs attention.",
        ProvisioningState::Deleted => "This workspace\u{2019}s database was deleted.",
        ProvisioningState::Unknown => "We can\u{2019}t check your database right now.",
    }
}

fn content(view: &ProvisioningView) -> Markup {
    match &view.state {
        ProvisioningState::Working { step } => working(view, *step),
        ProvisioningState::Ready {
            ready_ms,
            project_ms,
            schema_ms,
            region,
            schema,
        } => ready(view, [*ready_ms, *project_ms, *schema_ms], region, *schema),
        ProvisioningState::SchemaOutdated { version, required } => {
            schema_outdated(view, *version, *required)
        }
        ProvisioningState::Stalled {
            reason,
            tenant,
            guidance,
        } => html! {
            (parts::heading("Your database needs attention", None, None))
            div.card.stack {
                (parts::callout(Severity::Warning, "Your administrator needs to fix a problem first.", &html! { p { (guidance) } }))
                p { "To get help, send your administrator this reason: " code { (reason) } " and this reference: " code { (tenant) } "." }
                p.hint { "You don\u{2019}t need to stay on this page. Your database will be available once the problem is fixed." }
                (alternatives(view))
            }
        },
        ProvisioningState::Deleted => html! {
            (parts::heading("This workspace\u{2019}s database was deleted", None, None))
            div.card.stack {
                (parts::callout(Severity::Bad, "The database was deleted outside of this app.", &html! {
                    p { "The text of your documents and all conversations were deleted with it. We don\u{2019}t create a new, empty database automatically, because the loss might go unnoticed." }
                }))
                h2 { "What you can do" }
                p { "If this was a mistake, contact your administrator as soon as possible: a deleted database can be recovered for a few days. "
                    "Otherwise, delete this workspace and create a new one." }
                (alternatives(view))
            }
        },
        ProvisioningState::Unknown => html! {
            (parts::heading("Checking your database", None, None))
            div.card.stack {
                (parts::callout(Severity::Warning, "We can\u{2019}t check your database right now.", &html! {
                    p { "Nothing is lost, and setup continues in the background. This page updates automatically once the connection is back." }
                }))
            }
        },
    }
}

fn working(view: &ProvisioningView, current: ProvisioningStep) -> Markup {
    html! {
        (parts::heading("Setting up your database", Some(html! { "This usually takes a few seconds. The page updates automatically." }), None))
        div.card {
            p.elapsed {
                (icons::DATABASE)
                span { span data-elapsed=(elapsed_ms(view)) { (format::seconds(elapsed_ms(view))) } }
            }
            (delay(view))
            ol.steps {
                @for step in ProvisioningStep::ALL {
                    @let (title, text) = step.text();
                    li.done[step < current].now[step == current] aria-current=[(step == current).then_some("step")] {
                        span.step-mark { @if step < current { (icons::CHECK) } }
                        div {
                            strong { (title) @if step < current { span.visually-hidden { " (done)" } } }
                            p { (text) }
                        }
                    }
                }
            }
        }
    }
}

/// What to do if it takes long. The script shows each part in time.
fn delay(view: &ProvisioningView) -> Markup {
    let elapsed = Duration::from_millis(elapsed_ms(view));
    html! {
        div data-show-after=(SLOW_AFTER.as_millis()) hidden[elapsed < SLOW_AFTER] {
            (parts::callout(Severity::Neutral, "This is taking longer than usual.", &html! {
                p {
                    "You don\u{2019}t need to wait here: you can already "
                    a href={ "/w/" (view.workspace) "/documents" } { "upload documents" }
                    ". They\u{2019}re processed as soon as your database is ready."
                }
            }))
        }
        div data-show-after=(VERY_SLOW_AFTER.as_millis()) hidden[elapsed < VERY_SLOW_AFTER] {
            (parts::callout(Severity::Warning, "Something may be wrong.", &html! {
                p { "We keep trying, and nothing is lost. If this doesn\u{2019}t change, contact your administrator and send this reference: " code { (view.workspace) } "." }
            }))
        }
    }
}

fn elapsed_ms(view: &ProvisioningView) -> u64 {
    let passed = view.now.as_millisecond() - view.since.as_millisecond();
    u64::try_from(passed).unwrap_or(0)
}

fn ready(
    view: &ProvisioningView,
    [ready_ms, project_ms, schema_ms]: [Option<u64>; 3],
    region: &str,
    schema: i64,
) -> Markup {
    html! {
        (parts::heading("Your database is ready", None, None))
        div.card.stack {
            p.ready-line {
                span.ready-mark { (icons::CHECK) }
                span {
                    @if let Some(ms) = ready_ms { "Ready in " strong { (format::seconds(ms)) } ", in " } @else { "Ready, in " }
                    strong { (region) } ", schema version " strong { (schema) } "."
                }
            }
            dl.facts {
                @if let Some(ms) = project_ms { div { dt { "Database created in" } dd { (format::seconds(ms)) } } }
                @if let Some(ms) = schema_ms { div { dt { "Tables set up in" } dd { (format::seconds(ms)) } } }
                div { dt { "Region" } dd { (region) } }
                div { dt { "Schema version" } dd { (schema) } }
            }
            p { "Only this workspace uses it. Upload your first PDFs and start asking questions." }
            div.form-actions {
                a.button.primary href={ "/w/" (view.workspace) "/documents" } { (icons::UPLOAD) "Upload documents" }
            }
        }
    }
}

fn schema_outdated(view: &ProvisioningView, version: Option<i64>, required: i64) -> Markup {
    html! {
        (parts::heading("Your database is being updated", None, None))
        div.card.stack {
            (parts::callout(Severity::Neutral, "An update is in progress.", &html! {
                p {
                    @match version { Some(version) => { "Your database has schema version " (version) }, None => "Your database has no schema yet" }
                    "; version " (required) " is required. Your documents are safe. This page updates automatically."
                }
            }))
            (alternatives(view))
        }
    }
}

fn alternatives(view: &ProvisioningView) -> Markup {
    html! {
        div.form-actions {
            a.button href="/workspaces/new" { "Create workspace" }
            @if view.owner { a.button.quiet href={ "/w/" (view.workspace) "/settings#delete" } { "Delete this workspace" } }
        }
    }
}
