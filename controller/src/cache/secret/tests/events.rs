//! Which Tenants an event of the watch concerns.

use super::*;

fn relist(
    secrets: &SecretCache,
    scope: Option<&str>,
    all: Vec<ObjectMeta>,
) -> Vec<ObjectRef<CachedTenant>> {
    assert_eq!(secrets.apply_event(scope, Event::Init), []);
    for metadata in all {
        assert_eq!(
            secrets.apply_event(scope, Event::InitApply(watched(metadata))),
            []
        );
    }
    secrets.apply_event(scope, Event::InitDone)
}

#[test]
fn only_a_relevant_change_affects_the_owner() {
    let secrets = SecretCache::default();
    assert_eq!(apply(&secrets, written()), [tenant_ref("acme")], "new");
    assert_eq!(apply(&secrets, written()), [], "the same again");
    let mut labelled = written();
    labelled.labels = Some([("team".to_owned(), "blue".to_owned())].into());
    assert_eq!(apply(&secrets, labelled), [], "a label of another client");
    let mut edited = written();
    let rest: Vec<&str> = usual_keys()
        .into_iter()
        .filter(|key| *key != keys::PASSWORD)
        .collect();
    edited.managed_fields = Some(vec![
        ours(&rest),
        entry("kubectl-edit", "Update", &[keys::PASSWORD]),
    ]);
    assert_eq!(
        apply(&secrets, edited.clone()),
        [tenant_ref("acme")],
        "a key of the controller"
    );
    assert_eq!(
        secrets.apply_event(None, Event::Delete(watched(edited))),
        [tenant_ref("acme")]
    );
    assert_eq!(
        secrets.lookup(&the_key(), uid(), "another"),
        ObservedSecret::Missing
    );
}

#[test]
fn removing_the_owner_of_a_secret_affects_the_former_owner() {
    let secrets = SecretCache::default();
    apply(&secrets, written());
    let orphaned = ObjectMeta {
        owner_references: None,
        ..written()
    };
    assert_eq!(apply(&secrets, orphaned), [tenant_ref("acme")]);
}

#[test]
fn the_watch_event_of_an_own_write_affects_no_tenant() {
    let secrets = SecretCache::default();
    secrets.record_write(&Secret {
        metadata: written(),
        ..Secret::default()
    });
    assert_eq!(secrets.len(), 1);
    assert_eq!(apply(&secrets, written()), []);
}

#[test]
fn a_relist_affects_the_owners_of_changed_secrets() {
    let secrets = SecretCache::default();
    let (unchanged, deleted) = (
        metadata("a", "unchanged", vec![ours(&usual_keys())]),
        metadata("b", "deleted", vec![]),
    );
    let (edited, new) = (
        metadata("c", "edited", vec![ours(&usual_keys())]),
        metadata("d", "new", vec![]),
    );
    assert_eq!(
        relist(
            &secrets,
            None,
            vec![unchanged.clone(), deleted, edited.clone()]
        )
        .len(),
        3,
        "the first list"
    );
    let edited = ObjectMeta {
        managed_fields: None,
        ..edited
    };
    let affected = relist(&secrets, None, vec![unchanged, edited, new]);
    assert_eq!(
        affected,
        [tenant_ref("b"), tenant_ref("c"), tenant_ref("d")]
    );
    assert_eq!(
        secrets.lookup(&key("b", "deleted"), uid(), "another"),
        ObservedSecret::Missing
    );
    assert_eq!(secrets.len(), 3);
}

#[test]
fn a_restarted_relist_discards_its_first_part() {
    let secrets = SecretCache::default();
    secrets.apply_event(None, Event::Init);
    secrets.apply_event(None, Event::InitApply(watched(written())));
    relist(&secrets, None, vec![]);
    assert!(secrets.is_empty());
}

#[test]
fn concurrent_relists_of_two_namespaces_do_not_affect_each_other() {
    let secrets = SecretCache::default();
    let (a, b) = (metadata("a", "s", vec![]), metadata("b", "s", vec![]));
    relist(&secrets, Some("a"), vec![a.clone()]);
    relist(&secrets, Some("b"), vec![b.clone()]);
    assert_eq!(relist(&secrets, Some("a"), vec![]), [tenant_ref("a")]);
    assert_ne!(
        secrets.lookup(&key("b", "s"), uid(), "another"),
        ObservedSecret::Missing
    );
    // Two watches begin a list at the same time.
    for scope in ["a", "b"] {
        secrets.apply_event(Some(scope), Event::Init);
    }
    secrets.apply_event(Some("b"), Event::InitApply(watched(b)));
    secrets.apply_event(Some("a"), Event::InitApply(watched(a)));
    secrets.apply_event(Some("a"), Event::InitDone);
    secrets.apply_event(Some("b"), Event::InitDone);
    assert_eq!(secrets.len(), 2, "neither removed Secrets of the other");
}
