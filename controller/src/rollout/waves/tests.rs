use serde_json::{Value, json};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn settings(changes: &Value) -> RolloutSettings {
    serde_json::from_value(changes.clone()).unwrap()
}

/// Members in the order of their places, one character each: `u`pdated, `p`ending, `a`sleep, `f`ailed
/// or `s`kipped. With `wake: OnUse`, `l` and `b` are pending Tenants that are admitted or have begun.
fn members(states: &str) -> Vec<Member> {
    let state = |letter| match letter {
        'u' => MemberState::Updated,
        'p' | 'l' | 'b' => MemberState::Pending,
        'a' => MemberState::Asleep,
        'f' => MemberState::Failed,
        _ => MemberState::Skipped,
    };
    states
        .chars()
        .enumerate()
        .map(|(index, letter)| Member {
            uid: uid(index),
            place: place(index),
            state: state(letter),
            begun: letter == 'b',
            admitted: letter == 'l',
            maybe_retried: false,
            rolled_back: false,
            namespace: "acme".into(),
            name: format!("t{index}").into(),
        })
        .collect()
}

fn uid(index: usize) -> TenantUid {
    TenantUid::parse(&format!("00000000-0000-0000-0000-{index:012}")).unwrap()
}

/// The place of the nth member, in the group of existing Tenants.
fn place(index: usize) -> Place {
    Place::parse(&format!("{:x}", (1_u64 << 62) + index as u64)).unwrap()
}

/// Moves on as far as `maxConcurrent` allows.
fn advance(
    settings: &RolloutSettings,
    members: &[Member],
    progress: &Progress,
    now: Timestamp,
) -> (Progress, Activity) {
    let limit = usize::try_from(settings.max_concurrent).unwrap();
    super::advance(settings, members, limit, false, progress.clone(), now)
}

/// The number of members within the reach.
fn reached(members: &[Member], progress: &Progress) -> usize {
    let count = members.iter();
    count
        .filter(|member| Some(member.place) <= progress.reach)
        .count()
}

#[test]
fn each_wave_ends_where_its_share_of_all_tenants_does() {
    let all = members(&"p".repeat(50));
    for (changes, expected) in [
        (json!({}), vec![1, 6, 50]),
        (
            json!({"canary": {"count": 2}, "waves": [{"count": 3}, {"percent": 50}]}),
            vec![2, 5, 30, 50],
        ),
        (json!({"canary": {"percent": 5}, "waves": []}), vec![3, 50]),
        (
            json!({"waves": [{"percent": 100}, {"percent": 100}]}),
            vec![1, 50, 50, 50],
        ),
        (
            json!({"canary": {"selector": {"matchLabels": {"canary": "yes"}}}}),
            vec![0, 5, 50],
        ),
        (json!({"strategy": "AllAtOnce"}), vec![50]),
    ] {
        assert_eq!(wave_ends(&settings(&changes), &all), expected, "{changes}");
    }
    assert_eq!(wave_ends(&settings(&json!({})), &[]), [0, 0, 0]);
}

#[test]
fn a_wave_starts_once_the_one_before_has_been_migrated_and_watched() {
    let settings = settings(&json!({"waves": [{"count": 2}], "soakSeconds": 60}));
    let start = Progress::default();
    let pending = members("ppppp");
    let (canary, activity) = advance(&settings, &pending, &start, at(0));
    assert_eq!((reached(&pending, &canary), canary.wave), (1, 0));
    assert_eq!(activity, Activity::Migrating);
    let (same, _) = advance(&settings, &pending, &canary, at(1_000));
    assert_eq!(same, canary);

    let canary_updated = members("upppp");
    let (soaking, activity) = advance(&settings, &canary_updated, &canary, at(100));
    assert_eq!(activity, Activity::Soaking);
    assert_eq!(soaking.soak_until, Some(at(160)));
    assert_eq!(reached(&canary_updated, &soaking), 1);
    let (still, _) = advance(&settings, &canary_updated, &soaking, at(159));
    assert_eq!(still, soaking);

    let (second, activity) = advance(&settings, &canary_updated, &soaking, at(160));
    assert_eq!((reached(&canary_updated, &second), second.wave), (3, 1));
    assert_eq!((activity, second.soak_until), (Activity::Migrating, None));

    let (soaking, _) = advance(&settings, &members("uufpp"), &second, at(200));
    assert_eq!(soaking.soak_until, Some(at(260)));
    let (last, _) = advance(&settings, &members("uufpp"), &soaking, at(260));
    assert_eq!((last.wave, last.reach), (2, Some(Place::LAST)));
    let (_, activity) = advance(&settings, &members("uufus"), &last, at(300));
    assert_eq!(activity, Activity::Done);
}

#[test]
fn no_more_tenants_are_in_progress_than_allowed() {
    let settings = settings(&json!({"canary": {"count": 10}, "maxConcurrent": 3}));
    let all = members("pppppppppppp");
    let (progress, _) = advance(&settings, &all, &Progress::default(), at(0));
    assert_eq!(reached(&all, &progress), 3);
    // A Tenant that is done makes room; Tenants that cannot be migrated take none.
    let all = members("uppssfpppppp");
    let (progress, _) = advance(&settings, &all, &progress, at(0));
    assert_eq!(reached(&all, &progress), 7);
    assert_eq!(in_progress(&settings, &all, &progress), 3);
    // More than allowed are in progress, because Tenants were resumed.
    let all = members("ppppppppppps");
    let (same, _) = advance(&settings, &all, &progress, at(0));
    assert_eq!(same, progress);
}

#[test]
fn a_rollout_without_pending_tenants_is_done_and_reaches_everybody() {
    for states in ["", "uuuuuuuuuuuu", "uusf"] {
        let all = members(states);
        let (progress, activity) =
            advance(&settings(&json!({})), &all, &Progress::default(), at(0));
        assert_eq!(activity, Activity::Done, "{states}");
        assert_eq!(progress.reach, Some(Place::LAST));
        assert_eq!(progress.soak_until, None);
    }
}

#[test]
fn a_wave_without_tenants_is_not_watched() {
    let selector = json!({"canary": {"selector": {}}, "waves": [{"count": 1}]});
    let all = members("ppp");
    let (progress, _) = advance(&settings(&selector), &all, &Progress::default(), at(0));
    assert_eq!((progress.wave, reached(&all, &progress)), (1, 1));
}

#[test]
fn all_at_once_reaches_everybody_at_once() {
    let all = members("ppfppp");
    let once = settings(&json!({"strategy": "AllAtOnce", "maxConcurrent": 1}));
    let (progress, activity) = advance(&once, &all, &Progress::default(), at(0));
    assert_eq!(
        (progress.reach, activity),
        (Some(Place::LAST), Activity::Migrating)
    );
}

fn on_use(changes: &Value) -> RolloutSettings {
    let mut all = json!({"wake": "OnUse", "soakSeconds": 60, "waves": [{"count": 4}]});
    let fields = all.as_object_mut().unwrap();
    fields.extend(changes.as_object().unwrap().clone());
    settings(&all)
}

/// The indices of the members that are admitted.
fn admitted(progress: &Progress) -> Vec<usize> {
    let index = |tenant: &TenantUid| (0..100).find(|index| uid(*index) == *tenant).unwrap();
    progress.admitted.iter().map(index).collect()
}

#[test]
fn a_wave_ends_only_once_it_is_known_which_of_its_tenants_are_used() {
    let settings = on_use(&json!({"soakSeconds": 0}));
    let (canary, _) = advance(&settings, &members("paaaaaa"), &Progress::default(), at(0));
    for (states, use_unknown, expected) in [
        // The canary is never asleep.
        ("uaaaaaa", true, (1, Activity::Migrating)),
        ("uaaaaaa", false, (2, Activity::Asleep)),
        ("uuuuuaa", true, (2, Activity::Asleep)),
    ] {
        let all = members(states);
        let (next, activity) =
            super::advance(&settings, &all, 32, use_unknown, canary.clone(), at(10));
        assert_eq!((next.wave, activity), expected, "{states} {use_unknown}");
    }
}

#[test]
fn tenants_of_the_current_wave_are_admitted_as_they_are_used() {
    let settings = on_use(&json!({}));
    let start = Progress::default();
    let (canary, _) = advance(&settings, &members("papapap"), &start, at(0));
    assert_eq!((canary.wave, admitted(&canary)), (0, vec![0]));
    let (soaking, activity) = advance(&settings, &members("uapapap"), &canary, at(10));
    assert_eq!((activity, admitted(&soaking)), (Activity::Soaking, vec![]));
    // A Tenant that is used meanwhile does not restart the soak.
    let (soaking, activity) = advance(&settings, &members("uppapap"), &soaking, at(60));
    assert_eq!((activity, admitted(&soaking)), (Activity::Soaking, vec![]));
    assert_eq!(soaking.soak_until, Some(at(70)));
    let (wave, activity) = advance(&settings, &members("uppapap"), &soaking, at(70));
    assert_eq!((wave.wave, admitted(&wave)), (1, vec![1, 2, 4]));
    assert_eq!((activity, wave.reach), (Activity::Migrating, None));
    // The wave ends although a Tenant in it is asleep, and the last one is for everybody.
    let (soaking, _) = advance(&settings, &members("uuuauap"), &wave, at(80));
    let (last, activity) = advance(&settings, &members("uuuauap"), &soaking, at(140));
    assert_eq!((last.wave, admitted(&last)), (2, vec![6]));
    assert_eq!(
        (activity, last.reach),
        (Activity::Migrating, Some(Place::LAST))
    );
    let (last, activity) = advance(&settings, &members("uuuauau"), &last, at(150));
    assert_eq!((activity, admitted(&last)), (Activity::Asleep, vec![]));
    // A Tenant of an earlier wave is used.
    let (last, activity) = advance(&settings, &members("uuupuau"), &last, at(160));
    assert_eq!((activity, admitted(&last)), (Activity::Migrating, vec![3]));
    let (last, activity) = advance(&settings, &members("uuuuufs"), &last, at(170));
    assert_eq!((activity, last.admitted), (Activity::Done, vec![]));
}

#[test]
fn tenants_that_are_used_at_the_same_time_share_the_limit() {
    let settings = on_use(&json!({"maxConcurrent": 3, "waves": []}));
    let last = Progress {
        wave: 1,
        ..Progress::default()
    };
    for (states, expected, count) in [
        ("uappppppp", vec![2, 3, 4], 3),
        // Those that have begun are no longer admitted, but still count.
        ("uapbplpbp", vec![5], 3),
        ("uubbplppp", vec![5], 3),
        ("uubbbbppp", vec![], 4),
        ("ufbuppsap", vec![4, 5], 3),
    ] {
        let all = members(states);
        let (next, _) = advance(&settings, &all, &last, at(0));
        assert_eq!(admitted(&next), expected, "{states}");
        assert_eq!(in_progress(&settings, &all, &next), count, "{states}");
    }
}

#[test]
fn a_large_limit_does_not_make_the_list_of_admitted_tenants_long() {
    let settings = on_use(&json!({"maxConcurrent": 1_000_000, "canary": {"count": 1_000}}));
    let all = members(&"p".repeat(1_000));
    let (progress, _) = advance(&settings, &all, &Progress::default(), at(0));
    assert_eq!(progress.admitted.len(), MAX_ADMITTED);
}
