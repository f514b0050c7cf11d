//! Listings that overlap with the controller's own writes.

mod partial_listings;

use neon_client::model::Quota;
use proptest::prelude::*;
use serde_json::json;

use super::*;

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

/// A project with this name, as Neon returns it.
fn named(project: &str, name: &str) -> Project {
    serde_json::from_value(json!({
        "id": project, "name": name, "region_id": "aws-eu-central-1", "pg_version": 17,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z",
        "settings": { "quota": { "active_time_seconds": 60 }, "allowed_ips": { "ips": ["10.0.0.1"] } },
        "history_retention_seconds": 86_400,
    }))
    .unwrap()
}

/// A project whose name contains a Tenant's mark.
fn marked(project: &str, owner: TenantUid) -> Project {
    named(project, &name_of(&installation(), owner))
}

fn key() -> TenantKey {
    TenantKey::new("acme", "one")
}

fn name_of(installation: &InstallationId, tenant: TenantUid) -> String {
    let mark = ProjectMark {
        installation: installation.clone(),
        tenant,
        key: key(),
    };
    mark.project_name("acme/one")
}

/// A project of which a compute was last active then.
fn active(project: &str, last_active_at: Option<Timestamp>) -> Project {
    Project {
        compute_last_active_at: last_active_at,
        ..named(project, "any")
    }
}

#[test]
fn a_project_is_active_if_a_listing_shows_a_later_use() {
    let before = [
        active("calm-sea-1", Some(at(9))),
        active("calm-sea-2", Some(at(10))),
        active("calm-sea-3", None),
    ];
    let mut snapshot = listed(20, &before);
    assert_eq!(
        snapshot.active_since(at(10)),
        ["calm-sea-2".to_owned()].into()
    );
    snapshot.replace(listing(30, &[active("calm-sea-1", Some(at(25)))]));
    assert_eq!(
        snapshot.active_since(at(10)),
        ["calm-sea-1".to_owned()].into()
    );
}

/// A complete listing that began at this second.
fn listing(began: i64, projects: &[Project]) -> ListingBuilder {
    let mut listing = ListingBuilder::begin(at(began));
    for page in projects.chunks(2) {
        listing.add_page(page, Vec::new(), &installation());
    }
    listing
}

/// A listing of which the projects `unavailable` contain only their ids.
fn partial(began: i64, projects: &[Project], unavailable: &[&str]) -> ListingBuilder {
    let mut builder = listing(began, projects);
    let ids = unavailable.iter().map(|project| id(project)).collect();
    builder.add_page(&[], ids, &installation());
    builder
}

fn listed(began: i64, projects: &[Project]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.replace(listing(began, projects));
    snapshot
}

fn marks_of(snapshot: &Snapshot, owner: TenantUid) -> Vec<ProjectId> {
    let mut ids: Vec<_> = snapshot
        .listing_for(owner, &key(), None)
        .marked
        .into_iter()
        .map(|project| project.id)
        .collect();
    ids.sort();
    ids
}

fn has(snapshot: &Snapshot, project: &str) -> bool {
    snapshot
        .listing_for(tenant(9), &key(), Some(&id(project)))
        .own
        .is_some()
}

#[test]
fn before_the_first_listing_the_snapshot_is_empty() {
    let snapshot = Snapshot::default();
    assert_eq!(
        snapshot.listing_for(tenant(1), &key(), Some(&id("p-1"))),
        ObservedListing::default()
    );
    assert!(snapshot.is_empty());
}

#[test]
fn a_listing_shows_the_recorded_project_and_the_projects_with_the_mark() {
    let projects = [
        marked("p-1", tenant(1)),
        marked("p-2", tenant(1)),
        marked("p-3", tenant(2)),
        named("p-4", "theirs"),
    ];
    let snapshot = listed(10, &projects);
    assert_eq!((snapshot.len(), snapshot.pages()), (4, 2));
    let listing = snapshot.listing_for(tenant(1), &key(), Some(&id("p-4")));
    assert_eq!(listing.as_of, Some(at(10)));
    assert_eq!(
        listing.own.map(|project| project.name),
        Some("theirs".to_owned())
    );
    assert_eq!(marks_of(&snapshot, tenant(1)), [id("p-1"), id("p-2")]);
    assert_eq!(marks_of(&snapshot, tenant(2)), [id("p-3")]);
    assert_eq!(marks_of(&snapshot, tenant(3)), []);
}

#[test]
fn settings_of_a_project_are_stored_in_canonical_form() {
    let snapshot = listed(10, &[named("p-1", "theirs")]);
    let project = snapshot
        .listing_for(tenant(1), &key(), Some(&id("p-1")))
        .own
        .unwrap();
    assert_eq!(
        project.quota,
        Some(Quota {
            active_time_seconds: Some(60),
            ..Quota::default()
        })
    );
    assert_eq!(project.allowed_ips, Some(["10.0.0.1/32".to_owned()].into()));
    assert_eq!(project.history_retention_seconds, Some(86_400));
    let bare = Project {
        settings: None,
        ..named("p-2", "theirs")
    };
    let project = listed(10, &[bare])
        .listing_for(tenant(1), &key(), Some(&id("p-2")))
        .own
        .unwrap();
    assert_eq!(
        (project.quota, project.allowed_ips),
        (None, None),
        "settings that are not listed are unknown"
    );
}

#[test]
fn marks_of_other_installations_are_ignored() {
    let other = InstallationId::parse("test-2").unwrap();
    let snapshot = listed(10, &[named("p-1", &name_of(&other, tenant(1)))]);
    assert_eq!(marks_of(&snapshot, tenant(1)), []);
    assert!(snapshot.orphaned_projects(&HashSet::new()).is_empty());
}

#[test]
fn a_deleted_project_that_is_still_listed_is_ignored() {
    let deleted = Project {
        deleted_at: Some(at(5)),
        ..marked("p-1", tenant(1))
    };
    let snapshot = listed(10, &[deleted]);
    assert!(!has(&snapshot, "p-1"));
    assert_eq!(marks_of(&snapshot, tenant(1)), []);
}

#[test]
fn a_project_that_disappeared_from_the_listing_is_remembered() {
    let mut snapshot = listed(10, &[marked("p-1", tenant(1))]);
    snapshot.replace(listing(20, &[]));
    snapshot.replace(listing(30, &[]));
    assert!(snapshot.has_shown(&id("p-1")));
    assert!(!snapshot.has_shown(&id("p-2")));
}

#[test]
fn only_complete_usage_figures_prove_that_a_project_is_unused() {
    let new = Project {
        active_time: Some(0),
        synthetic_storage_size: Some(31_000_000),
        ..named("p-1", "new")
    };
    assert!(is_unused(&new));
    let used: [fn(&mut Project); 5] = [
        |project| project.compute_last_active_at = Some(at(5)),
        |project| project.active_time = Some(1),
        |project| project.active_time = None,
        |project| project.synthetic_storage_size = Some(1 << 30),
        |project| project.synthetic_storage_size = None,
    ];
    for change in used {
        let mut project = new.clone();
        change(&mut project);
        assert!(!is_unused(&project), "{project:?}");
    }
}

#[test]
fn a_write_is_visible_immediately_and_survives_a_listing_that_began_before_it() {
    let mut snapshot = Snapshot::default();
    snapshot.record_write(&marked("p-1", tenant(1)), &installation(), at(15));
    assert_eq!(marks_of(&snapshot, tenant(1)), [id("p-1")]);
    assert_eq!(
        snapshot.as_of(),
        None,
        "a write does not count as a listing"
    );
    for (began, present) in [(10, true), (15, true), (16, false)] {
        snapshot.replace(listing(began, &[]));
        assert_eq!(has(&snapshot, "p-1"), present, "listing of {began}");
        assert_eq!(
            !marks_of(&snapshot, tenant(1)).is_empty(),
            present,
            "listing of {began}"
        );
    }
}

#[test]
fn a_deletion_survives_a_listing_that_began_before_it() {
    let projects = [marked("p-1", tenant(1)), marked("p-2", tenant(1))];
    let mut snapshot = listed(5, &projects);
    snapshot.record_deletion(&id("p-1"), at(15));
    assert_eq!(marks_of(&snapshot, tenant(1)), [id("p-2")]);
    snapshot.replace(listing(10, &projects));
    assert_eq!(marks_of(&snapshot, tenant(1)), [id("p-2")]);
    assert!(!has(&snapshot, "p-1"));
    // The project was recovered: a listing that began after the deletion takes precedence.
    snapshot.replace(listing(16, &projects));
    assert_eq!(marks_of(&snapshot, tenant(1)), [id("p-1"), id("p-2")]);
}

#[test]
fn the_last_of_several_writes_takes_effect() {
    let mut snapshot = Snapshot::default();
    let first = marked("p-1", tenant(1));
    let second = Project {
        history_retention_seconds: Some(60),
        ..first.clone()
    };
    snapshot.record_write(&first, &installation(), at(11));
    snapshot.record_write(&second, &installation(), at(12));
    snapshot.replace(listing(10, std::slice::from_ref(&first)));
    assert_eq!(
        snapshot
            .listing_for(tenant(1), &key(), Some(&id("p-1")))
            .own
            .unwrap()
            .history_retention_seconds,
        Some(60)
    );
    assert_eq!(
        marks_of(&snapshot, tenant(1)),
        [id("p-1")],
        "the project appears once"
    );
    snapshot.record_deletion(&id("p-1"), at(13));
    snapshot.record_write(&first, &installation(), at(14));
    assert_eq!(marks_of(&snapshot, tenant(1)), [id("p-1")], "recovered");
}

#[test]
fn projects_without_a_known_tenant_are_orphaned_unless_they_were_just_created() {
    let projects = [
        marked("p-1", tenant(1)),
        marked("p-2", tenant(2)),
        named("p-3", "theirs"),
    ];
    let mut snapshot = listed(10, &projects);
    assert_eq!(
        snapshot.orphaned_projects(&[tenant(1)].into()),
        [id("p-2")].into()
    );
    assert_eq!(
        snapshot.orphaned_projects(&HashSet::new()),
        [id("p-1"), id("p-2")].into()
    );
    assert_eq!(
        snapshot.orphaned_projects(&[tenant(1), tenant(2)].into()),
        BTreeSet::new()
    );
    snapshot.record_write(&marked("p-4", tenant(4)), &installation(), at(11));
    assert_eq!(
        snapshot.orphaned_projects(&[tenant(1), tenant(2)].into()),
        BTreeSet::new(),
        "its Tenant may be newer than the set"
    );
    snapshot.replace(listing(12, &[marked("p-4", tenant(4))]));
    assert_eq!(
        snapshot.orphaned_projects(&[tenant(1), tenant(2)].into()),
        [id("p-4")].into()
    );
}

/// An event in an account. Each happens one second after the previous one.
#[derive(Clone, Debug)]
enum AccountEvent {
    /// The controller created or changed the project.
    Wrote(u8),
    /// The controller deleted the project.
    Deleted(u8),
    /// A listing began. It contains the projects that exist at that moment, and of those in the bit
    /// mask only the ids.
    ListingBegan(u8),
    /// The last listing that began is complete.
    ListingCompleted,
}

fn account_events() -> impl Strategy<Value = Vec<AccountEvent>> {
    let one = prop_oneof![
        2 => (0..3_u8).prop_map(AccountEvent::Wrote),
        2 => (0..3_u8).prop_map(AccountEvent::Deleted),
        1 => (0..8_u8).prop_map(AccountEvent::ListingBegan),
        1 => Just(AccountEvent::ListingCompleted),
    ];
    proptest::collection::vec(one, 0..30)
}

proptest! {
    /// If only the controller changes the account, the snapshot always equals the account, however
    /// listings and writes overlap.
    #[test]
    fn a_listing_never_undoes_a_write(events in account_events()) {
        let mut existing: BTreeSet<u8> = BTreeSet::new();
        let mut snapshot = Snapshot::default();
        let mut running: Option<ListingBuilder> = None;
        for (second, event) in (1_i64..).zip(events) {
            match event {
                AccountEvent::Wrote(number) => {
                    existing.insert(number);
                    snapshot.record_write(&marked(&format!("p-{number}"), tenant(1)), &installation(), at(second));
                }
                AccountEvent::Deleted(number) => {
                    existing.remove(&number);
                    snapshot.record_deletion(&id(&format!("p-{number}")), at(second));
                }
                AccountEvent::ListingBegan(mask) => {
                    let (unavailable, readable): (Vec<u8>, Vec<u8>) =
                        existing.iter().partition(|number| mask & 1 << **number != 0);
                    let projects: Vec<_> =
                        readable.iter().map(|number| marked(&format!("p-{number}"), tenant(1))).collect();
                    let unavailable: Vec<_> = unavailable.iter().map(|number| format!("p-{number}")).collect();
                    let unavailable: Vec<_> = unavailable.iter().map(String::as_str).collect();
                    running = Some(partial(second, &projects, &unavailable));
                }
                AccountEvent::ListingCompleted => {
                    if let Some(listing) = running.take() {
                        snapshot.replace(listing);
                    }
                }
            }
            let expected: Vec<_> = existing.iter().map(|number| id(&format!("p-{number}"))).collect();
            prop_assert_eq!(marks_of(&snapshot, tenant(1)), expected);
            prop_assert_eq!(snapshot.len(), existing.len());
        }
    }
}

#[test]
fn projects_of_other_tenants_with_the_same_name_are_namesakes_until_they_are_taken_back() {
    let mut snapshot = listed(10, &[marked("p-1", tenant(1)), marked("p-2", tenant(2))]);
    let namesakes = |snapshot: &Snapshot, owner| -> Vec<String> {
        let listing = snapshot.listing_for(owner, &key(), None);
        let mut ids: Vec<_> = listing
            .namesakes
            .iter()
            .map(|project| project.id.to_string())
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(namesakes(&snapshot, tenant(1)), ["p-2"]);
    assert_eq!(namesakes(&snapshot, tenant(3)), ["p-1", "p-2"]);
    let other = snapshot.listing_for(tenant(3), &TenantKey::new("acme", "two"), None);
    assert_eq!(other.namesakes, []);
    snapshot.record_write(&marked("p-1", tenant(3)), &installation(), at(20));
    assert_eq!(namesakes(&snapshot, tenant(3)), ["p-2"], "taken back");
    assert_eq!(marks_of(&snapshot, tenant(1)), []);
    snapshot.record_deletion(&id("p-2"), at(21));
    assert!(namesakes(&snapshot, tenant(3)).is_empty(), "deleted");
}
