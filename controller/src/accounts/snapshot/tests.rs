//! Listings, and what we did while they were made.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::identity::project_name;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn id(text: &str) -> ProjectId {
    text.parse().unwrap()
}

fn installation() -> InstallationId {
    InstallationId::parse("test").unwrap()
}

fn tenant(number: u32) -> TenantUid {
    TenantUid::parse(&format!("00000000-0000-0000-0000-{number:012}")).unwrap()
}

/// A project of that name, as Neon shows one.
fn named(project: &str, name: &str) -> Project {
    serde_json::from_value(json!({
        "id": project, "name": name, "region_id": "aws-eu-central-1", "pg_version": 17,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z",
        "settings": { "quota": { "active_time_seconds": 60 }, "allowed_ips": { "ips": ["10.0.0.1"] } },
        "history_retention_seconds": 86_400,
    }))
    .unwrap()
}

/// A project that bears a Tenant's mark.
fn marked(project: &str, owner: TenantUid) -> Project {
    named(project, &project_name("acme/one", &installation(), owner))
}

/// A complete listing that began then.
fn listing(began: i64, projects: &[Project]) -> Gathering {
    let mut gathering = Gathering::begin(at(began));
    for page in projects.chunks(2) {
        gathering.page(page, Vec::new(), &installation());
    }
    gathering
}

fn listed(began: i64, projects: &[Project]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.replace(listing(began, projects));
    snapshot
}

fn marks_of(snapshot: &Snapshot, owner: TenantUid) -> Vec<ProjectId> {
    let mut ids: Vec<_> = snapshot
        .facts(owner, None)
        .marked
        .into_iter()
        .map(|seen| seen.id)
        .collect();
    ids.sort();
    ids
}

fn has(snapshot: &Snapshot, project: &str) -> bool {
    snapshot.facts(tenant(9), Some(&id(project))).own.is_some()
}

#[test]
fn before_the_first_listing_nothing_is_known() {
    let snapshot = Snapshot::default();
    assert_eq!(
        snapshot.facts(tenant(1), Some(&id("p-1"))),
        ListingFacts::default()
    );
    assert!(snapshot.is_empty());
}

#[test]
fn a_listing_shows_the_recorded_project_and_those_that_bear_the_mark() {
    let projects = [
        marked("p-1", tenant(1)),
        marked("p-2", tenant(1)),
        marked("p-3", tenant(2)),
        named("p-4", "theirs"),
    ];
    let snapshot = listed(10, &projects);
    assert_eq!((snapshot.len(), snapshot.pages()), (4, 2));
    let facts = snapshot.facts(tenant(1), Some(&id("p-4")));
    assert_eq!(facts.as_of, Some(at(10)));
    assert_eq!(facts.own.map(|seen| seen.name), Some("theirs".to_owned()));
    assert_eq!(marks_of(&snapshot, tenant(1)), [id("p-1"), id("p-2")]);
    assert_eq!(marks_of(&snapshot, tenant(2)), [id("p-3")]);
    assert_eq!(marks_of(&snapshot, tenant(3)), []);
}

#[test]
fn a_project_is_kept_in_a_form_that_can_be_compared() {
    let snapshot = listed(10, &[named("p-1", "theirs")]);
    let seen = snapshot.facts(tenant(1), Some(&id("p-1"))).own.unwrap();
    assert_eq!(
        seen.quota,
        Some(QuotaWish {
            active_time_seconds: Some(60),
            ..QuotaWish::default()
        })
    );
    assert_eq!(seen.allowed_ips, Some(["10.0.0.1/32".to_owned()].into()));
    assert_eq!(seen.history_retention_seconds, Some(86_400));
    let bare = Project {
        settings: None,
        ..named("p-2", "theirs")
    };
    let seen = listed(10, &[bare])
        .facts(tenant(1), Some(&id("p-2")))
        .own
        .unwrap();
    assert_eq!(
        (seen.quota, seen.allowed_ips),
        (None, None),
        "what is not shown is not known"
    );
}

#[test]
fn marks_of_other_installations_are_not_ours() {
    let other = InstallationId::parse("test-2").unwrap();
    let snapshot = listed(
        10,
        &[named("p-1", &project_name("acme/one", &other, tenant(1)))],
    );
    assert_eq!(marks_of(&snapshot, tenant(1)), []);
    assert!(snapshot.orphaned(&HashSet::new()).is_empty());
}

#[test]
fn a_deleted_project_that_is_still_listed_is_not_there() {
    let deleted = Project {
        deleted_at: Some(at(5)),
        ..marked("p-1", tenant(1))
    };
    let snapshot = listed(10, &[deleted]);
    assert!(!has(&snapshot, "p-1"));
    assert_eq!(marks_of(&snapshot, tenant(1)), []);
}

#[test]
fn what_neon_cannot_read_is_unavailable_and_not_gone() {
    let mut gathering = listing(10, &[]);
    gathering.page(&[], vec![id("p-1")], &installation());
    let mut snapshot = Snapshot::default();
    snapshot.replace(gathering);
    assert!(snapshot.facts(tenant(1), Some(&id("p-1"))).unavailable);
    assert!(!snapshot.facts(tenant(1), Some(&id("p-2"))).unavailable);
    snapshot.replace(listing(20, &[]));
    assert!(
        !snapshot.facts(tenant(1), Some(&id("p-1"))).unavailable,
        "the next listing says otherwise"
    );
}

#[test]
fn what_we_wrote_is_seen_at_once_and_outlives_a_listing_that_began_before() {
    let mut snapshot = Snapshot::default();
    snapshot.wrote(&marked("p-1", tenant(1)), &installation(), at(15));
    assert_eq!(marks_of(&snapshot, tenant(1)), [id("p-1")]);
    assert_eq!(snapshot.as_of(), None, "a write is no listing");
    for (began, there) in [(10, true), (15, true), (16, false)] {
        snapshot.replace(listing(began, &[]));
        assert_eq!(has(&snapshot, "p-1"), there, "listing of {began}");
        assert_eq!(
            !marks_of(&snapshot, tenant(1)).is_empty(),
            there,
            "listing of {began}"
        );
    }
}

#[test]
fn what_we_deleted_stays_away_from_a_listing_that_began_before() {
    let projects = [marked("p-1", tenant(1)), marked("p-2", tenant(1))];
    let mut snapshot = listed(5, &projects);
    snapshot.deleted(&id("p-1"), at(15));
    assert_eq!(marks_of(&snapshot, tenant(1)), [id("p-2")]);
    snapshot.replace(listing(10, &projects));
    assert_eq!(marks_of(&snapshot, tenant(1)), [id("p-2")]);
    assert!(!has(&snapshot, "p-1"));
    // Somebody recovered it: a listing that began after our deletion is believed.
    snapshot.replace(listing(16, &projects));
    assert_eq!(marks_of(&snapshot, tenant(1)), [id("p-1"), id("p-2")]);
}

#[test]
fn the_last_of_several_writes_counts() {
    let mut snapshot = Snapshot::default();
    let first = marked("p-1", tenant(1));
    let second = Project {
        history_retention_seconds: Some(60),
        ..first.clone()
    };
    snapshot.wrote(&first, &installation(), at(11));
    snapshot.wrote(&second, &installation(), at(12));
    snapshot.replace(listing(10, std::slice::from_ref(&first)));
    assert_eq!(
        snapshot
            .facts(tenant(1), Some(&id("p-1")))
            .own
            .unwrap()
            .history_retention_seconds,
        Some(60)
    );
    assert_eq!(
        marks_of(&snapshot, tenant(1)),
        [id("p-1")],
        "once, not twice"
    );
    snapshot.deleted(&id("p-1"), at(13));
    snapshot.wrote(&first, &installation(), at(14));
    assert_eq!(marks_of(&snapshot, tenant(1)), [id("p-1")], "recovered");
}

#[test]
fn orphaned_are_those_whose_tenant_nobody_knows_and_that_we_did_not_just_make() {
    let projects = [
        marked("p-1", tenant(1)),
        marked("p-2", tenant(2)),
        named("p-3", "theirs"),
    ];
    let mut snapshot = listed(10, &projects);
    assert_eq!(snapshot.orphaned(&[tenant(1)].into()), [id("p-2")].into());
    assert_eq!(
        snapshot.orphaned(&HashSet::new()),
        [id("p-1"), id("p-2")].into()
    );
    assert_eq!(
        snapshot.orphaned(&[tenant(1), tenant(2)].into()),
        BTreeSet::new()
    );
    snapshot.wrote(&marked("p-4", tenant(4)), &installation(), at(11));
    assert_eq!(
        snapshot.orphaned(&[tenant(1), tenant(2)].into()),
        BTreeSet::new(),
        "its Tenant is newer than the set"
    );
    snapshot.replace(listing(12, &[marked("p-4", tenant(4))]));
    assert_eq!(
        snapshot.orphaned(&[tenant(1), tenant(2)].into()),
        [id("p-4")].into()
    );
}

/// Something that happened in an account, a second after the thing before.
#[derive(Clone, Debug)]
enum Happening {
    /// We created the project, or changed it.
    Wrote(u8),
    /// We deleted it.
    Deleted(u8),
    /// A listing began; it shows what was there at its beginning.
    Began,
    /// The listing that began last was complete.
    Completed,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        2 => (0..3_u8).prop_map(Happening::Wrote),
        2 => (0..3_u8).prop_map(Happening::Deleted),
        1 => Just(Happening::Began),
        1 => Just(Happening::Completed),
    ];
    proptest::collection::vec(one, 0..30)
}

proptest! {
    /// With nobody else at work in the account, the snapshot always knows exactly what is there, however listings and
    /// our own calls overlap.
    #[test]
    fn nothing_that_we_did_is_undone_by_a_listing(happenings in happenings()) {
        let mut there: BTreeSet<u8> = BTreeSet::new();
        let mut snapshot = Snapshot::default();
        let mut running: Option<Gathering> = None;
        for (second, happening) in (1_i64..).zip(happenings) {
            match happening {
                Happening::Wrote(number) => {
                    there.insert(number);
                    snapshot.wrote(&marked(&format!("p-{number}"), tenant(1)), &installation(), at(second));
                }
                Happening::Deleted(number) => {
                    there.remove(&number);
                    snapshot.deleted(&id(&format!("p-{number}")), at(second));
                }
                Happening::Began => {
                    let projects: Vec<_> =
                        there.iter().map(|number| marked(&format!("p-{number}"), tenant(1))).collect();
                    running = Some(listing(second, &projects));
                }
                Happening::Completed => {
                    if let Some(gathering) = running.take() {
                        snapshot.replace(gathering);
                    }
                }
            }
            let expected: Vec<_> = there.iter().map(|number| id(&format!("p-{number}"))).collect();
            prop_assert_eq!(marks_of(&snapshot, tenant(1)), expected);
            prop_assert_eq!(snapshot.len(), there.len());
        }
    }
}
