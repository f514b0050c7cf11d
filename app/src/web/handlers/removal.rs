//! Taking a workspace or an account away, and the page that shows how far it is and in the end what went.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::Markup;
use serde::Deserialize;

use super::{account, workspaces};
use crate::identity::{Session, Token};
use crate::pages::format;
use crate::pages::receipt::{
    ReceiptView, RemovalStep, RemovedDatabase, RemovedItem, StepState, Subject,
};
use crate::pages::settings::SettingsPage;
use crate::pages::{self, Chrome};
use crate::web::extract::{Form, OwnerAccess, Path};
use crate::web::limits::Budget;
use crate::web::router::{Access, Route};
use crate::web::{App, Problem, cookies};
use crate::workspaces::removal::{self, Kind, Progress, Removal, RemovalError, Step, begin};

/// What has to be typed to remove an account.
const ACCOUNT_WORD: &str = pages::account::CONFIRM_WORD;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/w/{workspace}/settings/remove",
            Access::Owner,
            remove_workspace,
        )
        .budget(Budget::Heavy),
        Route::post("/account/remove", Access::SignedIn, remove_account).budget(Budget::Heavy),
        Route::get("/receipts/{token}", Access::Public, receipt),
    ]
}

#[derive(Deserialize)]
struct ConfirmForm {
    confirm: String,
}

async fn remove_workspace(
    State(app): State<App>,
    OwnerAccess(access): OwnerAccess,
    chrome: Chrome,
    Form(form): Form<ConfirmForm>,
) -> Result<Response, Problem> {
    if form.confirm.trim() != access.workspace.name.trim() {
        let view = SettingsPage {
            remove_trouble: Some(
                "That is not the workspace\u{2019}s name. Nothing was removed.".to_owned(),
            ),
            ..workspaces::settings_page(&app, &access)
        };
        return Ok(pages::settings::page(&chrome, &view).into_response());
    }
    let token = Token::random();
    begin::workspace(&app.database, &access.workspace.id, &token)
        .await
        .map_err(problem)?
        .ok_or_else(Problem::not_found)?;
    app.pools.forget(&access.workspace.id);
    Ok(to_receipt(&token))
}

async fn remove_account(
    State(app): State<App>,
    session: Session,
    chrome: Chrome,
    Form(form): Form<ConfirmForm>,
) -> Result<Response, Problem> {
    if form.confirm.trim() != ACCOUNT_WORD {
        let trouble =
            format!("Type \u{201c}{ACCOUNT_WORD}\u{201d} to confirm. Nothing was removed.");
        let view = account::view(&app, &session, Some(trouble)).await?;
        return Ok(pages::account::page(&chrome, &view).into_response());
    }
    let token = Token::random();
    begin::account(&app.database, session.user.id, &token)
        .await
        .map_err(problem)?
        .ok_or_else(Problem::not_found)?;
    // All its sessions are over; the browser need not remember this one.
    let cookie = cookies::forget(cookies::Kind::Session, &app.config.http.public_url);
    Ok(([cookie], to_receipt(&token)).into_response())
}

fn to_receipt(token: &Token) -> Response {
    Redirect::to(&format!("/receipts/{}", token.reveal())).into_response()
}

fn problem(error: RemovalError) -> Problem {
    match error {
        RemovalError::Database(error) => error.into(),
        error => Problem::defect(&error),
    }
}

#[derive(Deserialize)]
struct ReceiptPath {
    token: String,
}

async fn receipt(
    State(app): State<App>,
    chrome: Chrome,
    Path(path): Path<ReceiptPath>,
) -> Result<Markup, Problem> {
    let token: Token = path.token.parse().map_err(|_| Problem::not_found())?;
    let removal = removal::by_token(&app.database, &token)
        .await?
        .ok_or_else(Problem::not_found)?;
    let parts = match removal.kind {
        Kind::Account => removal::parts_of(&app.database, removal.id).await?,
        Kind::Workspace => Vec::new(),
    };
    let view = view(path.token, &removal, &parts);
    Ok(pages::receipt::page(&chrome, &view))
}

fn view(token: String, removal: &Removal, parts: &[Removal]) -> ReceiptView {
    let all: Vec<&Progress> = std::iter::once(removal)
        .chain(parts)
        .map(|removal| &removal.progress)
        .collect();
    let (subject, steps) = match removal.kind {
        Kind::Workspace => (
            Subject::Workspace {
                id: removal.subject.clone(),
            },
            workspace_steps(removal),
        ),
        Kind::Account => (Subject::Account, account_steps(removal, parts)),
    };
    ReceiptView {
        token,
        subject,
        requested_at: removal.requested_at,
        finished_at: removal.finished_at,
        steps,
        removed: removed(removal.kind, parts.len(), &all),
        databases: all
            .iter()
            .filter_map(|progress| progress.database.as_ref())
            .filter_map(|database| {
                Some(RemovedDatabase {
                    tenant: database.tenant.clone(),
                    region: database.region.clone(),
                    removed_at: database.gone_at?,
                    recoverable_until: database.recoverable_until(),
                })
            })
            .collect(),
    }
}

/// Where a step stands that is taken at `at`.
fn stand(removal: &Removal, at: Step) -> StepState {
    let progress = &removal.progress;
    if removal.finished_at.is_some() || progress.step > at {
        StepState::Done
    } else if progress.step < at {
        StepState::Waiting
    } else if progress.held.is_some() {
        StepState::Held
    } else {
        StepState::Now
    }
}

fn workspace_steps(removal: &Removal) -> Vec<RemovalStep> {
    let progress = &removal.progress;
    let labels = [
        (Step::Files, "Files"),
        (Step::Database, "Database"),
        (Step::Rows, "Everything else"),
    ];
    labels
        .into_iter()
        .map(|(step, label)| {
            let state = stand(removal, step);
            let note = match (state, step) {
                (StepState::Held | StepState::Now, _) => progress.held.clone(),
                (StepState::Done, Step::Files) => Some(files(progress.files, progress.file_bytes)),
                _ => None,
            };
            RemovalStep {
                label: label.to_owned(),
                state,
                note,
            }
        })
        .collect()
}

fn account_steps(removal: &Removal, parts: &[Removal]) -> Vec<RemovalStep> {
    let done = parts
        .iter()
        .filter(|part| part.finished_at.is_some())
        .count();
    let note = match &removal.progress.held {
        Some(held) => Some(held.clone()),
        None if parts.is_empty() => None,
        None => Some(format!("{done} of {} are gone.", parts.len())),
    };
    vec![
        RemovalStep {
            label: "Workspaces that nobody else owns".to_owned(),
            state: stand(removal, Step::Workspaces),
            note,
        },
        RemovalStep {
            label: "Your account".to_owned(),
            state: stand(removal, Step::Rows),
            note: None,
        },
    ]
}

fn removed(kind: Kind, workspaces: usize, all: &[&Progress]) -> Vec<RemovedItem> {
    let sum = |count: fn(&Progress) -> u64| all.iter().map(|progress| count(progress)).sum();
    let item = |label: &str, amount: String| RemovedItem {
        label: label.to_owned(),
        amount,
    };
    let mut items = Vec::new();
    if kind == Kind::Account {
        items.push(item("Workspaces", workspaces.to_string()));
        let left: u64 = sum(|progress| progress.left);
        items.push(item("Workspaces left to their owners", left.to_string()));
    } else {
        let members: u64 = sum(|progress| progress.members);
        items.push(item("Memberships", members.to_string()));
    }
    let documents: u64 = sum(|progress| progress.documents);
    items.push(item("Documents", documents.to_string()));
    items.push(item(
        "Files",
        files(
            sum(|progress| progress.files),
            sum(|progress| progress.file_bytes),
        ),
    ));
    let projects: Vec<&str> = all
        .iter()
        .filter_map(|progress| progress.database.as_ref()?.project.as_deref())
        .collect();
    if !projects.is_empty() {
        items.push(item("Neon projects", projects.join(", ")));
    }
    items
}

fn files(count: u64, bytes: u64) -> String {
    format!(
        "{}, {}",
        format::count(count, "file", "files"),
        format::bytes(bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RemovalId;
    use jiff::Timestamp;

    fn removal(kind: Kind, progress: Progress, is_done: bool) -> Removal {
        Removal {
            id: RemovalId::random(),
            kind,
            subject: "abcdefghijkl".to_owned(),
            progress,
            requested_at: Timestamp::UNIX_EPOCH,
            finished_at: is_done.then_some(Timestamp::UNIX_EPOCH),
        }
    }

    fn states(view: &ReceiptView) -> Vec<StepState> {
        view.steps.iter().map(|step| step.state).collect()
    }

    #[test]
    fn a_step_that_is_held_up_says_why() {
        let progress = Progress {
            step: Step::Database,
            held: Some("It waits.".to_owned()),
            files: 2,
            file_bytes: 3_000,
            ..Progress::default()
        };
        let view = view(
            "token".to_owned(),
            &removal(Kind::Workspace, progress, false),
            &[],
        );
        assert_eq!(
            states(&view),
            [StepState::Done, StepState::Held, StepState::Waiting]
        );
        assert_eq!(view.steps[1].note.as_deref(), Some("It waits."));
    }

    #[test]
    fn an_account_s_receipt_adds_up_its_workspaces() {
        let part = Progress {
            step: Step::Nothing,
            documents: 3,
            files: 3,
            ..Progress::default()
        };
        let parts = [
            removal(Kind::Workspace, part.clone(), true),
            removal(Kind::Workspace, part, true),
        ];
        let own = Progress {
            step: Step::Nothing,
            ..Progress::default()
        };
        let view = view(
            "token".to_owned(),
            &removal(Kind::Account, own, true),
            &parts,
        );
        assert_eq!(states(&view), [StepState::Done, StepState::Done]);
        let amount = |label: &str| {
            view.removed
                .iter()
                .find(|item| item.label == label)
                .map(|item| item.amount.as_str())
        };
        assert_eq!(amount("Documents"), Some("6"));
        assert_eq!(amount("Workspaces"), Some("2"));
    }
}
