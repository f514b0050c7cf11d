use super::*;

const CLASS: &str = "standard";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn request(number: usize, second: i64) -> DeletionRequest {
    DeletionRequest {
        tenant: TenantUid::parse(&format!("00000000-0000-0000-0000-{number:012}")).unwrap(),
        requested_at: at(second),
    }
}

/// Asks for these deletions one after the other, each of which is in the cache until it is
/// executed. Returns how many are executed.
fn execute(holds: &DeletionHolds, requests: &[DeletionRequest], tenants: usize, now: i64) -> usize {
    let mut pending = requests.to_vec();
    let mut left = tenants;
    let mut executed = 0;
    for request in requests {
        let admitted = holds.admit(
            CLASS,
            MassDeletion::default(),
            *request,
            pending.clone().into_iter(),
            left,
            at(now),
        );
        if admitted.is_ok() {
            executed += 1;
            left -= 1;
            pending.retain(|other| other != request);
        }
    }
    executed
}

fn requests(numbers: std::ops::Range<usize>, second: i64) -> Vec<DeletionRequest> {
    numbers.map(|number| request(number, second)).collect()
}

#[test]
fn the_deletion_of_all_tenants_at_once_deletes_no_project() {
    let holds = DeletionHolds::default();
    assert_eq!(execute(&holds, &requests(0..44, 0), 44, 1), 0);
    assert_eq!(holds.held_since(CLASS), Some(at(1)));
}

#[test]
fn deletions_that_arrive_one_by_one_are_held_from_the_eleventh() {
    let holds = DeletionHolds::default();
    let executed: usize = (0..44)
        .map(|number| execute(&holds, &[request(number, 0)], 44 - number, 1))
        .sum();
    assert_eq!(executed, 10);
}

#[test]
fn both_limits_have_to_be_exceeded() {
    let holds = DeletionHolds::default();
    assert_eq!(execute(&holds, &requests(0..10, 0), 10, 1), 10, "10 of 10");
    let holds = DeletionHolds::default();
    assert_eq!(execute(&holds, &requests(0..50, 0), 500, 1), 50, "10 %");
    let holds = DeletionHolds::default();
    assert_eq!(execute(&holds, &requests(0..51, 0), 500, 1), 0, "over 10 %");
}

#[test]
fn a_lower_limit_protects_a_small_class() {
    let limits = |max_tenants_per_minute| MassDeletion {
        max_tenants_per_minute,
        ..MassDeletion::default()
    };
    for (max_tenants, tenants, held) in [(1, 3, true), (1, 1, false), (0, 1, true), (3, 3, false)] {
        assert_eq!(
            exceeds(limits(max_tenants), tenants, tenants),
            held,
            "{tenants} of {tenants} with a limit of {max_tenants}"
        );
    }
    // Only the share counts with a limit of 0.
    assert!(!exceeds(limits(0), 1, 10));
    assert!(exceeds(limits(0), 2, 10));
}

#[test]
fn deletions_that_were_requested_over_a_longer_time_are_not_held() {
    let holds = DeletionHolds::default();
    let executed: usize = (0..40)
        .map(|number| {
            let second = i64::try_from(number).unwrap() * 10;
            execute(&holds, &[request(number, second)], 100 - number, second)
        })
        .sum();
    assert_eq!(executed, 40);
    // They were all pending when the account became reachable.
    let holds = DeletionHolds::default();
    let spread: Vec<_> = (0..40)
        .map(|number| request(number, i64::try_from(number).unwrap() * 10))
        .collect();
    assert_eq!(execute(&holds, &spread, 100, 400), 40);
}

#[test]
fn held_deletions_are_executed_once_they_are_confirmed() {
    let holds = DeletionHolds::default();
    let all = requests(0..44, 0);
    execute(&holds, &all, 44, 1);
    assert!(holds.held(CLASS, all[0]).is_some());
    let since = at(1).to_string();
    assert!(!holds.confirm(CLASS, "true", None, at(5)));
    assert!(!holds.confirm(CLASS, &at(2).to_string(), None, at(5)));
    assert!(holds.confirm(CLASS, &since, Some(at(0)), at(5)));
    assert_eq!(holds.held(CLASS, all[0]), None);
    assert_eq!(execute(&holds, &all, 44, 6), 44);
    assert!(!holds.confirm(CLASS, &since, None, at(7)), "only once");
}

#[test]
fn a_confirmation_does_not_cover_later_deletions() {
    let holds = DeletionHolds::default();
    execute(&holds, &requests(0..44, 0), 60, 1);
    assert!(holds.confirm(CLASS, &at(1).to_string(), Some(at(0)), at(5)));
    assert_eq!(execute(&holds, &requests(0..44, 0), 60, 6), 44);
    assert_eq!(execute(&holds, &requests(44..60, 8), 16, 9), 0);
}

#[test]
fn a_new_process_continues_with_the_recorded_state() {
    let holds = DeletionHolds::default();
    execute(&holds, &requests(0..44, 0), 44, 1);
    let recorded = holds.status(CLASS);
    let next = DeletionHolds::default();
    next.restore(CLASS, recorded.as_ref());
    assert_eq!(execute(&next, &requests(0..1, 0), 44, 600), 0);
    assert!(next.confirm(CLASS, &at(1).to_string(), None, at(700)));
    let after = DeletionHolds::default();
    after.restore(CLASS, next.status(CLASS).as_ref());
    assert_eq!(execute(&after, &requests(0..44, 0), 44, 800), 44);
}
