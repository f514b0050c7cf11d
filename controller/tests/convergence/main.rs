//! Runs the shipped reconcilers against a simulated Neon account, cluster and clock.
//!
//! Whatever happens, and wherever the process crashes: once nothing else happens, a Tenant that
//! exists has exactly one project with everything that its spec asks for, and a deleted Tenant has
//! left nothing behind.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a violated expectation fails the test"
)]

mod accounts;
mod cluster;
mod databases;
mod events;
mod neon;
mod process;
mod regressions;
mod restores;
mod rollbacks;
mod simulation;
mod world;

use std::future::Future;
use std::time::Duration;

use crds::{Reason, annotations};
use jiff::SignedDuration;
use kube::ResourceExt as _;
use neon_client::ids::OrgId;
use proptest::prelude::*;
use serde_json::Value;

use events::{Drift, Edit, Event, creation_outcomes, events, outcomes};
use simulation::Simulation;
use world::{Outcome, SimulatedProject, organization};

/// Runs of each property.
const CASES: u32 = 500;
/// The same with `TEST_LONG`.
const LONG_CASES: u32 = 10_000;
/// More calls than any reconciliation makes.
const ALL_CALLS: Event = Event::Calls(u8::MAX);
/// The first reconciliation ends when it knows the account, which the class then records.
const RECORDS_ACCOUNT: Event = ALL_CALLS;

/// How long Neon's proxy repeats an error of the control plane.
const PROXY_CACHE: SignedDuration = SignedDuration::from_secs(30);

/// Runs a simulation on simulated time.
fn simulate<T>(run: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(run)
}

/// Applies the events, lets the controller converge, and checks the result.
fn run(events: &[Event]) {
    simulate(async {
        let mut simulation = Simulation::new();
        for event in events {
            simulation.handle(event).await;
        }
        simulation.remove_faults();
        simulation.converge().await;
        simulation.check();
    });
}

fn cases() -> u32 {
    if std::env::var_os("TEST_LONG").is_some() {
        LONG_CASES
    } else {
        CASES
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tenant_converges_after_any_events(events in events()) {
        run(&events);
    }

    /// Neon takes longer than the verification window, so two projects exist for a while.
    #[test]
    fn a_duplicate_that_appears_after_the_verification_window_waits_for_a_user(
        outcomes in proptest::collection::vec((0..900_u16).prop_map(Outcome::Late), 1..4),
        seconds in proptest::collection::vec(0..200_u8, 0..8),
        crash in proptest::option::of(0..40_u8),
    ) {
        let max_lateness = Duration::from_mins(15);
        simulate(async {
            let mut simulation = Simulation::new();
            simulation.justify(Reason::DuplicateProject);
            {
                let mut state = simulation.world.state();
                state.max_lateness = SignedDuration::try_from(max_lateness).expect("a short time");
                state.creation_outcomes.extend(outcomes);
                state.crash_in.extend(crash.map(u32::from));
            }
            for seconds in seconds {
                simulation.handle(&ALL_CALLS).await;
                simulation.handle(&Event::Seconds(seconds)).await;
            }
            // Until the last project has appeared.
            tokio::time::advance(max_lateness).await;
            simulation.remove_faults();
            simulation.converge().await;
            simulation.check();
        });
    }

    #[test]
    fn a_tenant_deleted_at_any_time_leaves_nothing_behind(
        before in 0..40_u8,
        crash in 0..40_u8,
        outcomes in proptest::collection::vec(outcomes(), 0..6),
        creations in proptest::collection::vec(creation_outcomes(), 0..3),
        seconds in 0..150_u8,
    ) {
        let mut events: Vec<Event> = outcomes.into_iter().map(Event::Neon).collect();
        events.extend(creations.into_iter().map(Event::Creation));
        events.extend([
            Event::CrashIn(crash),
            Event::Calls(before),
            Event::Seconds(seconds),
            Event::Delete,
            ALL_CALLS,
        ]);
        run(&events);
    }
}

#[test]
fn a_tenant_without_faults_becomes_ready() {
    run(&[ALL_CALLS]);
}

#[test]
fn a_retained_project_outlives_its_tenant() {
    simulate(async {
        let mut simulation = Simulation::new();
        simulation.converge().await;
        for event in [Event::Edit(Edit::Retain(true)), Event::Delete] {
            simulation.handle(&event).await;
        }
        simulation.converge().await;
        let state = simulation.world.state();
        assert!(state.tenant.is_none());
        assert_eq!(state.listed().len(), 1);
    });
}

#[test]
fn a_project_that_neon_lists_by_its_id_alone_is_read_and_does_not_delay_new_tenants() {
    simulate(async {
        let mut simulation = Simulation::new();
        simulation.world.state().add_stranger();
        simulation.converge().await;
        simulation.check();
    });
}

/// Deletes the Tenant while no process has seen its project in a listing, after `change`.
async fn delete_unseen(change: impl FnOnce(&mut SimulatedProject)) -> Simulation {
    let mut simulation = Simulation::new();
    simulation.converge().await;
    for event in [Event::CrashIn(0), Event::Delete] {
        simulation.handle(&event).await;
    }
    {
        let mut state = simulation.world.state();
        change(state.recorded().expect("a recorded project"));
    }
    simulation.handle(&ALL_CALLS).await;
    assert_eq!(simulation.crashes(), 1);
    simulation
}

#[test]
fn a_project_that_the_account_has_never_shown_is_not_taken_for_deleted() {
    simulate(async {
        let mut simulation = delete_unseen(|project| {
            project.deleted = true;
            project.purged = true;
        })
        .await;
        simulation.wait_until_stalled(Reason::ProjectNotFound).await;
        assert!(simulation.world.state().tenant.is_some());
    });
}

#[test]
fn a_project_that_neon_can_recover_is_deleted() {
    simulate(async {
        let mut simulation = delete_unseen(|project| project.deleted = true).await;
        simulation.converge().await;
        assert!(simulation.world.state().tenant.is_none());
    });
}

/// Applies the stages, and lets the controller converge after each. Returns the result and the
/// number of crashes.
fn run_stages(stages: &[&[Event]], crash_in: &[u32]) -> (Value, u32) {
    simulate(async {
        let mut simulation = Simulation::new();
        simulation.world.state().crash_in.extend(crash_in);
        for stage in stages {
            for event in *stage {
                simulation.handle(event).await;
            }
            simulation.converge().await;
            simulation.check();
        }
        (simulation.end_state(), simulation.crashes())
    })
}

/// Runs the stages with a crash before and after each effect in turn. The result must be the same as
/// without a crash.
fn crash_around_every_effect(stages: &[&[Event]]) {
    let (expected, _) = run_stages(stages, &[]);
    for point in 0.. {
        let (actual, crashes) = run_stages(stages, &[point]);
        assert!(
            actual == expected,
            "a crash at point {point} changes the result from {expected:#} to {actual:#}"
        );
        if crashes == 0 {
            assert!(point > 10, "only {point} points at which to crash");
            break;
        }
    }
}

const CREATION: &[Event] = &[];

#[test]
fn a_crash_around_any_effect_of_a_life_does_not_change_its_result() {
    let edits = [
        Event::Edit(Edit::MaxQuarters(8)),
        Event::Edit(Edit::ActiveSeconds(2)),
        Event::Edit(Edit::DisplayName(true)),
        Event::Edit(Edit::SecretName(true)),
        Event::Edit(Edit::NewMigration),
    ];
    crash_around_every_effect(&[CREATION, &edits, &[Event::Delete]]);
}

#[test]
fn a_crash_around_any_effect_of_a_migration_with_a_backup_does_not_change_its_result() {
    crash_around_every_effect(&[CREATION, &[Event::Edit(Edit::NewMigration)]]);
}

#[test]
fn a_database_is_backed_up_once_before_a_rollout_migrates_it() {
    for outcome in [Outcome::Answered, Outcome::Refused, Outcome::Lost] {
        simulate(async {
            let mut simulation = Simulation::new();
            simulation.converge().await;
            simulation.handle(&Event::Edit(Edit::NewMigration)).await;
            simulation.handle(&Event::Neon(outcome)).await;
            simulation.converge().await;
            simulation.check();
            let mut state = simulation.world.state();
            let backup = state.tenant.as_ref().and_then(|tenant| {
                let status = tenant.status.as_ref()?;
                status.backup.as_ref()?.branch_id.clone()
            });
            let branches = &state.recorded().expect("a recorded project").branches;
            let [(branch, kept)] = branches.as_slice() else {
                panic!("not one backup: {branches:?}");
            };
            assert_eq!(backup.as_deref(), Some(branch.id.as_str()));
            assert_eq!(*kept, Some(3));
            assert!(branch.expires_at.is_some());
        });
    }
}

#[test]
fn a_database_whose_status_was_lost_is_backed_up_before_its_next_migration() {
    simulate(async {
        let mut simulation = Simulation::new();
        simulation.converge().await;
        simulation.handle(&Event::Drift(Drift::StatusLost)).await;
        simulation.handle(&Event::Edit(Edit::NewMigration)).await;
        simulation.converge().await;
        simulation.check();
        let mut state = simulation.world.state();
        let branches = &state.recorded().expect("a recorded project").branches;
        // The schema is unknown, so that the database is backed up before it is read as well.
        let (newest, _) = branches.last().expect("a backup");
        assert!(newest.name.starts_with("before-default-4-"), "{branches:?}");
    });
}

#[test]
fn a_crash_around_any_effect_does_not_change_the_result_of_a_second_life() {
    let retain = [Event::Edit(Edit::Retain(true)), Event::Delete];
    // The Secret of the first Tenant still exists when the second one is applied.
    crash_around_every_effect(&[
        CREATION,
        &[Event::Delete],
        &[Event::Apply],
        &retain,
        &[Event::Apply],
    ]);
}

#[test]
fn a_crash_around_any_effect_does_not_change_the_result_of_taking_a_project_back() {
    let retain = [
        Event::Edit(Edit::AdoptExisting),
        Event::Edit(Edit::Retain(true)),
        Event::Delete,
    ];
    crash_around_every_effect(&[CREATION, &retain, &[Event::Apply], &[Event::Delete]]);
}

#[test]
fn a_crash_around_any_effect_of_an_unanswered_creation_does_not_change_its_result() {
    for outcome in [
        Outcome::Refused,
        Outcome::Lost,
        Outcome::Late(7),
        Outcome::Late(100),
    ] {
        crash_around_every_effect(&[&[Event::Creation(outcome)], &[Event::Delete]]);
        crash_around_every_effect(&[&[Event::Creation(outcome), ALL_CALLS, Event::Delete]]);
    }
}

#[test]
fn a_crash_around_any_effect_of_a_correction_does_not_change_its_result() {
    for drift in Drift::ALL {
        crash_around_every_effect(&[CREATION, &[Event::Drift(drift)]]);
    }
}

#[test]
fn two_crashes_do_not_change_the_result_of_a_creation() {
    let stages: &[&[Event]] = &[&[Event::Creation(Outcome::Lost)]];
    let (expected, _) = run_stages(stages, &[]);
    for first in 0.. {
        for second in 0.. {
            let (actual, crashes) = run_stages(stages, &[first, second]);
            assert!(
                actual == expected,
                "crashes at points {first} and {second} change the result from {expected:#} to {actual:#}"
            );
            match crashes {
                0 => return,
                1 => break,
                _ => {}
            }
        }
    }
}

#[test]
fn the_secret_of_a_recovered_project_is_written_again() {
    simulate(async {
        let mut simulation = Simulation::new();
        simulation.converge().await;
        {
            let mut state = simulation.world.state();
            let project = state.recorded().expect("a recorded project");
            "changed".clone_into(&mut project.password);
            project.deleted = true;
        }
        simulation.converge().await;
        simulation.check();
    });
}

#[test]
fn a_password_that_neon_reveals_is_not_reset_while_the_proxy_may_not_know_its_role() {
    simulate(async {
        let mut simulation = Simulation::new();
        simulation.world.state().unknown_roles = 3;
        simulation.converge().await;
        simulation.check();
        let mut state = simulation.world.state();
        assert_eq!(state.unknown_roles, 0, "connections were refused");
        let project = state.recorded().expect("a recorded project");
        assert_eq!(project.password, "password-1", "the password was reset");
    });
}

#[test]
fn a_quota_that_the_proxy_still_reports_as_exceeded_delays_a_tenant_only_until_the_proxy_forgets_it()
 {
    simulate(async {
        let mut simulation = Simulation::new();
        simulation.justify(Reason::QuotaExceeded);
        let began = {
            let mut state = simulation.world.state();
            state.quota_refused_until = state.now() + PROXY_CACHE;
            state.now()
        };
        simulation.converge().await;
        simulation.check();
        let elapsed = simulation.world.state().now().duration_since(began);
        assert!(
            elapsed > PROXY_CACHE && elapsed < PROXY_CACHE * 3,
            "{elapsed:#}"
        );
    });
}

#[test]
fn a_project_that_was_moved_to_another_organization_is_used_again_once_it_is_back() {
    simulate(async {
        let mut simulation = Simulation::new();
        simulation.converge().await;
        let move_to = |simulation: &Simulation, organization: OrgId| {
            let mut state = simulation.world.state();
            let project = state.recorded().expect("a recorded project");
            project.project.org_id = Some(organization);
        };
        move_to(&simulation, another_organization());
        simulation.wait_until_stalled(Reason::AccountMismatch).await;
        move_to(&simulation, organization());
        simulation.converge().await;
        simulation.check();
    });
}

#[test]
fn a_project_that_neon_created_in_another_organization_is_recorded_and_not_used() {
    simulate(async {
        let mut simulation = Simulation::new();
        simulation.world.state().creates_in = another_organization();
        simulation.wait_until_stalled(Reason::AccountMismatch).await;
        {
            let mut state = simulation.world.state();
            assert_eq!(state.projects.len(), 1);
            let project = state.recorded().expect("a recorded project");
            assert_eq!(project.schema, None);
            project.project.org_id = Some(organization());
        }
        simulation.converge().await;
        simulation.check();
        assert_eq!(simulation.world.state().projects.len(), 1);
    });
}

#[test]
fn an_annotation_without_effect_is_reported_once_per_change() {
    simulate(async {
        let mut simulation = Simulation::new();
        for value in ["yes", "True"] {
            simulation.world.state().edit_tenant(|tenant| {
                let annotations = tenant.annotations_mut();
                annotations.insert(annotations::ORPHAN.to_owned(), value.to_owned());
            });
            for _ in 0..5 {
                simulation.handle(&ALL_CALLS).await;
            }
            assert_eq!(simulation.count_events(Reason::InvalidAnnotation), 1);
        }
    });
}

fn another_organization() -> OrgId {
    "org-another-3".parse().expect("a valid id")
}
