//! What can happen to a Tenant and its controller, and how property tests generate it.

use proptest::prelude::*;

use crate::world::Outcome;

/// Maximum number of events of a run.
const MAX_EVENTS: usize = 60;

#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The controller makes this many calls.
    Calls(u8),
    /// The process crashes after this many further crash points.
    CrashIn(u8),
    /// This many seconds pass.
    Seconds(u8),
    /// The outcome of the next call to Neon or to a database.
    Neon(Outcome),
    /// The outcome of the next request to create a project.
    Creation(Outcome),
    /// The outcome of the next write to the Kubernetes API.
    Cluster(Outcome),
    /// The next reconciliations, this many, start before the watches deliver the latest changes.
    WatchLag(u8),
    /// A listing for drift detection starts.
    ListingBegins,
    /// The listing completes.
    ListingEnds,
    /// Neon cannot read the projects for the next listings, this many, and returns only their ids.
    Unavailable(u8),
    /// A user applies the Tenant, unless it exists.
    Apply,
    /// A user deletes the Tenant.
    Delete,
    /// A user edits the Tenant.
    Edit(Edit),
    /// Something changes without the controller.
    Drift(Drift),
}

#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// Maximum compute size, in quarters of a CU.
    MaxQuarters(u8),
    ActiveSeconds(u8),
    DisplayName(bool),
    SecretName(bool),
    Suspend(bool),
    Retain(bool),
    /// An operator adds a migration to the class.
    NewMigration,
}

#[derive(Clone, Debug)]
pub(crate) enum Drift {
    SecretDeleted,
    SecretEdited,
    /// The password changes, and a user requests a reconciliation.
    PasswordChanged,
    ProjectDeleted,
    ProjectRenamed,
    ComputeResized,
    StatusLost,
}

impl Drift {
    pub(crate) const ALL: [Self; 7] = [
        Self::SecretDeleted,
        Self::SecretEdited,
        Self::PasswordChanged,
        Self::ProjectDeleted,
        Self::ProjectRenamed,
        Self::ComputeResized,
        Self::StatusLost,
    ];
}

pub(crate) fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        2 => Just(Outcome::Answered),
        1 => Just(Outcome::Refused),
        1 => Just(Outcome::Lost),
    ]
}

pub(crate) fn creation_outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        1 => outcomes(),
        2 => (0..120_u16).prop_map(Outcome::Late),
    ]
}

fn edits() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (1..16_u8).prop_map(Edit::MaxQuarters),
        (0..3_u8).prop_map(Edit::ActiveSeconds),
        any::<bool>().prop_map(Edit::DisplayName),
        any::<bool>().prop_map(Edit::SecretName),
        any::<bool>().prop_map(Edit::Suspend),
        any::<bool>().prop_map(Edit::Retain),
        Just(Edit::NewMigration),
    ]
}

pub(crate) fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        12 => (1..24_u8).prop_map(Event::Calls),
        4 => (0..16_u8).prop_map(Event::CrashIn),
        4 => (0..100_u8).prop_map(Event::Seconds),
        4 => outcomes().prop_map(Event::Neon),
        3 => creation_outcomes().prop_map(Event::Creation),
        2 => outcomes().prop_map(Event::Cluster),
        2 => (1..4_u8).prop_map(Event::WatchLag),
        2 => Just(Event::ListingBegins),
        2 => Just(Event::ListingEnds),
        1 => Just(Event::Apply),
        2 => Just(Event::Delete),
        4 => edits().prop_map(Event::Edit),
        3 => proptest::sample::select(Drift::ALL.to_vec()).prop_map(Event::Drift),
    ];
    proptest::collection::vec(event, 1..MAX_EVENTS)
}
