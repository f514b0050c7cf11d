//! Listings that contain only the ids of some projects.

use super::*;

#[test]
fn a_project_that_neon_cannot_read_is_unavailable_and_not_missing() {
    let mut builder = listing(10, &[]);
    builder.add_page(&[], vec![id("p-1")], &installation());
    let mut snapshot = Snapshot::default();
    snapshot.replace(builder);
    assert!(
        snapshot
            .listing_for(tenant(1), &key(), Some(&id("p-1")))
            .unavailable
    );
    assert!(
        !snapshot
            .listing_for(tenant(1), &key(), Some(&id("p-2")))
            .unavailable
    );
    snapshot.replace(listing(20, &[]));
    assert!(
        !snapshot
            .listing_for(tenant(1), &key(), Some(&id("p-1")))
            .unavailable,
        "the next listing contains no unavailable project"
    );
}

#[test]
fn a_listing_with_an_unknown_project_does_not_prove_that_a_project_is_missing() {
    let mut snapshot = Snapshot::default();
    let unresolved = snapshot.replace(partial(10, &[marked("p-2", tenant(2))], &["p-1"]));
    assert_eq!(unresolved, [id("p-1")].into());
    assert_eq!(snapshot.as_of(), None);
    assert_eq!(
        marks_of(&snapshot, tenant(2)),
        [id("p-2")],
        "what it shows is known"
    );
    assert!(snapshot.replace(listing(20, &[])).is_empty());
    assert_eq!(snapshot.as_of(), Some(at(20)));
    snapshot.replace(partial(30, &[], &["p-3"]));
    assert_eq!(
        snapshot.as_of(),
        Some(at(20)),
        "the last complete listing remains the proof"
    );
}

#[test]
fn a_project_that_neon_cannot_read_is_kept_as_an_earlier_listing_showed_it() {
    let mut snapshot = listed(10, &[marked("p-1", tenant(1))]);
    assert!(snapshot.replace(partial(20, &[], &["p-1"])).is_empty());
    assert_eq!(snapshot.as_of(), Some(at(20)));
    assert_eq!(marks_of(&snapshot, tenant(1)), [id("p-1")]);
    let listing = snapshot.listing_for(tenant(1), &key(), Some(&id("p-1")));
    assert!(listing.unavailable && !listing.own_confirmed);
}

#[test]
fn a_project_that_was_read_by_id_completes_the_listing() {
    let mut snapshot = Snapshot::default();
    let mut builder = partial(10, &[], &["p-1", "p-2"]);
    builder.resolve(&marked("p-1", tenant(1)), &installation());
    builder.resolve_absent(&id("p-2"));
    assert!(snapshot.replace(builder).is_empty());
    assert_eq!(snapshot.as_of(), Some(at(10)));
    assert_eq!(marks_of(&snapshot, tenant(1)), [id("p-1")]);
}

#[test]
fn a_project_is_confirmed_only_by_a_complete_listing_that_shows_it() {
    let confirmed = |snapshot: &Snapshot| {
        let own = id("p-1");
        snapshot
            .listing_for(tenant(1), &key(), Some(&own))
            .own_confirmed
    };
    let projects = [marked("p-1", tenant(1))];
    let mut snapshot = listed(10, &projects);
    assert!(confirmed(&snapshot));
    snapshot.record_write(&projects[0], &installation(), at(15));
    assert!(!confirmed(&snapshot), "a write is not a listing");
    snapshot.replace(partial(20, &projects, &["p-2"]));
    assert!(!confirmed(&snapshot), "the listing is incomplete");
    snapshot.replace(listing(30, &projects));
    assert!(confirmed(&snapshot));
}
