//! The receipt of a deletion: its steps while it is in progress, then what was deleted.

mod events;

use axum::extract::State;
use maud::Markup;
use serde::Deserialize;

use super::pages;
use super::pages::receipt::{
    DeletedItem, ReceiptDatabase, ReceiptStep, ReceiptView, StepState, Subject,
};
use crate::identity::Token;
use crate::ids::DeletionId;
use crate::web::shared::extract::Path;
use crate::web::shared::pages::{PageContext, format};
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};
use crate::workspaces::deletion::{
    self, ConversationCount, Deletion, DeletionProgress, DeletionStep, DeletionTarget,
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/receipts/{token}", Access::Public, show),
        Route::get("/receipts/{token}/events", Access::Public, events::events).event_stream(),
    ]
}

#[derive(Clone, Deserialize)]
pub(super) struct ReceiptPath {
    token: String,
}

async fn show(
    State(app): State<App>,
    context: PageContext,
    Path(path): Path<ReceiptPath>,
) -> Result<Markup, Problem> {
    let (_, view) = find(&app, path).await?;
    Ok(pages::receipt::page(&context, &view))
}

/// Loads the deletion for a receipt.
pub(super) async fn find(
    app: &App,
    path: ReceiptPath,
) -> Result<(DeletionId, ReceiptView), Problem> {
    let token: Token = path.token.parse().map_err(|_| Problem::not_found())?;
    let deletion = deletion::by_token(&app.database, &token)
        .await?
        .ok_or_else(Problem::not_found)?;
    let workspaces = match deletion.kind {
        DeletionTarget::Account => deletion::workspaces_of(&app.database, deletion.id).await?,
        DeletionTarget::Workspace => Vec::new(),
    };
    let view = view(path.token, &deletion, &workspaces);
    Ok((deletion.id, view))
}

fn view(token: String, deletion: &Deletion, workspaces: &[Deletion]) -> ReceiptView {
    let all: Vec<&DeletionProgress> = std::iter::once(deletion)
        .chain(workspaces)
        .map(|deletion| &deletion.progress)
        .collect();
    let (subject, steps) = match deletion.kind {
        DeletionTarget::Workspace => (
            Subject::Workspace {
                id: deletion.subject.clone(),
            },
            workspace_steps(deletion),
        ),
        DeletionTarget::Account => (Subject::Account, account_steps(deletion, workspaces)),
    };
    ReceiptView {
        token,
        subject,
        requested_at: deletion.requested_at,
        finished_at: deletion.finished_at,
        steps,
        deleted: deleted_items(deletion.kind, workspaces.len(), &all),
        databases: all
            .iter()
            .filter_map(|progress| progress.database.as_ref())
            .filter_map(|database| {
                Some(ReceiptDatabase {
                    tenant: database.tenant.clone(),
                    region: database.region.clone(),
                    deleted_at: database.deleted_at?,
                    recoverable_until: database.recoverable_until(),
                })
            })
            .collect(),
    }
}

/// The state of the step `at`.
fn step_state(deletion: &Deletion, at: DeletionStep) -> StepState {
    let progress = &deletion.progress;
    if deletion.finished_at.is_some() || progress.step > at {
        StepState::Done
    } else if progress.step < at {
        StepState::Waiting
    } else if progress.blocked_on.is_some() {
        StepState::Blocked
    } else {
        StepState::Active
    }
}

fn workspace_steps(deletion: &Deletion) -> Vec<ReceiptStep> {
    let progress = &deletion.progress;
    let labels = [
        (DeletionStep::Files, "Files"),
        (DeletionStep::Database, "Database"),
        (DeletionStep::Rows, "Everything else"),
    ];
    labels
        .into_iter()
        .map(|(step, label)| {
            let state = step_state(deletion, step);
            let note = match (state, step) {
                (StepState::Blocked | StepState::Active, _) => progress.blocked_on.clone(),
                (StepState::Done, DeletionStep::Files) => {
                    Some(files(progress.files, progress.file_bytes))
                }
                _ => None,
            };
            ReceiptStep {
                label: label.to_owned(),
                state,
                note,
            }
        })
        .collect()
}

fn account_steps(deletion: &Deletion, workspaces: &[Deletion]) -> Vec<ReceiptStep> {
    let done = workspaces
        .iter()
        .filter(|workspace| workspace.finished_at.is_some())
        .count();
    let note = match &deletion.progress.blocked_on {
        Some(blocked_on) => Some(blocked_on.clone()),
        None if workspaces.is_empty() => None,
        None => Some(format!("{done} of {} are deleted.", workspaces.len())),
    };
    vec![
        ReceiptStep {
            label: "Workspaces that only you own".to_owned(),
            state: step_state(deletion, DeletionStep::Workspaces),
            note,
        },
        ReceiptStep {
            label: "Your account".to_owned(),
            state: step_state(deletion, DeletionStep::Rows),
            note: None,
        },
    ]
}

fn deleted_items(
    kind: DeletionTarget,
    workspaces: usize,
    all: &[&DeletionProgress],
) -> Vec<DeletedItem> {
    let sum =
        |count: fn(&DeletionProgress) -> u64| all.iter().map(|progress| count(progress)).sum();
    let item = |label: &str, amount: String| DeletedItem {
        label: label.to_owned(),
        amount,
    };
    let mut items = Vec::new();
    if kind == DeletionTarget::Account {
        items.push(item("Workspaces", workspaces.to_string()));
        let left: u64 = sum(|progress| progress.workspaces_left);
        items.push(item("Workspaces you left", left.to_string()));
    } else {
        let members: u64 = sum(|progress| progress.members);
        items.push(item("Memberships", members.to_string()));
    }
    let documents: u64 = sum(|progress| progress.documents);
    items.push(item("Documents", documents.to_string()));
    let passages: u64 = sum(|progress| progress.passages);
    items.push(item("Passages", passages.to_string()));
    let conversations = conversations(all.iter().map(|progress| progress.conversations));
    items.extend(conversations.map(|amount| item("Conversations", amount)));
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

/// Describes the deleted conversations. `None` if they were not counted.
fn conversations(all: impl Iterator<Item = ConversationCount>) -> Option<String> {
    let (mut threads, mut messages, mut counted, mut unknown) = (0, 0, 0_u64, 0);
    for one in all {
        match one {
            ConversationCount::NotCounted => {}
            ConversationCount::Unknown => unknown += 1,
            ConversationCount::Counted {
                threads: its_threads,
                messages: its_messages,
            } => {
                counted += 1;
                threads += its_threads;
                messages += its_messages;
            }
        }
    }
    let summary = format!(
        "{threads}, with {}",
        format::count(messages, "message", "messages")
    );
    match (counted, unknown) {
        (0, 0) => None,
        (0, _) => Some("not counted: the database could not be read".to_owned()),
        (_, 0) => Some(summary),
        (_, unknown) => Some(format!(
            "{summary}; {} could not be read",
            format::count(unknown, "database", "databases")
        )),
    }
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
    use jiff::Timestamp;

    fn deletion(kind: DeletionTarget, progress: DeletionProgress, is_done: bool) -> Deletion {
        Deletion {
            id: DeletionId::random(),
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
    fn a_blocked_step_shows_the_reason() {
        let progress = DeletionProgress {
            step: DeletionStep::Database,
            blocked_on: Some("It waits.".to_owned()),
            files: 2,
            file_bytes: 3_000,
            ..DeletionProgress::default()
        };
        let view = view(
            "token".to_owned(),
            &deletion(DeletionTarget::Workspace, progress, false),
            &[],
        );
        assert_eq!(
            states(&view),
            [StepState::Done, StepState::Blocked, StepState::Waiting]
        );
        assert_eq!(view.steps[1].note.as_deref(), Some("It waits."));
    }

    #[test]
    fn the_receipt_of_an_account_sums_up_its_workspaces() {
        let part = DeletionProgress {
            step: DeletionStep::Finished,
            documents: 3,
            files: 3,
            ..DeletionProgress::default()
        };
        let workspaces = [
            deletion(DeletionTarget::Workspace, part.clone(), true),
            deletion(DeletionTarget::Workspace, part, true),
        ];
        let own = DeletionProgress {
            step: DeletionStep::Finished,
            ..DeletionProgress::default()
        };
        let view = view(
            "token".to_owned(),
            &deletion(DeletionTarget::Account, own, true),
            &workspaces,
        );
        assert_eq!(states(&view), [StepState::Done, StepState::Done]);
        let amount = |label: &str| {
            view.deleted
                .iter()
                .find(|item| item.label == label)
                .map(|item| item.amount.as_str())
        };
        assert_eq!(amount("Documents"), Some("6"));
        assert_eq!(amount("Workspaces"), Some("2"));
    }
    #[test]
    fn the_summary_covers_the_conversations_that_were_counted() {
        let counted = |threads, messages| ConversationCount::Counted { threads, messages };
        for (all, expected) in [
            (vec![ConversationCount::NotCounted], None),
            (
                vec![ConversationCount::Unknown],
                Some("not counted: the database could not be read"),
            ),
            (
                vec![counted(2, 5), ConversationCount::NotCounted, counted(1, 2)],
                Some("3, with 7 messages"),
            ),
            (
                vec![counted(1, 1), ConversationCount::Unknown],
                Some("1, with 1 message; 1 database could not be read"),
            ),
        ] {
            assert_eq!(conversations(all.into_iter()).as_deref(), expected);
        }
    }
}
