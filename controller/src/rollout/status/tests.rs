use std::path::PathBuf;

use crds::FindingCounts;
use serde_json::{Value, json};

use super::*;
use crate::schema_assignment::Place;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn rollout(spec: &Value) -> SchemaRollout {
    let mut object = json!({
        "apiVersion": "dbpertenant.dev/v1alpha1",
        "kind": "SchemaRollout",
        "metadata": { "name": "standard-2-d", "generation": 1 },
        "spec": {
            "className": "standard",
            "revision": 2,
            "target": { "version": 2, "digest": "d", "versions": [1, 2] },
        },
    });
    let fields = object["spec"].as_object_mut().unwrap();
    fields.extend(spec.as_object().unwrap().clone());
    serde_json::from_value(object).unwrap()
}

fn members(states: &[MemberState]) -> Vec<Member> {
    let member = |(index, state): (usize, &MemberState)| Member {
        uid: TenantUid::parse(&format!("00000000-0000-0000-0000-{index:012}")).unwrap(),
        admitted: false,
        place: Place::parse(&format!("{:x}", (1_u64 << 62) + index as u64)).unwrap(),
        state: *state,
        begun: false,
        maybe_retried: false,
        rolled_back: false,
        namespace: "acme".into(),
        name: format!("t{index}").into(),
    };
    states.iter().enumerate().map(member).collect()
}

/// The rollout after a reconciliation.
fn reconciled(mut rollout: SchemaRollout, states: &[MemberState], second: i64) -> SchemaRollout {
    let input = StatusInput {
        failures: failures(states),
        now: at(second),
        ..StatusInput::default()
    };
    rollout.status = Some(build_status(&rollout, &members(states), input));
    rollout
}

fn failures(states: &[MemberState]) -> Vec<RolloutFailure> {
    let failed = states
        .iter()
        .enumerate()
        .filter(|(_, state)| **state == MemberState::Failed);
    failed
        .map(|(index, _)| RolloutFailure {
            namespace: "acme".to_owned(),
            name: format!("t{index}"),
            reason: Reason::MigrationFailed.to_string(),
            message: "<message of the Tenant>".to_owned(),
        })
        .collect()
}

fn summary(rollout: &SchemaRollout) -> (RolloutPhase, Vec<String>) {
    let status = rollout.status.as_ref().unwrap();
    let is_true = status.conditions.iter().filter(|one| one.status == "True");
    let mut conditions: Vec<String> = is_true.map(|one| one.type_.clone()).collect();
    conditions.sort_unstable();
    (status.phase.unwrap(), conditions)
}

use MemberState::{Asleep, Failed, Pending, Skipped, Updated};

#[test]
fn each_phase_has_its_conditions() {
    let new = rollout(&json!({}));
    let manual = rollout(&json!({"rollout": {"approval": "Manual"}}));
    let running = |states: &[MemberState]| reconciled(new.clone(), states, 10);
    let cases = [
        (
            running(&[Pending, Pending]),
            RolloutPhase::Canary,
            "Reconciling",
        ),
        (
            running(&[Updated, Pending]),
            RolloutPhase::Soaking,
            "Reconciling",
        ),
        (
            reconciled(running(&[Updated, Pending]), &[Updated, Pending], 1_000),
            RolloutPhase::Progressing,
            "Reconciling",
        ),
        (
            running(&[Updated, Updated]),
            RolloutPhase::Completed,
            "Ready",
        ),
        (
            running(&[Updated, Skipped, Failed]),
            RolloutPhase::Paused,
            "Stalled",
        ),
        (
            reconciled(manual.clone(), &[Pending], 10),
            RolloutPhase::AwaitingApproval,
            "Stalled",
        ),
        (
            reconciled(rollout(&json!({"paused": true})), &[Pending], 10),
            RolloutPhase::Paused,
            "Stalled",
        ),
    ];
    for (rollout, phase, condition) in cases {
        assert_eq!(summary(&rollout), (phase, vec![condition.to_owned()]));
    }
}

#[test]
fn a_manual_rollout_starts_when_it_is_approved() {
    let manual = json!({"rollout": {"approval": "Manual"}});
    let waiting = reconciled(rollout(&manual), &[Pending, Pending], 10);
    let status = waiting.status.as_ref().unwrap();
    assert_eq!(
        (&status.reach, &status.started_at, status.wave),
        (&None, &None, None)
    );
    let mut approved = waiting;
    approved.spec.approved = true;
    let started = reconciled(approved, &[Pending, Pending], 20);
    assert_eq!(summary(&started).0, RolloutPhase::Canary);
    assert!(started.status.as_ref().unwrap().reach.is_some());
    // An approval cannot be taken back; pausing is the way to stop.
    let mut revoked = started;
    revoked.spec.approved = false;
    assert_eq!(
        summary(&reconciled(revoked, &[Pending, Pending], 30)).0,
        RolloutPhase::Canary
    );
}

#[test]
fn the_first_rollout_of_a_class_needs_no_approval_if_it_brings_nothing() {
    let manual = rollout(&json!({"rollout": {"approval": "Manual"}}));
    let phase = |is_first, states: &[MemberState]| {
        let input = StatusInput {
            is_first,
            now: at(10),
            ..StatusInput::default()
        };
        build_status(&manual, &members(states), input).phase
    };
    assert_eq!(phase(true, &[]), Some(RolloutPhase::Completed));
    assert_eq!(phase(true, &[Updated]), Some(RolloutPhase::Completed));
    assert_eq!(
        phase(true, &[Pending]),
        Some(RolloutPhase::AwaitingApproval)
    );
    assert_eq!(phase(false, &[]), Some(RolloutPhase::AwaitingApproval));
}

#[test]
fn a_rollout_that_waits_for_an_approval_tells_what_the_linter_found() {
    let manual = rollout(&json!({"rollout": {"approval": "Manual"}}));
    let message = |plan: Value| {
        let input = StatusInput {
            plan: Some(serde_json::from_value(plan).unwrap()),
            now: at(10),
            ..StatusInput::default()
        };
        let status = build_status(&manual, &members(&[Pending]), input);
        let ready = crds::find_condition(&status.conditions, ConditionType::Ready);
        ready.unwrap().message.clone()
    };
    let counts = json!({"findingCounts": {"errors": 2, "warnings": 1, "notes": 0}});
    assert!(message(counts).contains("errors 2, warnings 1, notes 0"));
    let none = json!({"findingCounts": {"errors": 0, "warnings": 0, "notes": 0}});
    assert!(message(none).contains("found nothing"));
    assert!(!message(json!({})).contains("linter"));
}

#[test]
fn a_rollout_moves_only_within_its_window() {
    const HOUR: i64 = 3_600;
    let settings = json!({"rollout": {
        "waves": [], "soakSeconds": 0, "maxConcurrent": 1, "window": {"from": "09:00", "to": "17:00"},
    }});
    let before = reconciled(rollout(&settings), &[Pending, Pending], 8 * HOUR);
    assert_eq!(
        summary(&before),
        (RolloutPhase::Waiting, vec!["Reconciling".to_owned()])
    );
    let state = |rollout: &SchemaRollout| rollout.status.clone().unwrap();
    assert_eq!(
        (state(&before).reach, state(&before).started_at),
        (None, None)
    );
    let open = reconciled(before, &[Pending, Pending], 9 * HOUR);
    assert_eq!(summary(&open).0, RolloutPhase::Canary);
    let reach = state(&open).reach;
    assert!(reach.is_some() && state(&open).started_at.is_some());
    // The Tenant in progress finishes, and no other one starts.
    let closed = reconciled(open.clone(), &[Updated, Pending], 17 * HOUR);
    assert_eq!(summary(&closed).0, RolloutPhase::Waiting);
    assert_eq!(state(&closed).reach, reach);
    assert_eq!(state(&closed).updated, 1);
    // It still pauses if a Tenant fails, and it completes if none is left.
    let failed = reconciled(open.clone(), &[Failed, Pending], 17 * HOUR);
    assert_eq!(summary(&failed).0, RolloutPhase::Paused);
    let done = reconciled(open, &[Updated, Updated], 17 * HOUR);
    assert_eq!(summary(&done).0, RolloutPhase::Completed);
    let next_day = reconciled(closed, &[Updated, Pending], 33 * HOUR);
    assert_eq!(summary(&next_day).0, RolloutPhase::Progressing);
    assert!(state(&next_day).reach > reach);
}

#[test]
fn an_unknown_time_zone_waits_for_a_user() {
    let window = json!({"timeZone": "Europe/Atlantis", "from": "09:00", "to": "17:00"});
    let unknown = rollout(&json!({"rollout": {"window": window}}));
    let waiting = reconciled(unknown, &[Pending], 10);
    assert_eq!(
        summary(&waiting),
        (RolloutPhase::Waiting, vec!["Stalled".to_owned()])
    );
}

#[test]
fn a_failing_canary_is_over_budget_and_a_later_failure_within_it_is_not() {
    let settings = json!({"rollout": {
        "canary": {"count": 2}, "failureBudget": {"count": 1}, "soakSeconds": 0,
    }});
    let canary = reconciled(rollout(&settings), &[Pending; 8], 10);
    let mut states = [Pending; 8];
    states[1] = Failed;
    assert!(is_over_budget(&canary, &members(&states)));
    let later = reconciled(
        canary,
        &[
            Updated, Updated, Pending, Pending, Pending, Pending, Pending, Pending,
        ],
        20,
    );
    assert_eq!(later.status.as_ref().unwrap().wave, Some(1));
    states = [Updated; 8];
    states[3] = Failed;
    assert!(!is_over_budget(&later, &members(&states)));
    states[4] = Failed;
    assert!(is_over_budget(&later, &members(&states)));
}

#[test]
fn a_percentage_allows_at_least_one_failure_and_a_count_none() {
    let over = |budget: Value| {
        let settings = json!({"rollout": {"failureBudget": budget}});
        let mut later = rollout(&settings);
        later.status = Some(SchemaRolloutStatus {
            wave: Some(1),
            ..SchemaRolloutStatus::default()
        });
        is_over_budget(&later, &members(&[Updated, Failed, Pending]))
    };
    assert!(!over(json!({"percent": 0})));
    assert!(over(json!({"count": 0})));
}

#[test]
fn failures_before_a_rollout_is_continued_are_tolerated() {
    let new = reconciled(
        rollout(&json!({"rollout": {"canary": {"count": 3}}})),
        &[Pending; 3],
        10,
    );
    let failed = [Failed, Pending, Pending];
    assert!(is_over_budget(&new, &members(&failed)));
    let mut paused = new;
    paused.spec.paused = true;
    let paused = reconciled(paused, &failed, 20);
    let reason = |rollout: &SchemaRollout| {
        rollout.status.as_ref().unwrap().conditions[0]
            .reason
            .clone()
    };
    assert_eq!(reason(&paused), Reason::FailureBudgetExceeded.as_str());
    // The reason stays, although the failure is tolerated from now on.
    let paused = reconciled(paused, &failed, 30);
    assert_eq!(reason(&paused), Reason::FailureBudgetExceeded.as_str());
    let mut continued = paused;
    continued.spec.paused = false;
    assert!(!is_over_budget(&continued, &members(&failed)));
    let continued = reconciled(continued, &failed, 40);
    assert_eq!(summary(&continued).0, RolloutPhase::Canary);
    assert!(is_over_budget(
        &continued,
        &members(&[Failed, Failed, Pending])
    ));
    // A Tenant that recovered no longer makes room for another failure.
    let recovered = reconciled(continued, &[Updated, Pending, Pending], 50);
    assert!(is_over_budget(
        &recovered,
        &members(&[Updated, Failed, Pending])
    ));
}

#[test]
fn tolerated_failures_remain_tolerated_while_the_tenants_are_retried() {
    let settings = json!({"rollout": {"canary": {"count": 3}}, "paused": true});
    let mut rollout = reconciled(rollout(&settings), &[Failed, Failed, Pending], 10);
    let tolerated = |rollout: &SchemaRollout| rollout.status.as_ref().unwrap().tolerated_failures;
    assert_eq!(tolerated(&rollout), 2);
    let mut step = |paused: bool, states: &[MemberState], retried: &[usize]| {
        rollout.spec.paused = paused;
        let mut members = members(states);
        for index in retried {
            members[*index].maybe_retried = true;
        }
        let input = StatusInput {
            now: at(20),
            ..StatusInput::default()
        };
        rollout.status = Some(build_status(&rollout, &members, input));
        tolerated(&rollout)
    };
    let all = [Pending, Pending, Pending];
    assert_eq!(step(true, &all, &[0, 1]), 2);
    assert_eq!(step(false, &all, &[0, 1]), 2);
    assert_eq!(step(false, &[Failed, Failed, Pending], &[]), 2);
    // One of them has recovered.
    assert_eq!(step(false, &[Updated, Pending, Pending], &[1]), 1);
}

#[test]
fn only_tenants_that_have_begun_are_in_progress_while_no_other_may_begin() {
    let in_progress = |paused: bool| {
        let settings = json!({"rollout": {"strategy": "AllAtOnce"}});
        let mut rollout = reconciled(rollout(&settings), &[Pending; 3], 10);
        rollout.spec.paused = paused;
        let mut members = members(&[Pending; 3]);
        members[0].begun = true;
        let input = StatusInput {
            now: at(20),
            ..StatusInput::default()
        };
        build_status(&rollout, &members, input).in_progress
    };
    assert_eq!((in_progress(false), in_progress(true)), (3, 1));
}

#[test]
fn a_plan_without_findings_is_replaced() {
    let mut rollout = rollout(&json!({}));
    rollout.status = Some(SchemaRolloutStatus {
        plan: Some(RolloutPlan::default()),
        ..SchemaRolloutStatus::default()
    });
    let plan = RolloutPlan {
        finding_counts: Some(FindingCounts::default()),
        ..RolloutPlan::default()
    };
    let planned = |plan: Option<RolloutPlan>| {
        let input = StatusInput {
            plan,
            now: at(10),
            ..StatusInput::default()
        };
        build_status(&rollout, &members(&[Pending]), input).plan
    };
    assert_eq!(planned(Some(plan.clone())), Some(plan));
    assert_eq!(planned(None), Some(RolloutPlan::default()));
}

#[test]
fn a_paused_rollout_does_not_reach_further() {
    let running = reconciled(rollout(&json!({})), &[Pending; 4], 10);
    let reach = running.status.as_ref().unwrap().reach.clone();
    let mut paused = running;
    paused.spec.paused = true;
    let paused = reconciled(paused, &[Updated, Pending, Pending, Pending], 10_000);
    let status = paused.status.as_ref().unwrap();
    assert_eq!((&status.reach, status.updated), (&reach, 1));
}

#[test]
fn failures_do_not_stop_a_rollout_of_all_at_once() {
    let once = rollout(&json!({"rollout": {"strategy": "AllAtOnce"}}));
    let running = reconciled(once.clone(), &[Failed, Failed, Failed, Pending], 10);
    assert_eq!(summary(&running).0, RolloutPhase::Progressing);
    let failed = reconciled(running, &[Failed, Failed, Failed, Updated], 10);
    assert_eq!(
        summary(&failed),
        (RolloutPhase::Failed, vec!["Stalled".to_owned()])
    );
    let recovered = reconciled(failed, &[Updated, Updated, Failed, Updated], 10);
    assert_eq!(summary(&recovered).0, RolloutPhase::Completed);
}

#[test]
fn a_rollout_that_changes_nothing_keeps_its_status() {
    for states in [&[Pending, Pending][..], &[Updated, Pending], &[Failed], &[]] {
        let once = reconciled(rollout(&json!({})), states, 10);
        let twice = reconciled(once.clone(), states, 11);
        assert_eq!(once, twice);
    }
}

#[test]
fn a_lower_limit_lets_fewer_tenants_begin_and_is_reported() {
    let settings = json!({"rollout": {"canary": {"count": 8}, "maxConcurrent": 4}});
    let with_limit = |rollout: &SchemaRollout, states: &[MemberState], limit| {
        let input = StatusInput {
            limit,
            now: at(10),
            ..StatusInput::default()
        };
        let mut next = rollout.clone();
        next.status = Some(build_status(rollout, &members(states), input));
        next
    };
    let counts = |rollout: &SchemaRollout| {
        let status = rollout.status.as_ref().unwrap();
        (status.concurrency, status.in_progress)
    };
    let mut running = rollout(&settings);
    for (updated, limit, expected) in [
        (0, Some(2), (Some(2), 2)),
        (0, Some(9), (Some(4), 4)),
        // Those that have begun continue.
        (1, Some(1), (Some(1), 3)),
        (3, Some(1), (Some(1), 1)),
        (4, None, (Some(4), 4)),
        (8, None, (None, 0)),
    ] {
        let mut states = [Pending; 8];
        states[..updated].fill(Updated);
        running = with_limit(&running, &states, limit);
        assert_eq!(counts(&running), expected, "{updated} {limit:?}");
    }
}

#[test]
fn a_rollout_tells_what_waking_the_tenants_that_are_asleep_would_cost() {
    let settings = json!({"rollout": {"wake": "OnUse", "wakeDeadlineSeconds": 3_600, "waves": [], "soakSeconds": 0}});
    let canary = reconciled(rollout(&settings), &[Pending, Asleep, Asleep], 10);
    let state = |rollout: &SchemaRollout| rollout.status.clone().unwrap();
    assert_eq!(summary(&canary).0, RolloutPhase::Canary);
    assert_eq!(state(&canary).wake_by, Some(Time(at(3_610))));
    assert_eq!(state(&canary).admitted.len(), 1);
    let asleep = reconciled(canary, &[Updated, Asleep, Asleep], 20);
    assert_eq!(
        summary(&asleep),
        (RolloutPhase::Waiting, vec!["Reconciling".to_owned()])
    );
    let status = state(&asleep);
    let cost = WakeCost {
        cold_starts: 2,
        compute_seconds: 120,
    };
    assert_eq!((status.asleep, status.wake_cost), (2, Some(cost)));
    let ready = crds::find_condition(&status.conditions, ConditionType::Ready).unwrap();
    insta::assert_snapshot!(ready.message, @"1 of 3 Tenants have the new schema; 2 are asleep and are migrated when they are used, or at 1970-01-01T01:00:10Z at the latest; migrating them now would take 2 cold starts and 2 min of compute time");
    // The failure budget holds.
    let tolerated = reconciled(asleep.clone(), &[Failed, Asleep, Asleep], 30);
    assert_eq!(summary(&tolerated).0, RolloutPhase::Waiting);
    let failed = reconciled(asleep.clone(), &[Failed, Failed, Asleep], 30);
    assert_eq!(summary(&failed).0, RolloutPhase::Paused);
    let done = reconciled(asleep, &[Updated, Updated, Updated], 40);
    assert_eq!(summary(&done).0, RolloutPhase::Completed);
    assert_eq!((state(&done).asleep, state(&done).wake_cost), (0, None));
}

#[test]
fn a_rollout_for_tenants_that_are_asleep_needs_an_approval() {
    let manual = rollout(&json!({"rollout": {"approval": "Manual", "wake": "OnUse"}}));
    let input = StatusInput {
        is_first: true,
        now: at(10),
        ..StatusInput::default()
    };
    let status = build_status(&manual, &members(&[Updated, Asleep]), input);
    assert_eq!(status.phase, Some(RolloutPhase::AwaitingApproval));
}

/// Rollouts in every kind of state, for the tests of GitOps tools.
fn states() -> Vec<Value> {
    let new = rollout(&json!({}));
    let manual = rollout(&json!({"rollout": {"approval": "Manual"}}));
    let once = rollout(&json!({"rollout": {"strategy": "AllAtOnce"}}));
    let on_use = rollout(&json!({"rollout": {"wake": "OnUse", "soakSeconds": 0}}));
    let mut superseded = new.clone();
    superseded.status = Some(superseded_status(&new, at(100)));
    let mut edited = reconciled(new.clone(), &[Updated], 100);
    edited.metadata.generation = Some(2);
    let state = |name: &str, kstatus: &str, argocd: &str, object: &SchemaRollout| json!({ "name": format!("rollout: {name}"), "kstatus": kstatus, "argocd": argocd, "object": object });
    vec![
        state(
            "in its canary",
            "InProgress",
            "Progressing",
            &reconciled(new.clone(), &[Pending; 3], 100),
        ),
        state(
            "between two waves",
            "InProgress",
            "Progressing",
            &reconciled(new.clone(), &[Updated, Pending], 100),
        ),
        state(
            "whose Tenants are asleep",
            "InProgress",
            "Progressing",
            &reconciled(on_use, &[Updated, Asleep], 100),
        ),
        state(
            "completed",
            "Current",
            "Healthy",
            &reconciled(new.clone(), &[Updated; 3], 100),
        ),
        state(
            "paused by failures",
            "Failed",
            "Degraded",
            &reconciled(new, &[Failed, Pending], 100),
        ),
        state(
            "that awaits approval",
            "Failed",
            "Degraded",
            &reconciled(manual, &[Pending], 100),
        ),
        state(
            "that failed",
            "Failed",
            "Degraded",
            &reconciled(once, &[Failed; 3], 100),
        ),
        state("that was superseded", "Current", "Healthy", &superseded),
        state(
            "edited after it was completed",
            "InProgress",
            "Progressing",
            &edited,
        ),
    ]
}

/// `UPDATE_GITOPS_STATES=1` has the file written instead of compared.
#[test]
fn the_states_for_the_tests_of_gitops_tools_are_up_to_date() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/gitops/testdata/schemarollouts.json");
    let text = serde_json::to_string_pretty(&states()).unwrap() + "\n";
    if std::env::var_os("UPDATE_GITOPS_STATES").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == text, "{} is stale", path.display());
}

#[test]
fn restored_tenants_are_counted_until_they_have_the_new_schema() {
    let mut rollout = rollout(&json!({}));
    let tenant_states = [Updated, Failed, Failed, Skipped];
    let mut members = members(&tenant_states);
    for index in [0, 1, 3] {
        members[index].rolled_back = true;
    }
    let input = StatusInput {
        failures: failures(&tenant_states),
        now: at(10),
        ..StatusInput::default()
    };
    rollout.status = Some(build_status(&rollout, &members, input));
    let status = rollout.status.as_ref().unwrap();
    assert_eq!((status.failed, status.rolled_back), (2, 2));
    assert_eq!(summary(&rollout).0, RolloutPhase::Paused);
}
