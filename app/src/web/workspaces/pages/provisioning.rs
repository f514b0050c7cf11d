//! While a workspace's database comes up: what is done, what is next, and what stands in the way.
//!
//! The panel is sent anew with the event [`EVENT_CHANGED`]; after [`EVENT_ENDED`], which also carries it, the stream closes.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::ids::WorkspaceId;
use crate::web::shared::pages::layout::{PageContext, Layout, Section};
use crate::web::shared::pages::parts::{self, Severity};
use crate::web::shared::pages::{format, icons};

/// The event that carries the panel while something is still to come.
pub const EVENT_CHANGED: &str = "provisioning";
/// The event that carries the panel when nothing more is to come: ready or gone.
pub const EVENT_ENDED: &str = "ended";
/// How often a browser without script looks again.
const RELOAD_SECONDS: u32 = 3;

/// What the panel shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisioningView {
    /// Whose database it is.
    pub workspace: WorkspaceId,
    /// When the workspace was made: time passes from then.
    pub since: Timestamp,
    /// When the view was made.
    pub now: Timestamp,
    /// How far it is.
    pub state: ProvisioningState,
    /// Whether the person may remove the workspace, which is offered where nothing else helps.
    pub owner: bool,
}

/// How far the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProvisioningState {
    /// It is being made.
    Working {
        /// What is under way.
        step: Step,
    },
    /// It can be used.
    Ready {
        /// From the wish to the first query, in milliseconds, if it was measured.
        ready_ms: Option<u64>,
        /// Of these, until there was a project.
        project_ms: Option<u64>,
        /// Of these, for the schema.
        schema_ms: Option<u64>,
        /// Where it is, as people read it.
        region: String,
        /// Its schema's version.
        schema: i64,
    },
    /// It is there, but its schema is older than this app needs; a newer one is being rolled out.
    SchemaBehind {
        /// The version it has, if any.
        has: Option<i64>,
        /// The version that is needed.
        needs: i64,
    },
    /// Somebody has to do something.
    Stalled {
        /// The condition's reason, such as `RegionNotAllowed`.
        reason: String,
        /// What the operator finds the Tenant by.
        tenant: String,
        /// What happens next, and who has to do what. The controller's own message names Secrets, classes and namespaces; it is for those who
        /// may read them in the cluster, and never stands on a page.
        next: &'static str,
    },
    /// Somebody else removed the Tenant; it is not made again.
    Removed,
    /// How far it is cannot be seen at the moment.
    Unknown,
}

/// What is under way, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The wish is being handed over.
    Request,
    /// The database is being made.
    Database,
    /// Its credentials are being kept safe.
    Credentials,
    /// Its tables are being made.
    Schema,
}

impl Step {
    const ALL: [Self; 4] = [
        Self::Request,
        Self::Database,
        Self::Credentials,
        Self::Schema,
    ];

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Request => (
                "Ask for a database",
                "Your workspace is written down and its database is asked for.",
            ),
            Self::Database => (
                "Start it",
                "A Postgres server for this workspace alone comes up.",
            ),
            Self::Credentials => (
                "Keep its keys",
                "Its credentials go into a Secret of its own. No page and no log shows them.",
            ),
            Self::Schema => (
                "Prepare its tables",
                "Documents, passages, vectors and conversations get their places.",
            ),
        }
    }
}

/// The page.
pub fn page(context: &PageContext, view: &ProvisioningView) -> Markup {
    let mut frame = Layout::new(context, "Your database").section(Section::Documents);
    if !view.ended() {
        frame = frame.reload(RELOAD_SECONDS);
    }
    frame.render(&html! {
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
    /// Whether nothing more is to come.
    pub fn ended(&self) -> bool {
        matches!(
            self.state,
            ProvisioningState::Ready { .. } | ProvisioningState::Removed
        )
    }
}

/// What is inside `#provisioning`: sent with both events. What changed in it is read out, not all of it again.
pub fn panel(view: &ProvisioningView) -> Markup {
    html! {
        span #provisioning-news hidden data-announce=(news(&view.state)) {}
        (shown(view))
    }
}

/// The state in a few words, for those who hear the page.
fn news(state: &ProvisioningState) -> &'static str {
    match state {
        ProvisioningState::Working { step } => step.words().0,
        ProvisioningState::Ready { .. } => "Your database is ready.",
        ProvisioningState::SchemaBehind { .. } => "Your database is being brought up to date.",
        ProvisioningState::Stalled { .. } => "Your database is held up.",
        ProvisioningState::Removed => "This workspace\u{2019}s database was removed.",
        ProvisioningState::Unknown => "How far your database is cannot be seen at the moment.",
    }
}

fn shown(view: &ProvisioningView) -> Markup {
    match &view.state {
        ProvisioningState::Working { step } => working(view, *step),
        ProvisioningState::Ready {
            ready_ms,
            project_ms,
            schema_ms,
            region,
            schema,
        } => ready(view, [*ready_ms, *project_ms, *schema_ms], region, *schema),
        ProvisioningState::SchemaBehind { has, needs } => schema_behind(view, *has, *needs),
        ProvisioningState::Stalled {
            reason,
            tenant,
            next,
        } => html! {
            (parts::heading("Your database is held up", None, None))
            div.card.stack {
                (parts::callout(Severity::Warning, "It waits for whoever runs this service.", &html! { p { (next) } }))
                p { "If you ask them about it, tell them the reason, " code { (reason) } ", and the Tenant, " code { (tenant) } ": the cluster tells them more." }
                p.hint { "This page moves on by itself as soon as that is solved. You need not stay." }
                (last_resort(view))
            }
        },
        ProvisioningState::Removed => html! {
            (parts::heading("This workspace\u{2019}s database was removed", None, None))
            div.card.stack {
                (parts::callout(Severity::Bad, "Somebody removed the database outside this app.", &html! {
                    p { "With it went the text of the documents and all conversations. It is not made again by itself, since that would hide the loss." }
                }))
                h2 { "What you can do" }
                p { "If this was a mistake, speak to whoever runs this service before the end of the recovery period: the database may still be recovered. "
                    "Otherwise remove the workspace and make a new one." }
                (last_resort(view))
            }
        },
        ProvisioningState::Unknown => html! {
            (parts::heading("Looking for your database", None, None))
            div.card.stack {
                (parts::callout(Severity::Warning, "How far your database is cannot be seen at the moment.", &html! {
                    p { "Nothing is lost: the wish for it is written down. This page goes on by itself when the connection is back." }
                }))
            }
        },
    }
}

fn working(view: &ProvisioningView, current: Step) -> Markup {
    html! {
        (parts::heading("Your database is coming up", Some(html! { "It takes a few seconds. This page goes on by itself." }), None))
        div.card {
            p.elapsed {
                (icons::DATABASE)
                span { span data-elapsed=(elapsed_ms(view)) { (format::seconds(elapsed_ms(view))) } }
            }
            ol.steps {
                @for step in Step::ALL {
                    @let (title, text) = step.words();
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
                    strong { (region) } ", schema " strong { (schema) } "."
                }
            }
            dl.facts {
                @if let Some(ms) = project_ms { div { dt { "Database" } dd { (format::seconds(ms)) } } }
                @if let Some(ms) = schema_ms { div { dt { "Tables" } dd { (format::seconds(ms)) } } }
                div { dt { "Region" } dd { (region) } }
                div { dt { "Schema" } dd { (schema) } }
            }
            p { "It belongs to this workspace alone. Bring your first PDFs and ask them something." }
            div.form-actions {
                a.button.primary href={ "/w/" (view.workspace) "/documents" } { (icons::UPLOAD) "Bring documents" }
            }
        }
    }
}

fn schema_behind(view: &ProvisioningView, has: Option<i64>, needs: i64) -> Markup {
    html! {
        (parts::heading("Your database is being brought up to date", None, None))
        div.card.stack {
            (parts::callout(Severity::Neutral, "A newer schema is on its way.", &html! {
                p {
                    @match has { Some(has) => { "It has schema " (has) }, None => "It has no schema yet" }
                    ", and this app needs " (needs) ". Your documents are safe; this page goes on by itself."
                }
            }))
            (last_resort(view))
        }
    }
}

fn last_resort(view: &ProvisioningView) -> Markup {
    html! {
        div.form-actions {
            a.button href="/workspaces/new" { "New workspace" }
            @if view.owner { a.button.quiet href={ "/w/" (view.workspace) "/settings#remove" } { "Remove this one" } }
        }
    }
}
