//! How far a workspace's database is, live.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt as _, stream};
use jiff::Timestamp;
use maud::Markup;
use tokio::time::{Instant, timeout_at};

use super::pages;
use super::pages::provisioning::{
    EVENT_CHANGED, EVENT_ENDED, ProvisioningState, ProvisioningView, Step, panel,
};
use crate::domain::Workspace;
use crate::tenants::{TenantName, TenantView, Unavailable};
use crate::web::shared::extract::WorkspaceAccess;
use crate::web::shared::pages::PageContext;
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};
use crate::workspaces::store;

/// The page is told anew after so long also without news: what is late is then seen to be late.
const TOLD_AGAIN: Duration = Duration::from_secs(5);
/// A stream ends after so long; the browser asks again by itself.
const STREAM_LASTS: Duration = Duration::from_mins(10);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/w/{workspace}/provisioning", Access::Member, show),
        Route::get("/w/{workspace}/provisioning/events", Access::Member, events).event_stream(),
    ]
}

async fn show(
    State(app): State<App>,
    access: WorkspaceAccess,
    context: PageContext,
) -> Result<Markup, Problem> {
    let view = view(&app, &access).await?;
    Ok(pages::provisioning::page(&context, &view))
}

type News = Pin<Box<dyn Stream<Item = Option<std::sync::Arc<TenantView>>> + Send>>;

async fn events(
    State(app): State<App>,
    access: WorkspaceAccess,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let news: News = Box::pin(app.tenants.changes(&TenantName::of(&access.workspace.id)));
    let until = Instant::now() + STREAM_LASTS;
    let told = stream::unfold(Some((app, access, news)), move |state| async move {
        let (app, access, mut news) = state?;
        if Instant::now() >= until {
            return None;
        }
        // The first item is the state as it is now.
        let _ = timeout_at(until.min(Instant::now() + TOLD_AGAIN), news.next()).await;
        // Whoever is no member any more hears no more.
        let access = match access.refreshed(&app).await {
            Ok(Some(access)) => access,
            Ok(None) => return None,
            // The main database is away: what was known is told again.
            Err(_) => access,
        };
        let view = view(&app, &access).await.ok()?;
        let html = panel(&view).into_string();
        Some(if view.ended() {
            (Event::default().event(EVENT_ENDED).data(html), None)
        } else {
            let event = Event::default().event(EVENT_CHANGED).data(html);
            (event, Some((app, access, news)))
        })
    });
    Sse::new(told.map(Ok)).keep_alive(KeepAlive::default())
}

async fn view(app: &App, access: &WorkspaceAccess) -> Result<ProvisioningView, Problem> {
    let workspace = &access.workspace;
    let state = state(app, workspace);
    if matches!(state, ProvisioningState::Ready { .. }) {
        if workspace.available_at.is_none() {
            store::mark_available(&app.database, &workspace.id).await?;
        }
        app.pools.prewarm(workspace);
    }
    Ok(ProvisioningView {
        workspace: workspace.id.clone(),
        since: workspace.created_at,
        now: Timestamp::now(),
        state,
        owner: access.role.is_owner(),
    })
}

fn state(app: &App, workspace: &Workspace) -> ProvisioningState {
    let view = match app.tenants.available(workspace) {
        Ok(view) => return ready(&view),
        Err(Unavailable::Stalled(note)) => {
            return ProvisioningState::Stalled {
                next: next_words(&note.reason),
                reason: note.reason.into(),
                tenant: TenantName::of(&workspace.id).to_string(),
            };
        }
        Err(Unavailable::SchemaOutdated { version, required }) => {
            return ProvisioningState::SchemaBehind { has, needs };
        }
        Err(Unavailable::Deleted) => return ProvisioningState::Removed,
        Err(Unavailable::NotOwned) => {
            return ProvisioningState::Stalled {
                reason: "NotOurs".to_owned(),
                tenant: TenantName::of(&workspace.id).to_string(),
                next: "What bears the name of this workspace\u{2019}s database belongs to something else, and is not touched. Whoever runs this service has to look at it.",
            };
        }
        Err(Unavailable::PoolsExhausted | Unavailable::Unreachable { .. }) => {
            return ProvisioningState::Unknown;
        }
        Err(Unavailable::Provisioning(_)) => app.tenants.view(&TenantName::of(&workspace.id)),
    };
    if app.tenants.watch_status().disconnected_since.is_some() {
        return ProvisioningState::Unknown;
    }
    ProvisioningState::Working {
        step: step(view.as_deref()),
    }
}

fn ready(view: &TenantView) -> ProvisioningState {
    let took = view.timings;
    let milliseconds = |took: Option<i64>| took.map(i64::unsigned_abs);
    ProvisioningState::Ready {
        ready_ms: milliseconds(took.ready_ms),
        project_ms: milliseconds(took.project_ms),
        schema_ms: milliseconds(took.schema_ms),
        region: view
            .project
            .as_deref()
            .map_or_else(String::new, |project| project.region.to_string()),
        schema: view.schema_version.unwrap_or_default(),
    }
}

/// What is under way, by what is there already.
fn step(view: Option<&TenantView>) -> Step {
    match view {
        None => Step::Request,
        Some(view) if view.project.is_none() => Step::Database,
        Some(view) if view.connection_secret.is_none() => Step::Credentials,
        Some(_) => Step::Schema,
    }
}

/// What happens next, and who has to do what, in place of the controller's own message.
fn next_words(reason: &str) -> &'static str {
    match reason {
        "ClassNotFound" | "ClassTerminating" | "ClassLimitExceeded" | "InvalidSpec"
        | "ImmutableField" => {
            "Whoever runs this service has to change what kinds of databases it offers. Once they have, your database is made without you doing anything."
        }
        "ApiKeyInvalid" | "Unauthorized" => {
            "Whoever runs this service has to renew its key to the database account. Once they have, it goes on by itself."
        }
        "AccountLimit" | "NeonRequestRejected" => {
            "The database account does not allow it at the moment. It is tried again by itself, and at once when whoever runs this service has raised the limit."
        }
        "QuotaExceeded" => {
            "The database has used up what it may use in this billing period, and sleeps. Whoever runs this service can raise that; otherwise it wakes when the next period begins."
        }
        "SecretConflict" => {
            "Something else bears the name that the credentials should have. Whoever runs this service has to make room; then it goes on by itself."
        }
        "MigrationFailed" | "MigrationChanged" | "MigrationMissing" | "MigrationsInvalid"
        | "SchemaAhead" => {
            "The tables of the database cannot be brought to what they should be. Whoever runs this service has been shown where; nothing is lost."
        }
        "ProjectNotFound" => {
            "The database is not there any more and could not be recovered by itself. Whoever runs this service may know more."
        }
        _ => {
            "Whoever runs this service has to look at it. As soon as that is mended, it goes on by itself."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::{Binding, ProjectStatus, Tenant, TenantSpec, TenantStatus};

    #[test]
    fn the_step_follows_from_what_is_there() {
        let view = |project: bool, binding: bool| {
            let mut tenant = Tenant::new("ws-a", TenantSpec::default());
            tenant.status = Some(TenantStatus {
                project: project.then(|| ProjectStatus {
                    id: "p".to_owned(),
                    region: "r".to_owned(),
                    name: "n".to_owned(),
                    branch_id: None,
                    endpoint_id: None,
                    adopted: false,
                    checked_at: None,
                }),
                binding: binding.then(|| Binding {
                    name: "secret".to_owned(),
                }),
                ..TenantStatus::default()
            });
            TenantView::of(tenant)
        };
        assert_eq!(step(None), Step::Request);
        assert_eq!(step(Some(&view(false, false))), Step::Database);
        assert_eq!(step(Some(&view(true, false))), Step::Credentials);
        assert_eq!(step(Some(&view(true, true))), Step::Schema);
    }

    #[test]
    fn every_reason_has_words_that_say_who_does_what() {
        for reason in crds::Reason::ALL {
            let words = next_words(reason.as_str());
            assert!(words.ends_with('.') && words.len() > 40, "{reason}");
        }
    }
}
