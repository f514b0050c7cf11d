//! The decision of a candidate, as a table.

use super::super::candidate::{Candidate, Decision};
use super::super::store::Record;
use super::{SECOND, terms};

fn held_by(holder: &str, version: &str) -> Record {
    Record {
        holder: (!holder.is_empty()).then(|| holder.to_owned()),
        duration: Some(15 * SECOND),
        transitions: 4,
        version: version.to_owned(),
    }
}

fn take(version: Option<&str>, transitions: i32) -> Decision {
    Decision::Take {
        expected: version.map(str::to_owned),
        transitions,
    }
}

fn wait(seconds: u32) -> Decision {
    Decision::Wait {
        until: seconds * SECOND,
    }
}

/// What was read at which second, and what is decided at which second.
#[test]
fn a_candidate_waits_until_the_lease_stood_still_for_its_duration() {
    type Reads = Vec<(u32, Option<Record>)>;
    let other = |version| Some(held_by("other", version));
    let table: Vec<(&str, Reads, u32, Decision)> = vec![
        ("nothing was read yet", vec![], 3, wait(3)),
        ("there is none", vec![(1, None)], 1, take(None, 0)),
        (
            "it was given back",
            vec![(1, Some(held_by("", "7")))],
            1,
            take(Some("7"), 5),
        ),
        (
            "an earlier process of ours had it",
            vec![(1, Some(held_by("me", "7")))],
            1,
            take(Some("7"), 5),
        ),
        ("another has it", vec![(1, other("7"))], 1, wait(16)),
        (
            "it has stood still, but not for long enough",
            vec![(1, other("7")), (15, other("7"))],
            15,
            wait(16),
        ),
        (
            "it has stood still",
            vec![(1, other("7")), (16, other("7"))],
            16,
            take(Some("7"), 5),
        ),
        (
            "it was renewed",
            vec![(1, other("7")), (15, other("8"))],
            16,
            wait(30),
        ),
        (
            "it was deleted under its holder",
            vec![(1, other("7")), (5, None)],
            6,
            wait(20),
        ),
        (
            "it was deleted long ago",
            vec![(1, other("7")), (5, None), (20, None)],
            20,
            take(None, 0),
        ),
        (
            "it does not say how long",
            vec![(
                1,
                Some(Record {
                    duration: None,
                    ..held_by("other", "7")
                }),
            )],
            1,
            wait(16),
        ),
    ];
    for (case, reads, now, want) in table {
        let mut candidate = Candidate::new(&terms("me"));
        for (second, record) in reads {
            candidate.observe(record, second * SECOND);
        }
        assert_eq!(candidate.decide(now * SECOND), want, "{case}");
    }
}
