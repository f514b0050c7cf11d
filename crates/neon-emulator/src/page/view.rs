//! Renders the dashboard as HTML. Maud escapes all values.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, html};
use neon_client::model::Operation;

use super::overview::{ComputeLine, Overview, ProjectLine, StateOverview, status_style};
use crate::api::LoggedRequest;
use crate::compute::ComputeState;
use crate::faults::ArmedFault;

const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='4' \
                    fill='%230b7a53'/%3E%3Cpath d='M4 8h3l2-4 1 8 1-4h2' fill='none' stroke='%23fff' stroke-width='1.4'/%3E%3C/svg%3E";

pub(super) fn page(overview: &Overview) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "neon-emulator" }
                link rel="icon" href=(ICON);
                link rel="stylesheet" href="/_page/style.css";
                script src="/_page/script.js" defer {}
                noscript { meta http-equiv="refresh" content="5"; }
            }
            body {
                header {
                    h1 { "neon-emulator" }
                    p .addresses {
                        span { "API " code { "http://" (overview.api_address) "/api/v2" } }
                        span { "Data plane " code { (overview.data_address) } }
                    }
                    p .live {
                        span #connection role="status" {}
                        button #pause type="button" hidden { "Pause" }
                    }
                }
                main #parts { (parts(overview)) }
            }
        }
    }
}

/// The parts that the script refreshes. Each has an ID.
pub(super) fn parts(overview: &Overview) -> Markup {
    html! {
        (summary(overview))
        (faults(&overview.faults))
        div .columns {
            div .column {
                @match &overview.state {
                    Some(state) => {
                        (projects(overview, state))
                        (operations(&state.operations))
                    }
                    None => section #projects .wrong {
                        h2 { "Projects" }
                        p { "PostgreSQL is not available. API calls fail with 503 until it is." }
                    }
                }
            }
            div .column { (requests(&overview.requests)) }
        }
    }
}

fn summary(overview: &Overview) -> Markup {
    let figure = |name: &str, value: &str, style: &str| {
        html! { div class=(style) { dt { (name) } dd { (value) } } }
    };
    let state = overview.state.as_ref();
    let or_dash = |value: Option<usize>| value.map_or("–".to_owned(), |value| value.to_string());
    let active = state.map_or("–".to_owned(), |state| state.counts.active.to_string());
    let running = state.map_or("–".to_owned(), |state| state.running.to_string());
    html! {
        section #summary aria-label="Summary" {
            dl {
                (figure("Projects", &active, ""))
                (figure("Active computes (shown)", &or_dash(state.map(StateOverview::active_computes)), ""))
                (figure("Connections", &overview.connections.to_string(), ""))
                (figure("Running operations", &running, ""))
                (figure("Calls", &overview.calls.to_string(), ""))
                @if let Some(violations) = overview.violations {
                    (figure("Violations", &violations.to_string(), if violations == 0 { "" } else { "bad" }))
                }
                div .clock { dt { "Emulator clock" } dd { (date_time(overview.now)) } }
            }
        }
    }
}

fn faults(armed: &[ArmedFault]) -> Markup {
    html! {
        section #faults aria-labelledby="faults-title" {
            h2 #faults-title { "Faults" }
            @if armed.is_empty() {
                p .none { "No faults are armed. Arm one with " code { "POST /_emulator/faults" } ", for example " code { "createProject:503:times=1" } "." }
            } @else {
                ul .armed {
                    @for one in armed {
                        li {
                            code { (one.fault) }
                            span { "triggered by " strong { (one.triggered) } " of " (one.matched) " calls" }
                        }
                    }
                }
            }
        }
    }
}

fn projects(overview: &Overview, state: &StateOverview) -> Markup {
    html! {
        section #projects aria-labelledby="projects-title" {
            h2 #projects-title { "Projects and computes" }
            @if state.projects.is_empty() {
                div .empty {
                    p { strong { "No projects yet." } " Set " code { "NEON_API_KEY" } " to an API key of this emulator and create one with curl:" }
                    pre tabindex="0" { code {
                        "curl -H \"Authorization: Bearer $NEON_API_KEY\" \\\n  -d '{\"project\": {\"name\": \"first\"}}' \\\n  http://"
                        (overview.api_address) "/api/v2/projects"
                    } }
                    p { "or with the Neon CLI:" }
                    pre tabindex="0" { code {
                        "NEON_API_HOST=http://" (overview.api_address) "/api/v2 \\\n  npx neon projects create --name first"
                    } }
                }
            } @else {
                ul .projects { @for project in &state.projects { (project_item(project)) } }
            }
            (omitted_projects(state))
        }
    }
}

/// Notes about projects that are not shown.
fn omitted_projects(state: &StateOverview) -> Markup {
    let shown = i64::try_from(state.projects.len()).unwrap_or(i64::MAX);
    let older = state.counts.active - shown;
    html! {
        @if older > 0 { p .none { (older) " older projects are not shown." } }
        @if state.counts.deleted > 0 { p .none { (state.counts.deleted) " deleted projects can be recovered." } }
    }
}

fn project_item(project: &ProjectLine) -> Markup {
    html! {
        li {
            div .project {
                h3 { (project.name) }
                code { (project.id) }
                span .facts {
                    (project.region) " · PostgreSQL " (project.pg_version) " · created " (date_time(project.created_at))
                    @if project.connections > 0 { " · " (pluralize(project.connections, "connection")) }
                }
            }
            @if project.computes.is_empty() {
                p .none { "No computes." }
            } @else {
                ul .computes { @for compute in &project.computes { (compute_item(compute)) } }
            }
        }
    }
}

fn compute_item(compute: &ComputeLine) -> Markup {
    let (style, label) = match compute.state {
        _ if compute.disabled => ("idle", "disabled"),
        ComputeState::Starting => ("busy", "starting"),
        ComputeState::Active => ("good", "active"),
        ComputeState::Idle => ("idle", "idle"),
    };
    html! {
        li {
            span class={ "word " (style) } { (label) }
            code { (compute.id) }
            span .facts {
                (compute.branch) @if !compute.read_write { " · read-only" }
                " · " (compute.min_cu) @if compute.max_cu > compute.min_cu { "–" (compute.max_cu) } " CU"
                @if let Some(since) = compute.idle_since { " · idle since " (time_of_day(since)) }
            }
        }
    }
}

fn operations(operations: &[Operation]) -> Markup {
    html! {
        section #operations aria-labelledby="operations-title" {
            h2 #operations-title { "Operations" }
            @if operations.is_empty() {
                p .none { "No operations yet." }
            } @else {
                div .scroll role="region" aria-labelledby="operations-title" tabindex="0" {
                    table {
                        thead { tr { th scope="col" { "Created" } th scope="col" { "Operation" } th scope="col" { "Status" } } }
                        tbody { @for operation in operations { tr {
                            td { (time_of_day(operation.created_at)) }
                            td { code { (operation.action.as_str()) } " " span .facts { (operation.project_id) } }
                            td {
                                span class={ "word " (status_style(&operation.status)) } { (operation.status.as_str()) }
                                @if let Some(error) = &operation.error { " " span .facts { (error) } }
                            }
                        } } }
                    }
                }
            }
        }
    }
}

fn requests(requests: &[LoggedRequest]) -> Markup {
    html! {
        section #requests aria-labelledby="requests-title" {
            h2 #requests-title { "Recent requests" }
            @if requests.is_empty() {
                p .none { "No requests yet." }
            } @else {
                div .scroll role="region" aria-labelledby="requests-title" tabindex="0" {
                    table {
                        thead { tr {
                            th scope="col" { "Time" } th scope="col" { "Operation" } th scope="col" { "Status" } th scope="col" .number { "ms" }
                        } }
                        tbody { @for request in requests { (request_row(request)) } }
                    }
                }
            }
        }
    }
}

fn request_row(request: &LoggedRequest) -> Markup {
    let (style, answer) = match request.status {
        Some(status @ 200..300) => ("good", status.to_string()),
        Some(status) => ("bad", status.to_string()),
        None => ("bad", "dropped".to_owned()),
    };
    html! {
        tr {
            td { (time_of_day(request.at())) }
            td {
                span .method { (request.method) } " " code { (request.operation) }
                @if let Some(project) = &request.project { " " span .facts { (project) } }
                @for fault in &request.faults { " " span .fault { (fault) } }
            }
            td { span class={ "word " (style) } { (answer) } }
            td .number { (request.took_ms) }
        }
    }
}

fn pluralize(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A date and time in UTC.
fn date_time(at: Timestamp) -> Markup {
    let zoned = at.to_zoned(TimeZone::UTC);
    html! { time datetime=(at) { (zoned.strftime("%Y-%m-%d %H:%M:%S UTC")) } }
}

/// A time of day in UTC.
fn time_of_day(at: Timestamp) -> Markup {
    let zoned = at.to_zoned(TimeZone::UTC);
    html! { time datetime=(at) { (zoned.strftime("%H:%M:%S")) } }
}
