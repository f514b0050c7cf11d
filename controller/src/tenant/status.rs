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
pub enum Verdict {
    /// Everything is as wished.
    Ready,
    /// Work goes on by itself.
    Progress(Finding),
    /// A person has to mend something.
    Stalled(Finding),
    /// `spec.suspend` is true.
    Suspended,
    /// The Tenant is being deleted.
    Deleting(Finding),
    /// The Tenant is being deleted and a person has to mend something first.
    DeletionStalled(Finding),
}

/// What a pass has to say, and about which part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The part that is not as wished.
    pub area: Area,
    /// Reason of the conditions.
    pub reason: Reason,
    /// What happened, and what to do.
    pub message: String,
}

/// The parts of a Tenant, in the order in which they come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// The project, and before it the class, the account and the spec.
    Project,
    /// The Secret.
    Credentials,
    /// The schema.
    Schema,
}

/// What the report needs beside the status and the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
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
pub fn report(mut status: TenantStatus, verdict: &Verdict, seen: Seen) -> TenantStatus {
    status.observed_generation = seen.generation;
    let parts = parts(&status, verdict, seen);
    let available = availability(&status, verdict, seen);
    let ready = match verdict {
        Verdict::Ready => state(true, Reason::ReconcileSucceeded, ready_message(&status)),
        Verdict::Suspended => state(false, Reason::Suspended, SUSPENDED.to_owned()),
        Verdict::Progress(finding)
        | Verdict::Stalled(finding)
        | Verdict::Deleting(finding)
        | Verdict::DeletionStalled(finding) => {
            state(false, finding.reason, finding.message.clone())
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
        match verdict {
            Verdict::Progress(finding) | Verdict::Deleting(finding) => {
                Some(state(true, finding.reason, finding.message.clone()))
            }
            _ => None,
        },
    );
    put(
        ConditionType::Stalled,
        match verdict {
            Verdict::Stalled(finding) | Verdict::DeletionStalled(finding) => {
                Some(state(true, finding.reason, finding.message.clone()))
            }
            _ => None,
        },
    );
    status.phase = Some(phase(verdict));
    if matches!(verdict, Verdict::Ready) {
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

fn phase(verdict: &Verdict) -> Phase {
    match verdict {
        Verdict::Ready => Phase::Ready,
        Verdict::Suspended => Phase::Suspended,
        Verdict::Stalled(_) => Phase::Stalled,
        Verdict::Deleting(_) | Verdict::DeletionStalled(_) => Phase::Deleting,
        Verdict::Progress(finding) if finding.reason == Reason::Waiting => Phase::Pending,
        Verdict::Progress(finding) => match finding.area {
            Area::Schema => Phase::Migrating,
            Area::Project | Area::Credentials => Phase::Provisioning,
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

fn finding(verdict: &Verdict) -> Option<&Finding> {
    match verdict {
        Verdict::Ready | Verdict::Suspended => None,
        Verdict::Progress(finding)
        | Verdict::Stalled(finding)
        | Verdict::Deleting(finding)
        | Verdict::DeletionStalled(finding) => Some(finding),
    }
}

fn parts(status: &TenantStatus, verdict: &Verdict, seen: Seen) -> [(ConditionType, State); 3] {
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
    let areas = [Area::Project, Area::Credentials, Area::Schema];
    let mut words = words.into_iter();
    let found = finding(verdict);
    std::array::from_fn(|i| {
        let message = words.next().unwrap_or_default();
        let state = match found {
            Some(finding) if finding.area == areas[i] => {
                state(false, finding.reason, finding.message.clone())
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
fn availability(status: &TenantStatus, verdict: &Verdict, seen: Seen) -> State {
    let served = match (&status.project, &status.schema) {
        (Some(project), Some(schema)) => {
            schema.version.is_some() && schema.project_id.as_deref() == Some(project.id.as_str())
        }
        _ => false,
    };
    let found = finding(verdict);
    // These say that the database itself is away or going, not that something new could not be put into effect.
    let away = found.is_some_and(|finding| {
        matches!(
            finding.reason,
            Reason::ProjectNotFound
                | Reason::RecoveringProject
                | Reason::Deleting
                | Reason::PasswordUnavailable
                | Reason::QuotaExceeded
        ) || finding.area == Area::Credentials && !seen.credentials
    });
    if served && seen.credentials && !away {
        return state(
            true,
            Reason::ReconcileSucceeded,
            "the database can be used".to_owned(),
        );
    }
    match found {
        Some(finding) => state(false, finding.reason, finding.message.clone()),
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
