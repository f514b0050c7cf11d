use super::*;

const ALL: [Lane; 3] = [Lane::Rollout, Lane::Slow, Lane::New];

fn uid() -> TenantUid {
    TenantUid::parse("7d9f5b0e-0a43-4f6c-9a3e-0c6f1a2b3c4d").expect("a UID")
}

/// All admissions that a class can get.
fn admit_all<'a>(slots: &'a MigrationSlots, class: &str, lane: Lane) -> Vec<Admission<'a>> {
    std::iter::from_fn(|| slots.admit(class, lane)).collect()
}

/// Admissions of the class for this many databases.
fn admit<'a>(
    slots: &'a MigrationSlots,
    class: &str,
    lane: Lane,
    databases: usize,
) -> Vec<Admission<'a>> {
    let admissions = (0..databases).map(|_| slots.admit(class, lane));
    admissions.collect::<Option<_>>().expect("admissions")
}

/// All slots that these databases can get.
fn take_all<'a>(admissions: &'a [Admission<'_>]) -> Vec<Slot<'a>> {
    admissions
        .iter()
        .map_while(Admission::try_acquire)
        .collect()
}

#[tokio::test]
async fn roll_outs_leave_the_slots_of_new_tenants_free() {
    let slots = MigrationSlots::new(16, 256);
    let admitted: Vec<_> = ["a", "b", "c"]
        .iter()
        .flat_map(|class| admit(&slots, class, Lane::Rollout, 20))
        .collect();
    let taken: Vec<_> = admitted.iter().filter_map(Admission::try_acquire).collect();
    assert_eq!(taken.len(), 15 + 3);
    for lane in [Lane::New, Lane::Slow] {
        assert_eq!(take_all(&admit(&slots, "a", lane, 1)).len(), 1);
    }
}

#[tokio::test]
async fn a_class_cannot_take_the_slots_of_another() {
    let slots = MigrationSlots::new(16, 256);
    let first = admit(&slots, "a", Lane::Rollout, 20);
    let second = admit(&slots, "b", Lane::Rollout, 20);
    let third = admit(&slots, "c", Lane::Rollout, 1);
    let slots_of_first = take_all(&first);
    assert_eq!(slots_of_first.len(), 13);
    let slots_of_second = take_all(&second);
    assert_eq!(slots_of_second.len(), 4);
    assert_eq!(take_all(&third).len(), 1);
    drop(slots_of_first);
    assert_eq!(take_all(&second[4..]).len(), 9);
}

#[tokio::test]
async fn one_slot_is_one_database_per_class() {
    let slots = MigrationSlots::new(1, 64);
    for lane in ALL {
        let (first, second) = (admit(&slots, "a", lane, 2), admit(&slots, "b", lane, 1));
        assert_eq!(take_all(&first).len(), 1);
        let _held = first[1].try_acquire().expect("the slot is free again");
        assert_eq!(take_all(&second).len(), 1);
    }
}

#[tokio::test]
async fn connecting_takes_no_slot() {
    let slots = MigrationSlots::new(1, 64);
    let connecting = admit(&slots, "a", Lane::New, 10);
    assert_eq!(take_all(&connecting[9..]).len(), 1);
}

/// Admissions that many classes get in these lanes.
fn admit_classes<'a>(slots: &'a MigrationSlots, lanes: &[Lane]) -> Vec<Admission<'a>> {
    let classes = (0..100).map(|number| format!("class-{number}"));
    classes
        .flat_map(|class| {
            lanes
                .iter()
                .flat_map(move |lane| admit_all(slots, &class, *lane))
        })
        .collect()
}

#[tokio::test]
async fn migrations_leave_reconciliations_for_other_work() {
    for concurrency in [2, 4, 28, 64, 1_000] {
        let slots = MigrationSlots::new(16, concurrency);
        let existing = admit_classes(&slots, &ALL[..2]);
        assert!(existing.len() <= concurrency / 2, "{concurrency}");
        let new = admit_classes(&slots, &ALL[2..]);
        assert!(concurrency < 4 || !new.is_empty(), "{concurrency}");
        assert!(existing.len() + new.len() < concurrency, "{concurrency}");
    }
}

#[tokio::test]
async fn the_databases_of_one_class_leave_admissions_for_others() {
    let slots = MigrationSlots::new(16, 64);
    let existing = admit_all(&slots, "a", Lane::Rollout);
    assert_eq!(existing.len(), 24);
    assert!(slots.admit("b", Lane::Rollout).is_some());
    assert_eq!(admit_all(&slots, "a", Lane::New).len(), 42 - 24);
    assert!(slots.admit("b", Lane::New).is_some());
}

#[tokio::test]
async fn a_process_that_reconciles_one_tenant_at_a_time_migrates_it() {
    let slots = MigrationSlots::new(16, 1);
    for lane in ALL {
        assert_eq!(take_all(&admit(&slots, "a", lane, 1)).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_a_released_slot_or_after_a_moment() {
    let slots = MigrationSlots::new(1, 64);
    let admissions = admit(&slots, "a", Lane::New, 2);
    let held = admissions[0].acquire_slot().await.expect("a free slot");
    assert!(admissions[1].acquire_slot().await.is_none());
    let (second, ()) = tokio::join!(admissions[1].acquire_slot(), async {
        tokio::time::sleep(MAX_WAIT / 2).await;
        drop(held);
    });
    assert!(second.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_ran_into_a_time_limit_waits_longer_each_time_and_shares_fewer_slots() {
    let slots = MigrationSlots::new(16, 64);
    let elapsed = Duration::from_mins(10);
    let waits: Vec<_> = (0..8)
        .map(|_| slots.record_time_limit(uid(), elapsed))
        .collect();
    assert!(waits[0] >= 2 * elapsed && waits.is_sorted(), "{waits:?}");
    assert_eq!(waits.last(), Some(&MAX_WAIT_AFTER_LIMIT));
    assert_eq!(slots.lane(uid(), true), Lane::Slow);
    assert_eq!(take_all(&admit(&slots, "a", Lane::Slow, 10)).len(), 4);
    slots.forget(uid());
    assert_eq!(slots.lane(uid(), true), Lane::New);
    assert_eq!(slots.lane(uid(), false), Lane::Rollout);
}
