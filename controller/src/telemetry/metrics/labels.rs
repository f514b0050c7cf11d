//! The label sets of the metrics and the values that their labels can have.

use std::fmt::{self, Write as _};

use crds::Phase;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// Encodes each variant of an enum as the given label value.
macro_rules! encode_label_value {
    ($type:ident { $($variant:ident => $value:literal),+ $(,)? }) => {
        impl EncodeLabelValue for $type {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                encoder.write_str(match self {
                    $(Self::$variant => $value),+
                })
            }
        }
    };
}

/// How a reconciliation of a Tenant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReconcileOutcome {
    /// The Tenant is up to date.
    Ready,
    /// A step was executed and the next reconciliation continues.
    Progressing,
    /// The controller waits for something else: a Neon operation, a class, a time window.
    Waiting,
    /// The Tenant remains unchanged until its spec, its class or the Neon account is changed.
    Stalled,
    /// A step failed and will be retried.
    Failed,
    /// The finalizer was removed.
    Released,
}

encode_label_value!(ReconcileOutcome {
    Ready => "ready",
    Progressing => "progressing",
    Waiting => "waiting",
    Stalled => "stalled",
    Failed => "failed",
    Released => "released",
});

/// How the execution of a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepOutcome {
    Done,
    /// The step failed. Whether it had an effect may be unknown.
    Failed,
}

encode_label_value!(StepOutcome {
    Done => "done",
    Failed => "failed",
});

/// How checking and migrating the schema of a tenant's database ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MigrationOutcome {
    Applied,
    /// No migration was missing.
    UpToDate,
    /// The database is ahead, or an applied migration was changed or is missing. Nothing was
    /// executed.
    Refused,
    Failed,
    /// The connection failed.
    Unreachable,
}

encode_label_value!(MigrationOutcome {
    Applied => "applied",
    UpToDate => "up_to_date",
    Refused => "refused",
    Failed => "failed",
    Unreachable => "unreachable",
});

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReconcileLabels {
    pub(super) outcome: ReconcileOutcome,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StepLabels {
    pub(super) step: &'static str,
    pub(super) outcome: StepOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct NeonLabels {
    pub(super) route: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RolloutLabels {
    pub(super) class: String,
    pub(super) state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteLabels {
    pub(super) route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PriorityLabels {
    pub(super) priority: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KubernetesRequestLabels {
    pub(super) verb: &'static str,
    pub(super) resource: String,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResourceLabels {
    pub(super) verb: &'static str,
    pub(super) resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PhaseLabels {
    pub(super) phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ClassLabels {
    pub(super) class: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct MigrationLabels {
    pub(super) outcome: MigrationOutcome,
}

/// All phases, so that a phase without Tenants is reported as 0 instead of being absent.
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

/// The phase as in the status.
pub(super) fn phase_name(phase: Phase) -> &'static str {
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
