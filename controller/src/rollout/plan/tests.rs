use crds::{RolloutPlan, TenantClass};
use kube::ResourceExt as _;
use serde_json::json;

use super::*;
use crate::identity::TenantUid;
use crate::migrations::MigrationSet;
use crate::rollout::observe::Member;
use crate::schema_assignment::Place;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn content(versions: i64) -> MigrationSet {
    let files = (1..=versions).map(|n| (format!("{n}_step.sql"), format!("select {n}")));
    MigrationSet::from_files(files).unwrap()
}

fn class() -> Arc<TenantClass> {
    let class = json!({
        "apiVersion": "dbpertenant.dev/v1alpha1",
        "kind": "TenantClass",
        "metadata": { "name": "standard", "uid": "class-uid" },
        "spec": {
            "neon": { "apiKeySecretRef": { "name": "neon" } },
            "rollout": { "soakSeconds": 7 },
        },
    });
    Arc::new(serde_json::from_value(class).unwrap())
}

fn observed(content: Option<MigrationSet>, rollouts: Vec<Arc<SchemaRollout>>) -> ObservedRollouts {
    ObservedRollouts {
        now: at(0),
        class: class(),
        content,
        rollouts,
        members: Vec::new(),
        limit: None,
        use_unknown_from: None,
        plan: None,
    }
}

fn rollout(revision: i64, versions: i64, phase: Option<RolloutPhase>) -> Arc<SchemaRollout> {
    let before = observed(Some(content(versions)), Vec::new());
    let RolloutStep::Create(mut rollout) = plan(&before, &|_| Vec::new()) else {
        panic!("no rollout");
    };
    rollout.spec.revision = revision;
    rollout.metadata.name = Some(format!("standard-r{revision}"));
    rollout.metadata.generation = Some(1);
    rollout.status = phase.map(|phase| SchemaRolloutStatus {
        phase: Some(phase),
        observed_generation: Some(1),
        ..SchemaRolloutStatus::default()
    });
    Arc::new(rollout)
}

fn next(observed: &ObservedRollouts) -> RolloutStep {
    plan(observed, &|failed| {
        let failure = |(namespace, name): &(&str, &str)| RolloutFailure {
            namespace: (*namespace).to_owned(),
            name: (*name).to_owned(),
            reason: "MigrationFailed".to_owned(),
            message: String::new(),
        };
        failed.iter().map(failure).collect()
    })
}

fn member(index: u64, state: MemberState) -> Member {
    Member {
        uid: TenantUid::parse(&format!("00000000-0000-0000-0000-{index:012}")).unwrap(),
        admitted: false,
        place: Place::parse(&format!("{:x}", (1_u64 << 62) + index)).unwrap(),
        state,
        begun: false,
        maybe_retried: false,
        rolled_back: false,
        namespace: "acme".into(),
        name: format!("t{index}").into(),
    }
}

/// The name of the rollout and the phase that the step writes.
fn written(step: RolloutStep) -> (String, RolloutPhase) {
    match step {
        RolloutStep::WriteStatus(rollout, status) => (rollout.name_any(), status.phase.unwrap()),
        other => panic!("not a status: {other:?}"),
    }
}

const COMPLETED: Option<RolloutPhase> = Some(RolloutPhase::Completed);

#[test]
fn a_new_content_becomes_a_rollout_with_a_copy_of_the_settings() {
    let old = rollout(4, 1, COMPLETED);
    let RolloutStep::Create(created) = next(&observed(Some(content(2)), vec![old])) else {
        panic!("no rollout");
    };
    let digest = content(2).digest().to_owned();
    let short = &digest["sha256:".len()..][..8];
    assert_eq!(created.name_any(), format!("standard-2-{short}"));
    assert_eq!(created.spec.revision, 5);
    assert_eq!(created.spec.target.versions, [1, 2]);
    assert_eq!(created.spec.target.digest, digest);
    assert_eq!(created.spec.rollout.soak_seconds, 7);
    let owner = &created.owner_references()[0];
    assert_eq!((&*owner.name, &*owner.uid), ("standard", "class-uid"));
}

#[test]
fn a_content_that_comes_back_gets_a_rollout_of_another_name() {
    let first = next(&observed(Some(content(1)), Vec::new()));
    let RolloutStep::Create(first) = first else {
        panic!("no rollout");
    };
    let name = first.name_any();
    let history = vec![Arc::new(first), rollout(2, 2, None)];
    let RolloutStep::Create(again) = next(&observed(Some(content(1)), history)) else {
        panic!("no rollout");
    };
    assert_eq!(again.name_any(), format!("{name}-r3"));
}

#[test]
fn nothing_happens_without_usable_migrations_or_for_a_class_that_is_being_deleted() {
    let wait = RolloutStep::Wait(None);
    assert_eq!(next(&observed(None, vec![rollout(1, 1, None)])), wait);
    let unmanaged = Some(MigrationSet::unmanaged());
    assert_eq!(next(&observed(unmanaged, Vec::new())), wait);
    let mut deleted = observed(Some(content(1)), Vec::new());
    Arc::make_mut(&mut deleted.class)
        .metadata
        .deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    assert_eq!(next(&deleted), wait);
}

#[test]
fn a_rollout_is_superseded_by_a_newer_one_or_by_a_class_without_migrations() {
    let running = rollout(1, 1, Some(RolloutPhase::Canary));
    let newer = rollout(2, 2, Some(RolloutPhase::Canary));
    let step = next(&observed(Some(content(2)), vec![running.clone(), newer]));
    let superseded = |name: &str| (name.to_owned(), RolloutPhase::Superseded);
    assert_eq!(written(step), superseded("standard-r1"));
    let unmanaged = Some(MigrationSet::unmanaged());
    let step = next(&observed(unmanaged, vec![running]));
    assert_eq!(written(step), superseded("standard-r1"));
}

#[test]
fn ten_rollouts_are_kept_and_the_newest_completed_one_among_them() {
    let mut rollouts = vec![rollout(1, 1, COMPLETED)];
    rollouts.extend((2..11).map(|n| rollout(n, n, Some(RolloutPhase::Superseded))));
    rollouts.push(rollout(11, 11, Some(RolloutPhase::Canary)));
    let step = next(&observed(Some(content(11)), rollouts));
    let RolloutStep::Delete(deleted) = step else {
        panic!("no deletion: {step:?}");
    };
    assert_eq!(deleted.name_any(), "standard-r2");
}

#[test]
fn the_controller_pauses_a_rollout_once_and_reports_the_failures() {
    let running = rollout(1, 1, Some(RolloutPhase::Canary));
    let mut observed = observed(Some(content(1)), vec![running]);
    observed.members = vec![
        member(0, MemberState::Failed),
        member(1, MemberState::Pending),
    ];
    let write = |observed: &mut ObservedRollouts| {
        let RolloutStep::WriteStatus(written, status) = next(observed) else {
            panic!("no status");
        };
        let mut written = (*written).clone();
        written.status = Some(status.clone());
        observed.rollouts = vec![Arc::new(written)];
        status
    };
    let status = write(&mut observed);
    assert_eq!(status.phase, Some(RolloutPhase::Paused));
    assert_eq!(status.failures.len(), 1);
    assert_eq!(status.failures[0].name, "t0");
    let RolloutStep::Pause(paused) = next(&observed) else {
        panic!("not paused");
    };
    let mut paused = (*paused).clone();
    paused.spec.paused = true;
    observed.rollouts = vec![Arc::new(paused)];
    // The failures up to now are tolerated after the pause.
    let status = write(&mut observed);
    assert_eq!(status.phase, Some(RolloutPhase::Paused));
    let ready = crds::find_condition(&status.conditions, crds::ConditionType::Ready).unwrap();
    assert_eq!(ready.reason, crds::Reason::FailureBudgetExceeded.as_str());
    assert_eq!(next(&observed), RolloutStep::Wait(None));
}

#[test]
fn a_running_rollout_is_evaluated_again_when_time_changes_something() {
    let running = rollout(1, 1, None);
    let mut observed = observed(Some(content(1)), vec![running]);
    let status_of = |observed: &ObservedRollouts| match next(observed) {
        RolloutStep::WriteStatus(rollout, status) => {
            let mut rollout = (*rollout).clone();
            rollout.status = Some(status);
            vec![Arc::new(rollout)]
        }
        other => panic!("not a status: {other:?}"),
    };
    observed.members = vec![
        member(0, MemberState::Pending),
        member(1, MemberState::Pending),
    ];
    observed.rollouts = status_of(&observed);
    let step = next(&observed);
    assert_eq!(step, RolloutStep::Wait(Some(at(10))));
    observed.members[0].state = MemberState::Updated;
    observed.rollouts = status_of(&observed);
    // The soak time of the class is 7 s.
    assert_eq!(next(&observed), RolloutStep::Wait(Some(at(7))));
}

#[test]
fn a_rollout_outside_its_window_is_evaluated_when_the_window_opens() {
    let mut running = (*rollout(1, 1, None)).clone();
    let window = json!({"timeZone": "UTC", "from": "09:00", "to": "17:00"});
    running.spec.rollout.window = Some(serde_json::from_value(window).unwrap());
    let mut observed = observed(Some(content(1)), vec![Arc::new(running)]);
    observed.members = vec![member(0, MemberState::Pending)];
    let RolloutStep::WriteStatus(rollout, status) = next(&observed) else {
        panic!("no status");
    };
    assert_eq!(status.phase, Some(RolloutPhase::Waiting));
    let mut written = (*rollout).clone();
    written.status = Some(status);
    observed.rollouts = vec![Arc::new(written)];
    let opens = Some(at(9 * 3_600));
    assert_eq!(next(&observed), RolloutStep::Wait(opens));
}

#[test]
fn a_rollout_that_has_ended_records_an_edit_and_nothing_else() {
    let ended = rollout(1, 1, COMPLETED);
    let mut observed = observed(Some(content(1)), vec![ended.clone()]);
    assert_eq!(next(&observed), RolloutStep::Wait(None));
    let mut edited = (*ended).clone();
    edited.metadata.generation = Some(2);
    observed.rollouts = vec![Arc::new(edited)];
    let RolloutStep::WriteStatus(_, status) = next(&observed) else {
        panic!("no status");
    };
    assert_eq!(status.observed_generation, Some(2));
    assert_eq!(status.phase, COMPLETED);
}

#[test]
fn the_plan_is_recorded_once() {
    let running = rollout(1, 1, None);
    let mut observed = observed(Some(content(1)), vec![running]);
    let planned = |files: i64| RolloutPlan {
        migrations: files,
        ..RolloutPlan::default()
    };
    observed.plan = Some(planned(1));
    observed.members = vec![
        member(0, MemberState::Pending),
        member(1, MemberState::Pending),
    ];
    let RolloutStep::WriteStatus(written, status) = next(&observed) else {
        panic!("no status");
    };
    assert_eq!(status.plan, Some(planned(1)));
    let mut written = (*written).clone();
    written.status = Some(status);
    observed.rollouts = vec![Arc::new(written)];
    observed.members[0].state = MemberState::Updated;
    observed.plan = None;
    let RolloutStep::WriteStatus(_, status) = next(&observed) else {
        panic!("no status");
    };
    assert_eq!(status.plan, Some(planned(1)));
}

#[test]
fn a_rollout_of_which_all_tenants_are_asleep_is_evaluated_at_its_wake_deadline() {
    let mut running = (*rollout(1, 1, None)).clone();
    running.spec.rollout.wake = crds::Wake::OnUse;
    running.spec.rollout.wake_deadline_seconds = 1_000;
    running.status.get_or_insert_default().wave = Some(2);
    let mut observed = observed(Some(content(1)), vec![Arc::new(running)]);
    observed.members = vec![
        member(0, MemberState::Updated),
        member(1, MemberState::Asleep),
    ];
    let RolloutStep::WriteStatus(rollout, status) = next(&observed) else {
        panic!("no status");
    };
    assert_eq!(status.phase, Some(RolloutPhase::Waiting));
    assert_eq!((status.asleep, status.pending), (1, 0));
    let mut written = (*rollout).clone();
    written.status = Some(status);
    observed.rollouts = vec![Arc::new(written)];
    assert_eq!(next(&observed), RolloutStep::Wait(Some(at(1_000))));
}
