use super::*;

fn outcomes(faults: &Faults, route: &str, calls: usize) -> Vec<bool> {
    (0..calls)
        .map(|_| faults.for_call(route, None).outcome.is_some())
        .collect()
}

fn armed(faults: Vec<Fault>, seed: u64) -> Faults {
    Faults::new(faults, seed).unwrap()
}

fn fault(spec: &str) -> Fault {
    spec.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_fault_applies_to_its_route_and_respects_skip_and_times() {
    let faults = armed(vec![fault("createProject:503:skip=1:times=2")], 0);
    assert_eq!(outcomes(&faults, "getProject", 3), [false; 3]);
    assert_eq!(
        outcomes(&faults, "createProject", 5),
        [false, true, true, false, false]
    );
    let armed = &faults.list()[0];
    assert_eq!((armed.matched, armed.triggered), (3, 2));
}

#[test]
fn the_same_seed_gives_the_same_outcomes() {
    let run = |seed| outcomes(&armed(vec![fault("*:500:p=0.5")], seed), "getProject", 64);
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    assert!(run(7).contains(&true) && run(7).contains(&false));
}

#[test]
fn every_effect_can_be_parsed() {
    let status = |status, retry_after_seconds| Effect::Status {
        status,
        retry_after_seconds,
    };
    for (line, effect) in [
        ("*:429", status(429, None)),
        ("*:429:retry-after=3", status(429, Some(3))),
        ("*:524-html", Effect::Html524),
        ("*:delay:ms=5", Effect::Delay { ms: 5 }),
        ("*:answer-lost", Effect::AnswerLost),
        ("*:work-late:ms=9", Effect::WorkLate { ms: 9 }),
        (
            "*:operation-fails:ms=4:error=no",
            Effect::OperationFails {
                ms: 4,
                error: "no".into(),
            },
        ),
        (
            "*:operation-errors:error=no",
            Effect::OperationErrors { error: "no".into() },
        ),
        ("*:unavailable:first=2", Effect::Unavailable { first: 2 }),
        ("updateProject:settings-ignored", Effect::SettingsIgnored),
        ("data-plane:refuse-connections", Effect::RefuseConnections),
        (
            "data-plane:cut-connection:after=3",
            Effect::CutConnection { after_messages: 3 },
        ),
    ] {
        let parsed = fault(line);
        assert_eq!(parsed.effect, effect, "{line}");
        let json = serde_json::to_string(&parsed).unwrap();
        assert_eq!(
            serde_json::from_str::<Fault>(&json).unwrap(),
            parsed,
            "{json}"
        );
    }
}

#[test]
fn an_invalid_fault_is_rejected_with_the_reason() {
    for (line, expected) in [
        ("", "route"),
        ("createProject", "effect is missing"),
        ("createProject:oops", "oops"),
        ("createProject:200", "200"),
        ("createProject:503:times", "has no ="),
        ("createProject:503:p=2", "p=2"),
        ("createProject:delay", "delay"),
    ] {
        let error = line.parse::<Fault>().expect_err(line).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn connection_faults_do_not_apply_to_calls_and_vice_versa() {
    let faults = armed(
        vec![
            fault("*:500"),
            fault("data-plane:refuse-connections:project=one-two-3"),
        ],
        0,
    );
    assert_eq!(
        faults.for_connection("one-two-3").outcome,
        Some(Effect::RefuseConnections)
    );
    assert_eq!(faults.for_connection("other-two-3").outcome, None);
    assert!(matches!(
        faults.for_call("getProject", None).outcome,
        Some(Effect::Status { status: 500, .. })
    ));
}

#[test]
fn an_account_limit_ends_and_reports_the_remaining_time() {
    use crate::clock::{MILLISECOND, SECOND};
    let faults = armed(vec![fault("account:429:for=2500")], 0);
    assert_eq!(faults.account_limited(10 * SECOND), Some(3));
    assert_eq!(faults.account_limited(12 * SECOND), Some(1));
    assert_eq!(
        faults.account_limited(12 * SECOND + 500 * MILLISECOND),
        None
    );
    let armed = &faults.list()[0];
    assert_eq!((armed.matched, armed.triggered), (3, 2));
}

#[test]
fn an_account_limit_supports_calls_per_minute_times_and_skip() {
    use crate::clock::SECOND;
    let faults = armed(vec![fault("account:429:per-minute=2")], 0);
    let retry_after = [0, 1, 2, 59, 60].map(|second| faults.account_limited(second * SECOND));
    assert_eq!(retry_after, [None, None, Some(58), Some(1), None]);

    let faults = armed(vec![fault("account:429:times=2:skip=1")], 0);
    let retry_after = [(); 4].map(|()| faults.account_limited(0));
    assert_eq!(retry_after, [None, Some(1), Some(1), None]);
}

#[test]
fn a_fault_is_displayed_in_the_syntax_that_it_is_parsed_from() {
    for line in [
        "createProject:503:retry-after=3:skip=1:times=2",
        "*:delay:ms=5",
        "*:429:p=0.25",
        "account:429",
        "account:429:per-minute=5:for=100:retry-after=2:times=9",
        "getProject:work-late:ms=7:project=still-lake-00000001",
        "*:operation-fails:ms=4:error=no room",
        "*:operation-errors:error=gone",
        "listProjects:unavailable:first=2",
        "updateProjectEndpoint:settings-ignored",
        "data-plane:cut-connection:after=3",
        "data-plane:does-not-wake:ms=10",
        "data-plane:unknown-endpoint:times=1",
        "data-plane:control-plane-fails",
        "data-plane:refuse-connections",
        "*:524-html",
        "*:answer-lost",
    ] {
        assert_eq!(fault(line).to_string(), line);
    }
}

#[test]
fn account_limits_require_the_account_route_and_exclude_other_effects() {
    for line in [
        "account:503",
        "account:delay:ms=5",
        "*:429:per-minute=3",
        "createProject:429:for=10",
        "account:429:project=still-lake-00000001",
    ] {
        assert!(line.parse::<Fault>().is_err(), "{line}");
    }
}

#[test]
fn a_fault_that_can_never_be_triggered_as_specified_is_rejected() {
    for (line, words) in [
        ("createProject:refuse-connections", "applies to connections"),
        ("*:cut-connection:after=3", "applies to connections"),
        ("data-plane:503", "503 applies to API calls"),
        ("data-plane:answer-lost", "applies to API calls"),
        ("createProject:unavailable", "listProjects"),
        ("createProject:settings-ignored", "updateProject"),
        ("createProject:503:ms=5", "does not accept ms"),
        ("createProject:delay:ms=5:error=no", "does not accept error"),
        (
            "data-plane:refuse-connections:retry-after=1",
            "does not accept retry-after",
        ),
        ("account:429:ms=5", "does not accept ms"),
        (
            "listProjects:unavailable:first=1:after=2",
            "does not accept after",
        ),
    ] {
        let error = line.parse::<Fault>().expect_err(line).to_string();
        assert!(error.contains(words), "{error}");
    }
    let faults = armed(Vec::new(), 0);
    for fault in [
        Fault::new("createProject", Effect::RefuseConnections),
        Fault::new("makeProject", Effect::Html524),
        Fault::new("*", Effect::Html524).probability(f64::NAN),
        Fault::new("*", Effect::Html524).probability(1.5),
        Fault::account_limited().project("still-lake-00000001".parse().unwrap()),
    ] {
        assert_eq!(faults.add(fault.clone()), None, "{fault}");
    }
    fault("data-plane:delay:ms=5");
}

#[test]
fn more_faults_than_the_maximum_are_rejected_at_startup() {
    let many = vec![fault("*:500"); MAX_FAULTS + 1];
    assert_eq!(Faults::new(many, 0).unwrap_err(), ArmError::TooMany);
}
