//! The decisions of a standby, as a table.

use super::super::campaign::{Campaign, CampaignDecision};
use super::super::store::LeaseRecord;
use super::{SECOND, config};

fn held_by(holder: &str, version: &str) -> LeaseRecord {
    LeaseRecord {
        holder: (!holder.is_empty()).then(|| holder.to_owned()),
        duration: Some(15 * SECOND),
        transitions: 4,
        version: version.to_owned(),
    }
}

fn acquire(version: Option<&str>, transitions: i32) -> CampaignDecision {
    CampaignDecision::Acquire {
        expected: version.map(str::to_owned),
        transitions,
    }
}

fn wait(seconds: u32) -> CampaignDecision {
    CampaignDecision::Wait {
        until: seconds * SECOND,
    }
}

#[test]
fn a_standby_waits_until_the_lease_has_been_unchanged_for_its_duration() {
    /// What was read, and at which second.
    type Reads = Vec<(u32, Option<LeaseRecord>)>;
    let other = |version| Some(held_by("other", version));
    // Case, reads, the second of the decision, and the expected decision.
    let table: Vec<(&str, Reads, u32, CampaignDecision)> = vec![
        ("no read has succeeded yet", vec![], 3, wait(3)),
        ("no Lease exists", vec![(1, None)], 1, acquire(None, 0)),
        (
            "the Lease was released",
            vec![(1, Some(held_by("", "7")))],
            1,
            acquire(Some("7"), 5),
        ),
        (
            "an earlier process with this identity holds it",
            vec![(1, Some(held_by("me", "7")))],
            1,
            acquire(Some("7"), 5),
        ),
        (
            "another replica holds it",
            vec![(1, other("7"))],
            1,
            wait(16),
        ),
        (
            "unchanged, but not for long enough",
            vec![(1, other("7")), (15, other("7"))],
            15,
            wait(16),
        ),
        (
            "unchanged for its duration",
            vec![(1, other("7")), (16, other("7"))],
            16,
            acquire(Some("7"), 5),
        ),
        (
            "renewed",
            vec![(1, other("7")), (15, other("8"))],
            16,
            wait(30),
        ),
        (
            "deleted while held",
            vec![(1, other("7")), (5, None)],
            6,
            wait(20),
        ),
        (
            "deleted for longer than its duration",
            vec![(1, other("7")), (5, None), (20, None)],
            20,
            acquire(None, 0),
        ),
        (
            "no duration in the record",
            vec![(
                1,
                Some(LeaseRecord {
                    duration: None,
                    ..held_by("other", "7")
                }),
            )],
            1,
            wait(16),
        ),
    ];
    for (case, reads, now, expected) in table {
        let mut campaign = Campaign::new(&config("me"));
        for (second, record) in reads {
            campaign.observe(record, second * SECOND);
        }
        assert_eq!(campaign.decide(now * SECOND), expected, "{case}");
    }
}
