//! The words that labels may have.

use crds::Phase;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};

/// How a pass over a Tenant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum ReconcileOutcome {
    /// Everything is as wished.
    Ready,
    /// A step was done, and the next pass goes on.
    Progressing,
    /// Something outside has to happen first: an operation of Neon's, a class, a window.
    Waiting,
    /// A person has to mend something.
    Stalled,
    /// A step failed, and is tried again.
    Failed,
    /// The Tenant was let go.
    Released,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum StepOutcome {
    /// It had its effect.
    Done,
    /// It failed; whether it had an effect may be unknown.
    Failed,
}

/// How a look at the schema of a tenant's database ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum MigrationOutcome {
    /// Migrations were applied.
    Applied,
    /// None were missing.
    UpToDate,
    /// The database is ahead, or a migration was changed or is missing: nothing was done.
    Refused,
    /// A statement failed.
    Failed,
    /// The database did not answer.
    Unreachable,
}

/// How an HTTP request to the Kubernetes API ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum RequestOutcome {
    /// As wished.
    Success,
    /// There is no such object.
    NotFound,
    /// The object has changed, or exists already.
    Conflict,
    /// The credentials or their rights do not do.
    Denied,
    /// The API asked for fewer calls.
    Throttled,
    /// Another refusal.
    Refused,
    /// The API failed.
    ServerError,
    /// No answer within the deadline.
    TimedOut,
    /// No connection, or it broke.
    Unreachable,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reconciled {
    pub(super) outcome: ReconcileOutcome,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StepDone {
    pub(super) step: &'static str,
    pub(super) outcome: StepOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct NeonCall {
    pub(super) route: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Route {
    pub(super) route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Wait {
    pub(super) priority: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KubeCall {
    pub(super) call: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Call {
    pub(super) call: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KubeRequest {
    pub(super) verb: &'static str,
    pub(super) resource: String,
    pub(super) outcome: RequestOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PhaseOf {
    pub(super) phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Class {
    pub(super) class: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Migrated {
    pub(super) outcome: MigrationOutcome,
}

/// Every phase, so that those without a Tenant show as 0 rather than not at all.
pub(super) fn phases() -> [Phase; 7] {
    [
        Phase::Pending,
        Phase::Provisioning,
        Phase::Migrating,
        Phase::Ready,
        Phase::Suspended,
        Phase::Stalled,
        Phase::Deleting,
    ]
}

/// The word that the status has too.
pub(super) fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Provisioning => "Provisioning",
        Phase::Migrating => "Migrating",
        Phase::Ready => "Ready",
        Phase::Suspended => "Suspended",
        Phase::Stalled => "Stalled",
        Phase::Deleting => "Deleting",
    }
}
