//! Builds the status of a Tenant: `(recorded status, outcome) -> status`. Pure.
//!
//! Conditions follow kstatus: `Ready` is always present, `Reconciling`, `Stalled` and `Suspended`
//! only while they are true. Messages come from issues, which never contain a secret.

use crds::{
    ConditionType, Phase, Reason, SchemaStatus, TenantStatus, find_condition, is_true,
    set_condition,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::issue::{Component, Issue};
use crate::schema_assignment::SchemaTarget;

/// Longest message of a condition, in characters; the API server rejects more than 32,768 bytes.
const MAX_MESSAGE_CHARS: usize = 4_000;

const SUSPENDED_MESSAGE: &str =
    "reconciliation is suspended: to resume it, set spec.suspend to false";

/// The result of a reconciliation, or its state while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusOutcome {
    Ready,
    /// `spec.suspend` is true.
    Suspended,
    /// The controller continues without any change by a user.
    InProgress(Issue),
    /// Progress needs a change by a user or an administrator.
    Stalled(Issue),
}

impl StatusOutcome {
    fn issue(&self) -> Option<&Issue> {
        match self {
            Self::Ready | Self::Suspended => None,
            Self::InProgress(issue) | Self::Stalled(issue) => Some(issue),
        }
    }

    /// Whether the database can be migrated without a change by a user to anything but its schema.
    fn allows_migration(&self) -> bool {
        match self {
            Self::Ready | Self::InProgress(_) => true,
            Self::Suspended => false,
            Self::Stalled(issue) => issue.component == Component::Schema,
        }
    }
}

/// What the status depends on besides the recorded status and the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other"
)]
pub struct StatusInput {
    /// Generation of the spec that was reconciled.
    pub generation: Option<i64>,
    /// Whether the Tenant is being deleted.
    pub deleting: bool,
    /// Whether the Secret holds credentials of the project.
    pub credentials: bool,
    /// Whether the database has the target schema.
    pub schema: bool,
    /// Whether this reconciliation has connected to the database.
    pub connected: bool,
    pub now: Timestamp,
}

/// The status to write: `status` with the conditions, the phase and the generation that follow from
/// the outcome.
pub fn build_status(
    mut status: TenantStatus,
    outcome: &StatusOutcome,
    input: StatusInput,
) -> TenantStatus {
    status.observed_generation = input.generation;
    let suspended = *outcome == StatusOutcome::Suspended;
    let mut conditions = Vec::new();
    if suspended && was_evaluated(&status, ConditionType::Ready) {
        // The last result stays valid: nothing changes while the Tenant is suspended.
        for condition in &mut status.conditions {
            if condition.type_ == ConditionType::Ready.as_str() {
                condition.observed_generation = input.generation;
            }
        }
    } else {
        conditions.push((ConditionType::Ready, Some(readiness(&status, outcome))));
    }
    conditions.push((
        ConditionType::Available,
        Some(availability(&status, outcome, input)),
    ));
    conditions.extend(
        components(&status, outcome, input).map(|(condition, state)| (condition, Some(state))),
    );
    let true_with = |issue: &Issue| ConditionState::new(true, issue.reason, &issue.message);
    conditions.push((
        ConditionType::Reconciling,
        match outcome {
            StatusOutcome::InProgress(issue) => Some(true_with(issue)),
            _ => None,
        },
    ));
    if !suspended {
        conditions.push((
            ConditionType::Stalled,
            match outcome {
                StatusOutcome::Stalled(issue) => Some(true_with(issue)),
                _ => None,
            },
        ));
    }
    conditions.push((
        ConditionType::Suspended,
        suspended.then(|| ConditionState::new(true, Reason::Suspended, SUSPENDED_MESSAGE)),
    ));
    let now = Time(input.now);
    for (condition, state) in conditions {
        match state {
            Some(state) => set_condition(
                &mut status.conditions,
                state.into_condition(condition, input.generation),
                &now,
            ),
            None => status
                .conditions
                .retain(|existing| existing.type_ != condition.as_str()),
        }
    }
    status.phase = Some(phase(outcome, input.deleting));
    if *outcome == StatusOutcome::Ready {
        record_time_to_ready(&mut status, input.now);
    }
    status
}

/// Whether the controller has given the condition a value. The API server creates a Tenant with
/// `Ready=Unknown`.
fn was_evaluated(status: &TenantStatus, kind: ConditionType) -> bool {
    find_condition(&status.conditions, kind).is_some_and(|condition| condition.status != "Unknown")
}

/// Updates the recorded schema when the Tenant has another target, including when a file that was
/// removed is added again. `project` is the Tenant's project.
pub fn follow_target(
    schema: &mut SchemaStatus,
    target: &SchemaTarget,
    project: Option<&str>,
    outcome: &StatusOutcome,
) {
    if target.is_managed() {
        schema.target = Some(target.version);
        // The rollout counts the Tenant from now on. A Tenant that already has the schema needs no
        // change of its status.
        let is_reached = project.is_some_and(|project| target.is_reached(Some(schema), project));
        if !is_reached && target.rollout.is_some() && outcome.allows_migration() {
            schema.rollout.clone_from(&target.rollout);
        }
    } else {
        *schema = SchemaStatus {
            version: None,
            target: None,
            checksum: None,
            applied_at: None,
            rollout: None,
            project_id: schema.project_id.take(),
        };
    }
}

/// Whether a status reports that the database can be used.
pub fn is_available(status: &TenantStatus) -> bool {
    is_true(&status.conditions, ConditionType::Available)
}

/// Milliseconds between two moments, at least 0.
pub fn millis_between(start: Timestamp, end: Timestamp) -> i64 {
    end.as_millisecond()
        .saturating_sub(start.as_millisecond())
        .max(0)
}

fn phase(outcome: &StatusOutcome, deleting: bool) -> Phase {
    match outcome {
        StatusOutcome::Ready => Phase::Ready,
        StatusOutcome::Suspended => Phase::Suspended,
        StatusOutcome::InProgress(_) | StatusOutcome::Stalled(_) if deleting => Phase::Deleting,
        StatusOutcome::Stalled(_) => Phase::Stalled,
        StatusOutcome::InProgress(issue) if issue.reason == Reason::Waiting => Phase::Pending,
        StatusOutcome::InProgress(issue) => match issue.component {
            Component::Schema => Phase::Migrating,
            Component::Project | Component::Credentials => Phase::Provisioning,
        },
    }
}

fn record_time_to_ready(status: &mut TenantStatus, now: Timestamp) {
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

struct ConditionState {
    status: bool,
    reason: Reason,
    message: String,
}

impl ConditionState {
    fn new(status: bool, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            message: message.into(),
        }
    }

    fn failed(issue: &Issue) -> Self {
        Self::new(false, issue.reason, &issue.message)
    }

    fn into_condition(self, condition: ConditionType, generation: Option<i64>) -> Condition {
        Condition {
            type_: condition.as_str().to_owned(),
            status: if self.status { "True" } else { "False" }.to_owned(),
            reason: self.reason.as_str().to_owned(),
            message: self.message.chars().take(MAX_MESSAGE_CHARS).collect(),
            observed_generation: generation,
            // `set_condition` sets the transition time.
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        }
    }
}

fn readiness(status: &TenantStatus, outcome: &StatusOutcome) -> ConditionState {
    match outcome {
        StatusOutcome::Ready => {
            let version = status.schema.as_ref().and_then(|schema| schema.version);
            let message = match version {
                Some(version) => format!("the database is ready, with schema version {version}"),
                None => "the database is ready".to_owned(),
            };
            ConditionState::new(true, Reason::ReconcileSucceeded, message)
        }
        StatusOutcome::Suspended => {
            ConditionState::new(false, Reason::Suspended, SUSPENDED_MESSAGE)
        }
        StatusOutcome::InProgress(issue) | StatusOutcome::Stalled(issue) => {
            ConditionState::failed(issue)
        }
    }
}

/// The conditions of the components.
fn components(
    status: &TenantStatus,
    outcome: &StatusOutcome,
    input: StatusInput,
) -> [(ConditionType, ConditionState); 3] {
    let project = status.project.as_ref();
    let project_message = project
        .map(|project| format!("project {} is configured", project.id))
        .unwrap_or_default();
    let state = |component, succeeded, message: &str| match outcome.issue() {
        Some(issue) if issue.component == component => ConditionState::failed(issue),
        _ if succeeded => ConditionState::new(true, Reason::ReconcileSucceeded, message),
        _ => ConditionState::new(
            false,
            Reason::Waiting,
            "waiting for an earlier step to succeed",
        ),
    };
    [
        (
            ConditionType::ProjectReady,
            state(Component::Project, project.is_some(), &project_message),
        ),
        (
            ConditionType::CredentialsReady,
            state(
                Component::Credentials,
                input.credentials,
                "the Secret holds the project's credentials",
            ),
        ),
        (
            ConditionType::SchemaReady,
            state(
                Component::Schema,
                input.schema,
                if status
                    .schema
                    .as_ref()
                    .is_some_and(|schema| schema.target.is_none())
                {
                    "the class applies no migrations"
                } else {
                    "the database has the target schema"
                },
            ),
        ),
    ]
}

/// Whether an application can use the database, with whatever schema it has. A failed update or
/// migration does not change that.
fn availability(
    status: &TenantStatus,
    outcome: &StatusOutcome,
    input: StatusInput,
) -> ConditionState {
    let migrated = match (&status.project, &status.schema) {
        (Some(project), Some(schema)) => {
            // Without migrations, it suffices that the database was reached.
            let is_unmanaged = schema.version.is_none() && schema.target.is_none();
            schema.is_known()
                && (!is_unmanaged || input.schema)
                && schema.project_id.as_deref() == Some(project.id.as_str())
        }
        _ => false,
    };
    let issue = outcome.issue();
    let unavailable = issue.filter(|issue| !issue.readable).is_some_and(|issue| {
        is_unavailable(issue.reason)
            || issue.component == Component::Credentials && !input.credentials
    });
    let accepts_connections = input.connected || *outcome == StatusOutcome::Ready;
    if !unavailable
        && !accepts_connections
        && let Some(recorded) = recorded_refusal(status)
    {
        return recorded;
    }
    if migrated && input.credentials && !unavailable {
        return ConditionState::new(
            true,
            Reason::ReconcileSucceeded,
            "applications can use the database",
        );
    }
    issue.map_or_else(
        || {
            ConditionState::new(
                false,
                Reason::Waiting,
                "the database has not been ready yet",
            )
        },
        ConditionState::failed,
    )
}

/// Whether an issue with this reason concerns the existing database rather than a change that could
/// not be applied.
const fn is_unavailable(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ProjectNotFound
            | Reason::RecoveringProject
            | Reason::Deleting
            | Reason::PasswordUnavailable
            | Reason::SecretConflict
    ) || refuses_connections(reason)
}

/// Whether the database refused a connection, so that only a later one shows that applications can
/// use it again.
const fn refuses_connections(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::PasswordRejected
            | Reason::DatabaseMissing
            | Reason::ComputeMissing
            | Reason::QuotaExceeded
    )
}

/// The recorded condition `Available`, if it says that the database refuses connections.
fn recorded_refusal(status: &TenantStatus) -> Option<ConditionState> {
    let condition = find_condition(&status.conditions, ConditionType::Available)?;
    let reason = condition.reason.parse().ok()?;
    (condition.status == "False" && refuses_connections(reason))
        .then(|| ConditionState::new(false, reason, &condition.message))
}

#[cfg(test)]
mod tests;
