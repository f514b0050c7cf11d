//! The provisioning page, with live updates.

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
    EVENT_CHANGED, EVENT_ENDED, ProvisioningState, ProvisioningStep, ProvisioningView, panel,
};
use crds::Reason;

use crate::domain::Workspace;
use crate::tenants::{TenantName, TenantView, Unavailable};
use crate::web::shared::extract::WorkspaceAccess;
use crate::web::shared::pages::PageContext;
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};
use crate::workspaces::store;

/// Without changes, the panel is sent again after this time, so that its elapsed time is current.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);
/// After this time the browser has to reconnect.
const MAX_STREAM_DURATION: Duration = Duration::from_mins(10);

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

type TenantChanges = Pin<Box<dyn Stream<Item = Option<std::sync::Arc<TenantView>>> + Send>>;

async fn events(
    State(app): State<App>,
    access: WorkspaceAccess,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes: TenantChanges =
        Box::pin(app.tenants.changes(&TenantName::of(&access.workspace.id)));
    let ends_at = Instant::now() + MAX_STREAM_DURATION;
    let events = stream::unfold(Some((app, access, changes)), move |state| async move {
        let (app, access, mut changes) = state?;
        if Instant::now() >= ends_at {
            return None;
        }
        // The stream yields the current state first.
        let _ = timeout_at(
            ends_at.min(Instant::now() + REFRESH_INTERVAL),
            changes.next(),
        )
        .await;
        // Former members receive no more events.
        let access = match access.refreshed(&app).await {
            Ok(Some(access)) => access,
            Ok(None) => return None,
            // The main database is unavailable: keep the earlier result.
            Err(_) => access,
        };
        let view = view(&app, &access).await.ok()?;
        let html = panel(&view).into_string();
        Some(if view.ended() {
            (Event::default().event(EVENT_ENDED).data(html), None)
        } else {
            let event = Event::default().event(EVENT_CHANGED).data(html);
            (event, Some((app, access, changes)))
        })
    });
    Sse::new(events.map(Ok)).keep_alive(KeepAlive::default())
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
        Err(Unavailable::Stalled(condition)) => {
            return ProvisioningState::Stalled {
                guidance: guidance(&condition.reason),
                reason: condition.reason.into(),
                tenant: TenantName::of(&workspace.id).to_string(),
            };
        }
        Err(Unavailable::SchemaOutdated { version, required }) => {
            return ProvisioningState::SchemaOutdated { version, required };
        }
        Err(Unavailable::Deleted) => return ProvisioningState::Deleted,
        Err(Unavailable::NotOwned) => {
            return ProvisioningState::Stalled {
                reason: "NotOwned".to_owned(),
                tenant: TenantName::of(&workspace.id).to_string(),
                guidance: "Another resource already has the name of your workspace\u{2019}s database. We left it unchanged. Your administrator needs to resolve the conflict.",
            };
        }
        // The Tenant does not show these.
        Err(Unavailable::PoolsExhausted | Unavailable::Unreachable { .. } | Unavailable::Full) => {
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
    let timings = view.timings;
    let milliseconds = |elapsed: Option<i64>| elapsed.map(i64::unsigned_abs);
    ProvisioningState::Ready {
        ready_ms: milliseconds(timings.ready_ms),
        project_ms: milliseconds(timings.project_ms),
        schema_ms: milliseconds(timings.schema_ms),
        region: view
            .project
            .as_deref()
            .map_or_else(String::new, |project| project.region.to_string()),
        schema: view.schema_version.unwrap_or_default(),
    }
}

/// The current step, from what the Tenant already has.
fn step(view: Option<&TenantView>) -> ProvisioningStep {
    match view {
        None => ProvisioningStep::Request,
        Some(view) if view.project.is_none() => ProvisioningStep::Database,
        Some(view) if view.connection_secret.is_none() => ProvisioningStep::Credentials,
        Some(_) => ProvisioningStep::Schema,
    }
}

/// What the user can expect, in place of the controller's message.
fn guidance(reason: &str) -> &'static str {
    let Ok(reason) = reason.parse::<Reason>() else {
        return OTHER_GUIDANCE;
    };
    match reason {
        Reason::ClassNotFound
        | Reason::ClassTerminating
        | Reason::ClassLimitExceeded
        | Reason::InvalidSpec
        | Reason::ImmutableField
        | Reason::PlanLimit => {
            "This site\u{2019}s database settings are invalid. Once an administrator has corrected \
             them, we\u{2019}ll create your database automatically."
        }
        Reason::ApiKeyInvalid | Reason::Unauthorized => {
            "This site\u{2019}s access to the database provider needs to be renewed. Setup then \
             continues automatically."
        }
        Reason::AccountLimit | Reason::NeonRequestRejected => {
            "The database provider doesn\u{2019}t allow another database right now. We\u{2019}ll keep \
             trying; setup continues automatically once the limit is raised."
        }
        Reason::QuotaExceeded => {
            "Your database has reached its quota and is paused. It resumes when the quota is raised \
             or the next billing period starts."
        }
        Reason::SecretConflict => {
            "A naming conflict needs to be resolved. Setup then continues automatically."
        }
        Reason::MigrationFailed
        | Reason::MigrationChanged
        | Reason::MigrationMissing
        | Reason::MigrationsInvalid
        | Reason::SchemaAhead => {
            "An update of your database failed. Your data is safe. Your administrator can see the \
             details."
        }
        Reason::ProjectNotFound => {
            "Your database no longer exists and couldn\u{2019}t be recovered automatically."
        }
        _ => OTHER_GUIDANCE,
    }
}

const OTHER_GUIDANCE: &str = "Once the problem is fixed, setup continues automatically.";

#[cfg(test)]
mod tests {
    use super::*;
    use crds::{Binding, ProjectStatus, Tenant, TenantSpec, TenantStatus};

    #[test]
    fn the_step_follows_from_the_status_of_the_tenant() {
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
                    reclaimed: false,
                    checked_at: None,
                }),
                binding: binding.then(|| Binding {
                    name: "secret".to_owned(),
                    ..Binding::default()
                }),
                ..TenantStatus::default()
            });
            TenantView::of(tenant)
        };
        assert_eq!(step(None), ProvisioningStep::Request);
        assert_eq!(step(Some(&view(false, false))), ProvisioningStep::Database);
        assert_eq!(
            step(Some(&view(true, false))),
            ProvisioningStep::Credentials
        );
        assert_eq!(step(Some(&view(true, true))), ProvisioningStep::Schema);
    }

    #[test]
    fn every_reason_has_guidance() {
        for reason in crds::Reason::ALL {
            let text = guidance(reason.as_str());
            assert!(text.ends_with('.') && text.len() > 40, "{reason}");
        }
    }
}
