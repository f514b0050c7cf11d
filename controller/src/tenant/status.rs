//! What the status says after a pass: `(status so far, verdict) -> status`. Pure.
//!
//! Conditions follow kstatus: `Ready` is always there, `Reconciling` and `Stalled` only while they are true. No text
//! made here may hold a password; verdicts carry reasons and messages that were made without one.

use crds::{ConditionType, Phase, Reason, TenantStatus, is_true, set_condition};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Longest message of a condition, in characters; the API server refuses more than 32,768 bytes.
const MESSAGE_CHARS_MAX: usize = 4_000;

/// How a pass ended, or stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusOutcome {
    /// Everything is as wished.
    Ready,
    /// Work goes on by itself.
    Progress(Issue),
    /// A person has to mend something.
    Stalled(Issue),
    /// `spec.suspend` is true.
    Suspended,
    /// The Tenant is being deleted.
    Deleting(Issue),
    /// The Tenant is being deleted and a person has to mend something first.
    DeletionStalled(Issue),
}

/// What a pass has to say, and about which part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The part that is not as wished.
    pub component: Component,
    /// Reason of the conditions.
    pub reason: Reason,
    /// What happened, and what to do.
    pub message: String,
}

/// The parts of a Tenant, in the order in which they come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The project, and before it the class, the account and the spec.
    Project,
    /// The Secret.
    Credentials,
    /// The schema.
    Schema,
}

/// What the report needs beside the status and the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusInput {
    /// Generation of the spec that was looked at.
    pub generation: Option<i64>,
    /// Whether the Secret holds credentials of the project.
    pub credentials: bool,
    /// Whether the schema of the project is the class's newest.
    pub schema: bool,
    /// The clock.
    pub now: Timestamp,
}

/// The status to write. `status` has the facts (project, schema, connection ...) already; this puts in what follows from
/// them: conditions, phase, generation.
pub fn report(mut status: TenantStatus, outcome: &StatusOutcome, seen: StatusInput) -> TenantStatus {
    status.observed_generation = seen.generation;
    let parts = parts(&status, outcome, seen);
    let available = availability(&status, outcome, seen);
    let ready = match outcome {
        StatusOutcome::Ready => state(true, Reason::ReconcileSucceeded, ready_message(&status)),
        StatusOutcome::Suspended => state(false, Reason::Suspended, SUSPENDED.to_owned()),
        StatusOutcome::InProgress(issue)
        | StatusOutcome::Stalled(issue)
        | StatusOutcome::Deleting(issue)
        | StatusOutcome::DeletionStalled(issue) => {
            state(false, issue.reason, issue.message.clone())
        }
    };
    let now = Time(seen.now);
    let mut put = |kind: ConditionType, state: Option<State>| match state {
        Some(state) => set_condition(
            &mut status.conditions,
            state.into_condition(kind, seen.generation),
            &now,
        ),
        None => status
            .conditions
            .retain(|condition| condition.type_ != kind.as_str()),
    };
    put(ConditionType::Ready, Some(ready));
    put(ConditionType::Available, Some(available));
    for (kind, state) in parts {
        put(kind, Some(state));
    }
    put(
        ConditionType::Reconciling,
        match outcome {
            StatusOutcome::InProgress(issue) | StatusOutcome::Deleting(issue) => {
                Some(state(true, issue.reason, issue.message.clone()))
            }
            _ => None,
        },
    );
    put(
        ConditionType::Stalled,
        match outcome {
            StatusOutcome::Stalled(issue) | StatusOutcome::DeletionStalled(issue) => {
                Some(state(true, issue.reason, issue.message.clone()))
            }
            _ => None,
        },
    );
    status.phase = Some(phase(outcome));
    if matches!(outcome, StatusOutcome::Ready) {
        note_ready(&mut status, seen.now);
    }
    status
}

const SUSPENDED: &str = "spec.suspend is true: nothing is changed until it is false";

fn ready_message(status: &TenantStatus) -> String {
    match status.schema.as_ref().and_then(|schema| schema.version) {
        Some(version) => format!("the database is ready, with schema version {version}"),
        None => "the database is ready".to_owned(),
    }
}

fn phase(outcome: &StatusOutcome) -> Phase {
    match outcome {
        StatusOutcome::Ready => Phase::Ready,
        StatusOutcome::Suspended => Phase::Suspended,
        StatusOutcome::Stalled(_) => Phase::Stalled,
        StatusOutcome::Deleting(_) | StatusOutcome::DeletionStalled(_) => Phase::Deleting,
        StatusOutcome::InProgress(issue) if issue.reason == Reason::Waiting => Phase::Pending,
        StatusOutcome::InProgress(issue) => match issue.component {
            Component::Schema => Phase::Migrating,
            Component::Project | Component::Credentials => Phase::Provisioning,
        },
    }
}

fn note_ready(status: &mut TenantStatus, now: Timestamp) {
    let Some(timings) = &mut status.timings else {
        return;
    };
    if timings.ready_ms.is_none() {
        timings.ready_ms = timings
            .started_at
            .as_ref()
            .map(|start| millis_between(start.0, now));
    }
}

/// Milliseconds from one moment to another, never negative.
pub fn millis_between(start: Timestamp, end: Timestamp) -> i64 {
    end.as_millisecond()
        .saturating_sub(start.as_millisecond())
        .max(0)
}

struct State {
    good: bool,
    reason: Reason,
    message: String,
}

fn state(good: bool, reason: Reason, message: String) -> State {
    State {
        good,
        reason,
        message,
    }
}

impl State {
    fn into_condition(self, kind: ConditionType, generation: Option<i64>) -> Condition {
        Condition {
            type_: kind.as_str().to_owned(),
            status: if self.good { "True" } else { "False" }.to_owned(),
            reason: self.reason.as_str().to_owned(),
            message: self.message.chars().take(MESSAGE_CHARS_MAX).collect(),
            observed_generation: generation,
            // set_condition puts the right moment in.
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        }
    }
}

fn issue(outcome: &StatusOutcome) -> Option<&Issue> {
    match outcome {
        StatusOutcome::Ready | StatusOutcome::Suspended => None,
        StatusOutcome::InProgress(issue)
        | StatusOutcome::Stalled(issue)
        | StatusOutcome::Deleting(issue)
        | StatusOutcome::DeletionStalled(issue) => Some(issue),
    }
}

fn parts(status: &TenantStatus, outcome: &StatusOutcome, seen: StatusInput) -> [(ConditionType, State); 3] {
    let project = status.project.as_ref();
    let good = [project.is_some(), seen.credentials, seen.schema];
    let words = [
        project
            .map(|project| format!("project {} is as wished", project.id))
            .unwrap_or_default(),
        "the Secret holds the project's credentials".to_owned(),
        "the database has the newest schema".to_owned(),
    ];
    let kinds = [
        ConditionType::ProjectReady,
        ConditionType::CredentialsReady,
        ConditionType::SchemaReady,
    ];
    let areas = [Component::Project, Component::Credentials, Component::Schema];
    let mut words = words.into_iter();
    let found = issue(outcome);
    std::array::from_fn(|i| {
        let message = words.next().unwrap_or_default();
        let state = match found {
            Some(issue) if issue.component == areas[i] => {
                state(false, issue.reason, issue.message.clone())
            }
            _ if good[i] => state(true, Reason::ReconcileSucceeded, message),
            _ => state(
                false,
                Reason::Waiting,
                "not looked at yet: something before it has to succeed first".to_owned(),
            ),
        };
        (kinds[i], state)
    })
}

/// Whether the tenant can be served, on whatever schema it has. A failing edit or migration does not take that away.
fn availability(status: &TenantStatus, outcome: &StatusOutcome, seen: StatusInput) -> State {
    let served = match (&status.project, &status.schema) {
        (Some(project), Some(schema)) => {
            schema.version.is_some() && schema.project_id.as_deref() == Some(project.id.as_str())
        }
        _ => false,
    };
    let found = issue(outcome);
    // These say that the database itself is away or going, not that something new could not be put into effect.
    let away = found.is_some_and(|issue| {
        matches!(
            issue.reason,
            Reason::ProjectNotFound
                | Reason::RecoveringProject
                | Reason::Deleting
                | Reason::PasswordUnavailable
                | Reason::QuotaExceeded
        ) || issue.component == Component::Credentials && !seen.credentials
    });
    if served && seen.credentials && !away {
        return state(
            true,
            Reason::ReconcileSucceeded,
            "the database can be used".to_owned(),
        );
    }
    match found {
        Some(issue) => state(false, issue.reason, issue.message.clone()),
        None => state(
            false,
            Reason::Waiting,
            "the database was never ready yet".to_owned(),
        ),
    }
}

/// Whether a status says that the tenant can be served.
pub fn is_available(status: &TenantStatus) -> bool {
    is_true(&status.conditions, ConditionType::Available)
}

#[cfg(test)]
mod tests;
