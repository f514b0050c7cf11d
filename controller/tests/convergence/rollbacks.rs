//! Migrations that fail for good after the first of two files, in a class whose rollouts restore the
//! databases.

use crds::{
    BackupStatus, OnFailure, Reason, RolloutBackup, RolloutSettings, TenantStatus, annotations,
};
use kube::ResourceExt as _;

use crate::events::Event;
use crate::simulate;
use crate::simulation::Simulation;
use crate::world::{Outcome, SimulatedProject};

const BACKUPS: [RolloutBackup; 2] = [RolloutBackup::Branch, RolloutBackup::Snapshot];
/// The version before the rollout.
const BEFORE: i64 = 3;
/// More calls to Neon and to the database than a rollout to one Tenant makes.
const MAX_CALLS: usize = 20;

/// A Tenant whose class gets migrations up to `newest`, of which `broken` fails.
async fn begin(backup: RolloutBackup, newest: i64, broken: i64) -> Simulation {
    let mut simulation = Simulation::with_rollout(RolloutSettings {
        backup,
        on_failure: OnFailure::RestoreAndPause,
        ..RolloutSettings::default()
    });
    simulation.converge().await;
    let mut state = simulation.world.state();
    state.schema = newest;
    state.broken_migration = Some(broken);
    drop(state);
    simulation
}

fn status(simulation: &Simulation) -> TenantStatus {
    let state = simulation.world.state();
    let tenant = state.tenant.as_ref().expect("a Tenant");
    tenant.status.clone().expect("a status")
}

fn project(simulation: &Simulation) -> SimulatedProject {
    let mut state = simulation.world.state();
    state.recorded().expect("a recorded project").clone()
}

/// Checks that the database was restored this many times, that the failed states are kept, and that the
/// status says so.
fn check_restored(simulation: &Simulation, times: u32) {
    let (status, project) = (status(simulation), project(simulation));
    assert_eq!((project.schema, project.restores), (Some(BEFORE), times));
    let failed = project
        .branches
        .iter()
        .filter(|(branch, version)| branch.name.starts_with("failed-") && *version > Some(BEFORE));
    assert_eq!(failed.count(), usize::try_from(times).expect("a count"));
    let recorded = status.project.expect("a recorded project");
    let in_use = project.endpoint.branch_id.as_str();
    assert_eq!(recorded.branch_id.as_deref(), Some(in_use));
    let schema = status.schema.expect("a schema");
    assert_eq!(schema.version, Some(BEFORE));
    let restore = status.backup.and_then(|backup| backup.restore);
    assert!(restore.is_some_and(|restore| restore.restored_at.is_some()));
}

#[test]
fn a_crash_around_any_effect_of_a_restore_does_not_change_its_result() {
    for backup in BACKUPS {
        let run = |crash_in: &[u32]| {
            simulate(async {
                let mut simulation = begin(backup, BEFORE + 2, BEFORE + 2).await;
                simulation.world.state().crash_in.extend(crash_in);
                simulation.wait_until_stalled(Reason::MigrationFailed).await;
                check_restored(&simulation, 1);
                (simulation.end_state(), simulation.crashes())
            })
        };
        let (expected, _) = run(&[]);
        for point in 0.. {
            let (actual, crashes) = run(&[point]);
            assert_eq!(actual, expected, "{backup:?}, a crash at point {point}");
            if crashes == 0 {
                assert!(point > 10, "only {point} points at which to crash");
                break;
            }
        }
    }
}

#[test]
fn a_database_is_restored_once_whichever_response_is_lost() {
    for backup in BACKUPS {
        for outcome in [Outcome::Lost, Outcome::Refused] {
            for answered in 0..MAX_CALLS {
                simulate(async {
                    let mut simulation = begin(backup, BEFORE + 2, BEFORE + 2).await;
                    let mut outcomes = vec![Outcome::Answered; answered];
                    outcomes.push(outcome);
                    simulation.world.state().neon_outcomes.extend(outcomes);
                    simulation.wait_until_stalled(Reason::MigrationFailed).await;
                    check_restored(&simulation, 1);
                });
            }
        }
    }
}

#[test]
fn a_failure_that_changed_nothing_discards_nothing() {
    simulate(async {
        let mut simulation = begin(RolloutBackup::Branch, BEFORE + 1, BEFORE + 1).await;
        simulation.wait_until_stalled(Reason::MigrationFailed).await;
        let project = project(&simulation);
        assert_eq!((project.schema, project.restores), (Some(BEFORE), 0));
    });
}

#[test]
fn a_restored_database_gets_the_corrected_migrations() {
    for backup in BACKUPS {
        simulate(async {
            let mut simulation = begin(backup, BEFORE + 2, BEFORE + 2).await;
            simulation.wait_until_stalled(Reason::MigrationFailed).await;
            {
                let mut state = simulation.world.state();
                state.broken_migration = None;
                state.schema += 1;
            }
            simulation.converge().await;
            simulation.check();
            assert_eq!(project(&simulation).restores, 1);
        });
    }
}

#[test]
fn a_restored_database_is_migrated_again_only_on_request_and_with_a_new_backup() {
    for backup in BACKUPS {
        simulate(async {
            let mut simulation = begin(backup, BEFORE + 2, BEFORE + 2).await;
            simulation.wait_until_stalled(Reason::MigrationFailed).await;
            simulation.wait_until_stalled(Reason::MigrationFailed).await;
            check_restored(&simulation, 1);
            simulation.world.state().edit_tenant(|tenant| {
                tenant
                    .annotations_mut()
                    .insert(annotations::RECONCILE_AT.to_owned(), "again".to_owned());
            });
            simulation.wait_until_stalled(Reason::MigrationFailed).await;
            simulation.wait_until_stalled(Reason::MigrationFailed).await;
            check_restored(&simulation, 2);
            let backup = status(&simulation).backup.expect("a backup");
            assert_eq!(backup.attempt, 2);
        });
    }
}

/// Lets the controller make one call after the other until this holds for the recorded backup.
async fn wait_for_backup(simulation: &mut Simulation, condition: fn(&BackupStatus) -> bool) {
    for _ in 0..MAX_CALLS {
        if status(simulation).backup.as_ref().is_some_and(condition) {
            return;
        }
        simulation.handle(&Event::Calls(1)).await;
    }
    panic!("{:?}", status(simulation).backup);
}

#[test]
fn a_backup_of_more_than_an_hour_ago_is_not_restored() {
    for backup in BACKUPS {
        for (minutes, restores) in [(59, 1), (61, 0)] {
            simulate(async {
                let mut simulation = begin(backup, BEFORE + 2, BEFORE + 2).await;
                wait_for_backup(&mut simulation, |backup| backup.id().is_some()).await;
                simulation.handle(&Event::Suspended(minutes * 60)).await;
                simulation.wait_until_stalled(Reason::MigrationFailed).await;
                let project = project(&simulation);
                assert_eq!(project.restores, restores, "{minutes} minutes");
            });
        }
    }
}

#[test]
fn a_restore_that_is_delayed_by_more_than_an_hour_is_abandoned() {
    for backup in BACKUPS {
        simulate(async {
            let mut simulation = begin(backup, BEFORE + 2, BEFORE + 2).await;
            wait_for_backup(&mut simulation, |backup| backup.restore.is_some()).await;
            simulation.handle(&Event::Suspended(61 * 60)).await;
            simulation.wait_until_stalled(Reason::MigrationFailed).await;
            simulation.wait_until_stalled(Reason::MigrationFailed).await;
            let project = project(&simulation);
            assert_eq!((project.schema, project.restores), (Some(BEFORE + 1), 0));
            let restore = status(&simulation).backup.and_then(|backup| backup.restore);
            assert!(restore.is_some_and(|restore| restore.abandoned_at.is_some()));
        });
    }
}

#[test]
fn a_database_whose_backup_was_deleted_keeps_what_it_has() {
    for backup in BACKUPS {
        simulate(async {
            let mut simulation = begin(backup, BEFORE + 2, BEFORE + 2).await;
            wait_for_backup(&mut simulation, |backup| backup.restore.is_some()).await;
            {
                let mut state = simulation.world.state();
                let project = state.recorded().expect("a recorded project");
                project.branches.clear();
                project.snapshots.clear();
            }
            simulation.wait_until_stalled(Reason::MigrationFailed).await;
            let project = project(&simulation);
            assert_eq!((project.schema, project.restores), (Some(BEFORE + 1), 0));
            let schema = status(&simulation).schema.expect("a schema");
            assert_eq!(schema.version, Some(BEFORE + 1));
        });
    }
}
