//! What can happen to a Tenant and its controller, and how it is drawn.

use proptest::prelude::*;

use crate::world::Fate;

/// Things that happen before it is quiet.
const HAPPENINGS_MAX: usize = 60;

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// The controller goes so many steps.
    Steps(u8),
    /// It dies after so many effects.
    CrashIn(u8),
    /// Time passes.
    Seconds(u8),
    /// What becomes of the next call to Neon that has no fate yet.
    Fate(Fate),
    /// What becomes of the next request to create a project that has no fate yet.
    Creation(Fate),
    /// A listing that nobody waits for begins.
    ListingBegins,
    /// It is complete.
    ListingEnds,
    /// The Tenant is applied, if it is gone.
    Apply,
    /// The Tenant is deleted.
    Delete,
    /// Its spec is edited.
    Edit(Edit),
    /// Something goes astray behind the controller's back.
    Astray(Astray),
}

#[derive(Clone, Debug)]
pub(crate) enum Edit {
    MaxQuarters(u8),
    ActiveSeconds(u8),
    DisplayName(bool),
    SecretName(bool),
    Suspend(bool),
    Retain(bool),
    NewSchema,
}

#[derive(Clone, Debug)]
pub(crate) enum Astray {
    SecretRemoved,
    SecretEdited,
    PasswordChanged,
    ProjectDeleted,
    ProjectRenamed,
    ComputeResized,
    StatusLost,
}

pub(crate) fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        2 => Just(Fate::Good),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Lost),
    ]
}

pub(crate) fn creations() -> impl Strategy<Value = Fate> {
    prop_oneof![
        1 => fates(),
        2 => (0..120_u16).prop_map(Fate::Late),
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
        Just(Edit::NewSchema),
    ]
}

fn astray() -> impl Strategy<Value = Astray> {
    prop_oneof![
        Just(Astray::SecretRemoved),
        Just(Astray::SecretEdited),
        Just(Astray::PasswordChanged),
        Just(Astray::ProjectDeleted),
        Just(Astray::ProjectRenamed),
        Just(Astray::ComputeResized),
        Just(Astray::StatusLost),
    ]
}

pub(crate) fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        12 => (1..12_u8).prop_map(Happening::Steps),
        4 => (0..8_u8).prop_map(Happening::CrashIn),
        4 => (0..100_u8).prop_map(Happening::Seconds),
        4 => fates().prop_map(Happening::Fate),
        3 => creations().prop_map(Happening::Creation),
        2 => Just(Happening::ListingBegins),
        2 => Just(Happening::ListingEnds),
        1 => Just(Happening::Apply),
        2 => Just(Happening::Delete),
        4 => edits().prop_map(Happening::Edit),
        3 => astray().prop_map(Happening::Astray),
    ];
    proptest::collection::vec(one, 1..HAPPENINGS_MAX)
}
