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
    /// For this many seconds, Neon cannot read any project by id either.
    Unreadable(u8),
    /// The machine is suspended for this many seconds: the wall clock advances, the monotonic clock
    /// does not.
    Suspended(u16),
    /// A backup of the Tenant is taken.
    Backup,
    /// The Tenant's status is restored from the backup.
    RestoreStatus,
    /// A deleted Tenant is restored from the backup, with its UID and its status.
    RestoreTenant,
    /// The API key of the class is replaced.
    Key(Key),
    /// Another user copies the Tenant's project with its data, or renames a project to its name.
    Copy,
    /// A user applies the Tenant, unless it exists.
    Apply,
    /// A user deletes the Tenant.
    Delete,
    /// A user edits the Tenant.
    Edit(Edit),
    /// Something changes without the controller.
    Drift(Drift),
}

/// The API key in the class's Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Valid,
    Revoked,
    /// A key of another account.
    Foreign,
}

impl Key {
    pub(crate) const ALL: [Self; 3] = [Self::Valid, Self::Revoked, Self::Foreign];

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Valid => "napi_valid",
            Self::Revoked => "napi_revoked",
            Self::Foreign => "napi_foreign",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.text() == text)
    }
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
    /// An administrator lets Tenants take back the projects of earlier ones.
    AdoptExisting,
}

#[derive(Clone, Debug)]
pub(crate) enum Drift {
    SecretDeleted,
    SecretEdited,
    /// Another client changes the password in the Secret under the controller's name as field manager.
    SecretForged,
    /// The password changes, and a user requests a reconciliation.
    PasswordChanged,
    ProjectDeleted,
    ProjectRenamed,
    ComputeResized,
    StatusLost,
    /// Another client changes the connection in the status.
    StatusEdited,
}

impl Drift {
    pub(crate) const ALL: [Self; 9] = [
        Self::SecretDeleted,
        Self::SecretEdited,
        Self::SecretForged,
        Self::PasswordChanged,
        Self::ProjectDeleted,
        Self::ProjectRenamed,
        Self::ComputeResized,
        Self::StatusLost,
        Self::StatusEdited,
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
        1 => (1..3_u8).prop_map(Event::Unavailable),
        1 => (1..100_u8).prop_map(Event::Unreadable),
        1 => (1..600_u16).prop_map(Event::Suspended),
        1 => Just(Event::Backup),
        1 => Just(Event::RestoreStatus),
        1 => Just(Event::RestoreTenant),
        1 => Just(Event::Copy),
        2 => proptest::sample::select(Key::ALL.to_vec()).prop_map(Event::Key),
        1 => Just(Event::Apply),
        2 => Just(Event::Delete),
        4 => edits().prop_map(Event::Edit),
        3 => proptest::sample::select(Drift::ALL.to_vec()).prop_map(Event::Drift),
    ];
    proptest::collection::vec(event, 1..MAX_EVENTS)
}
