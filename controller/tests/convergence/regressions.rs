//! Schedules that random runs found or that a fault suggested, and that once failed.

use crate::events::{Drift, Edit, Event, Key};
use crate::world::Outcome;
use crate::{ALL_CALLS, RECORDS_ACCOUNT, run};

#[test]
fn a_recorded_project_that_neon_cannot_read_is_neither_replaced_nor_deleted() {
    run(&[
        RECORDS_ACCOUNT,
        Event::Calls(20),
        Event::Unavailable(2),
        Event::ListingBegins,
        Event::ListingEnds,
        ALL_CALLS,
        Event::Edit(Edit::MaxQuarters(8)),
        ALL_CALLS,
        Event::CrashIn(0),
        ALL_CALLS,
    ]);
}

/// Schedules that random runs have found.
#[test]
fn a_foreign_key_during_a_deletion_that_the_cache_does_not_show_creates_nothing() {
    run(&[
        RECORDS_ACCOUNT,
        Event::Creation(Outcome::Late(0)),
        Event::Calls(1),
        Event::Calls(4),
        Event::Calls(4),
        Event::Calls(2),
        Event::WatchLag(2),
        Event::Delete,
        Event::ListingBegins,
        Event::Key(Key::Foreign),
        Event::Seconds(10),
        Event::Calls(5),
        Event::Calls(1),
    ]);
}

#[test]
fn a_project_that_is_deleted_before_its_backup_is_recovered() {
    run(&[
        Event::Calls(9),
        Event::Calls(2),
        Event::Calls(9),
        Event::Edit(Edit::NewMigration),
        Event::Calls(1),
        Event::Drift(Drift::ProjectDeleted),
        Event::Calls(1),
        Event::Calls(1),
    ]);
}

#[test]
fn a_copy_is_kept_if_the_status_is_lost_while_its_tenant_is_deleted() {
    run(&[
        RECORDS_ACCOUNT,
        Event::Calls(15),
        Event::Copy,
        Event::Delete,
        Event::Calls(1),
        Event::Drift(Drift::StatusLost),
    ]);
}

#[test]
fn a_copy_is_kept_if_the_status_is_lost_before_the_project_is_annotated() {
    run(&[
        Event::Calls(7),
        Event::Calls(1),
        Event::Calls(3),
        Event::Delete,
        Event::Copy,
        Event::ListingBegins,
        Event::Drift(Drift::StatusLost),
        Event::Calls(1),
    ]);
}

#[test]
fn a_copy_is_kept_if_the_status_is_lost_before_a_recorded_project_is_annotated() {
    run(&[
        Event::CrashIn(11),
        Event::Calls(7),
        Event::CrashIn(7),
        Event::Calls(1),
        Event::WatchLag(1),
        Event::Delete,
        Event::Calls(6),
        Event::Calls(1),
        Event::Copy,
        Event::Drift(Drift::StatusLost),
    ]);
}

#[test]
fn a_retained_project_that_was_used_after_the_last_listing_is_kept() {
    run(&[
        Event::CrashIn(0),
        Event::Edit(Edit::Retain(true)),
        Event::Calls(1),
        Event::Calls(7),
        Event::Calls(1),
        Event::Neon(Outcome::Refused),
        Event::CrashIn(3),
        Event::Calls(2),
        Event::CrashIn(2),
        Event::Calls(2),
        Event::Calls(5),
        Event::Backup,
        Event::Calls(11),
        Event::Delete,
        Event::RestoreStatus,
        Event::Calls(2),
    ]);
}

#[test]
fn the_edited_connection_of_a_restored_status_is_read_again() {
    run(&[
        Event::Calls(7),
        Event::Calls(1),
        Event::Calls(7),
        Event::Drift(Drift::StatusEdited),
        Event::Backup,
        Event::Calls(2),
        Event::Calls(3),
        Event::RestoreStatus,
    ]);
}

#[test]
fn a_tenant_that_is_restored_after_its_password_changed_gets_the_current_one() {
    run(&[
        RECORDS_ACCOUNT,
        Event::Calls(15),
        Event::Backup,
        Event::Drift(Drift::PasswordChanged),
        Event::CrashIn(0),
        Event::Delete,
        Event::Calls(1),
        Event::Calls(5),
        Event::RestoreTenant,
    ]);
}

#[test]
fn a_tenant_whose_pending_check_is_lost_by_a_restore_gets_the_current_password() {
    run(&[
        RECORDS_ACCOUNT,
        Event::Calls(17),
        Event::Backup,
        Event::Drift(Drift::PasswordChanged),
        Event::RestoreStatus,
        Event::Delete,
        Event::Calls(3),
        Event::RestoreTenant,
    ]);
}

#[test]
fn a_restored_tenant_gets_its_secret_once_that_of_its_successor_is_collected() {
    run(&[
        Event::Backup,
        Event::Delete,
        Event::Calls(1),
        Event::Apply,
        ALL_CALLS,
        ALL_CALLS,
        Event::Delete,
        ALL_CALLS,
        Event::RestoreTenant,
    ]);
}

#[test]
fn a_user_can_name_each_of_several_copies() {
    run(&[
        RECORDS_ACCOUNT,
        Event::Calls(15),
        Event::Delete,
        Event::Copy,
        Event::Calls(3),
        Event::Apply,
        Event::Calls(1),
        Event::ListingBegins,
        Event::Calls(4),
        Event::Copy,
    ]);
}

#[test]
fn a_project_that_is_deleted_again_during_a_reconciliation_is_recovered_again() {
    run(&[
        Event::Calls(7),
        Event::CrashIn(9),
        Event::Calls(1),
        Event::Calls(4),
        Event::Drift(Drift::ProjectDeleted),
        Event::Calls(4),
        Event::Drift(Drift::ProjectDeleted),
    ]);
}

#[test]
fn a_setting_that_changes_in_neon_during_an_update_is_corrected() {
    run(&[
        Event::Calls(7),
        Event::Calls(1),
        Event::Calls(6),
        Event::Drift(Drift::ProjectRenamed),
        Event::Edit(Edit::MaxQuarters(1)),
        Event::Calls(4),
    ]);
}

#[test]
fn settings_are_sent_again_after_the_project_was_recovered() {
    run(&[
        Event::Calls(7),
        Event::Calls(1),
        Event::Calls(1),
        Event::Cluster(Outcome::Answered),
        Event::Edit(Edit::DisplayName(true)),
        Event::Calls(2),
        Event::Calls(1),
        Event::Drift(Drift::ProjectDeleted),
        Event::Calls(7),
    ]);
}

#[test]
fn a_tenant_restored_from_before_its_finalizer_can_be_deleted_again() {
    run(&[
        Event::Backup,
        Event::Calls(1),
        Event::Calls(6),
        Event::Calls(1),
        Event::RestoreStatus,
        Event::Calls(1),
        Event::Delete,
        Event::Calls(9),
        Event::Edit(Edit::Retain(true)),
        Event::Calls(1),
        Event::RestoreTenant,
        Event::Delete,
    ]);
}
