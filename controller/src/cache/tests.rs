//! The caches as watches fill them: whose a Secret is, whether it is as it was written, and whom a change concerns.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, OwnerReference};
use serde_json::{Map, Value, json};

use super::*;

const UID: &str = "00000000-0000-0000-0000-000000000001";
const OTHER_UID: &str = "00000000-0000-0000-0000-000000000002";
const PROJECT: &str = "calm-sea-1";
/// Keys that stand in every connection Secret; `ca.crt` only where it is needed.
fn usual_keys() -> Vec<&'static str> {
    keys::ALL
        .iter()
        .copied()
        .filter(|key| *key != keys::CA_CRT)
        .collect()
}

fn uid() -> TenantUid {
    TenantUid::parse(UID).unwrap()
}

fn entry(manager: &str, operation: &str, data: &[&str]) -> ManagedFieldsEntry {
    let data: Map<String, Value> = data
        .iter()
        .map(|key| (format!("f:{key}"), json!({})))
        .collect();
    ManagedFieldsEntry {
        manager: Some(manager.to_owned()),
        operation: Some(operation.to_owned()),
        fields_v1: Some(FieldsV1(json!({ "f:data": data, "f:type": {} }))),
        ..ManagedFieldsEntry::default()
    }
}

fn ours(keys: &[&str]) -> ManagedFieldsEntry {
    entry(FIELD_MANAGER, "Apply", keys)
}

fn metadata(namespace: &str, name: &str, entries: Vec<ManagedFieldsEntry>) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        annotations: Some([(annotations::PROJECT_ID.to_owned(), PROJECT.to_owned())].into()),
        owner_references: Some(vec![OwnerReference {
            api_version: "dbpertenant.dev/v1alpha1".to_owned(),
            kind: "Tenant".to_owned(),
            name: "one".to_owned(),
            uid: UID.to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        managed_fields: Some(entries),
        ..ObjectMeta::default()
    }
}

fn written() -> ObjectMeta {
    metadata("acme", "one-connection", vec![ours(&usual_keys())])
}

fn with_certificates() -> ObjectMeta {
    let mut meta = metadata("acme", "one-connection", vec![ours(keys::ALL)]);
    meta.annotations
        .as_mut()
        .unwrap()
        .insert(annotations::CA_DIGEST.to_owned(), "ca-1".to_owned());
    meta
}

fn watched(metadata: ObjectMeta) -> PartialObjectMeta<Secret> {
    PartialObjectMeta {
        types: None,
        metadata,
        _phantom: std::marker::PhantomData,
    }
}

fn key(namespace: &str, name: &str) -> Key {
    Key {
        namespace: namespace.into(),
        name: name.into(),
    }
}

fn the_key() -> Key {
    key("acme", "one-connection")
}

fn tenant_ref(namespace: &str) -> ObjectRef<PackedTenant> {
    ObjectRef::new("one").within(namespace)
}

fn apply(secrets: &Secrets, metadata: ObjectMeta) -> Vec<ObjectRef<PackedTenant>> {
    secrets.observe(None, Event::Apply(watched(metadata)))
}

fn relist(
    secrets: &Secrets,
    scope: Option<&str>,
    all: Vec<ObjectMeta>,
) -> Vec<ObjectRef<PackedTenant>> {
    assert_eq!(secrets.observe(scope, Event::Init), []);
    for metadata in all {
        assert_eq!(
            secrets.observe(scope, Event::InitApply(watched(metadata))),
            []
        );
    }
    secrets.observe(scope, Event::InitDone)
}

fn facts_of(metadata: ObjectMeta) -> SecretFacts {
    let secrets = Secrets::default();
    apply(&secrets, metadata);
    secrets.facts(&the_key(), uid(), "another")
}

fn is_intact(metadata: ObjectMeta) -> bool {
    match facts_of(metadata) {
        SecretFacts::Ours { intact, .. } => intact,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_secret_as_we_wrote_it_tells_whose_credentials_it_has() {
    let expected = |ca: Option<&str>| SecretFacts::Ours {
        intact: true,
        project: Some(PROJECT.parse().unwrap()),
        ca_digest: ca.map(str::to_owned),
    };
    assert_eq!(facts_of(written()), expected(None));
    assert_eq!(facts_of(with_certificates()), expected(Some("ca-1")));
}

#[test]
fn a_secret_that_was_never_seen_is_missing() {
    assert_eq!(
        Secrets::default().facts(&the_key(), uid(), "another"),
        SecretFacts::Missing
    );
}

#[test]
fn whatever_others_do_beside_our_keys_leaves_the_secret_intact() {
    let mut labelled = written();
    labelled.labels = Some([("team".to_owned(), "blue".to_owned())].into());
    labelled
        .managed_fields
        .as_mut()
        .unwrap()
        .push(ManagedFieldsEntry {
            manager: Some("kubectl-label".to_owned()),
            operation: Some("Update".to_owned()),
            fields_v1: Some(FieldsV1(
                json!({ "f:metadata": { "f:labels": { "f:team": {} } } }),
            )),
            ..ManagedFieldsEntry::default()
        });
    assert!(is_intact(labelled));
    let mut a_key_more = written();
    a_key_more
        .managed_fields
        .as_mut()
        .unwrap()
        .push(entry("kubectl-edit", "Update", &["theirs"]));
    assert!(is_intact(a_key_more));
}

#[test]
fn a_key_that_anybody_else_changed_is_not_intact() {
    for key in keys::ALL {
        // `kubectl edit` of one key: it becomes theirs in the books, and ours no longer.
        let rest: Vec<&str> = keys::ALL.iter().copied().filter(|one| one != key).collect();
        let mut edited = with_certificates();
        edited.managed_fields = Some(vec![ours(&rest), entry("kubectl-edit", "Update", &[key])]);
        assert!(!is_intact(edited), "{key} edited");
    }
}

#[test]
fn a_key_whose_very_value_somebody_applied_too_is_as_we_wrote_it() {
    let mut shared = with_certificates();
    shared.managed_fields = Some(vec![
        ours(keys::ALL),
        entry("gitops", "Apply", &[keys::PASSWORD]),
    ]);
    assert!(
        is_intact(shared),
        "had its value been another, it would be theirs alone"
    );
}

#[test]
fn a_key_that_was_removed_is_noticed() {
    for key in keys::ALL {
        let rest: Vec<&str> = keys::ALL.iter().copied().filter(|one| one != key).collect();
        let mut removed = with_certificates();
        removed.managed_fields = Some(vec![ours(&rest)]);
        assert!(!is_intact(removed), "{key} removed");
    }
}

#[test]
fn what_our_name_did_by_other_ways_than_apply_is_not_ours() {
    let reserved = metadata(
        "acme",
        "one-connection",
        vec![entry(FIELD_MANAGER, "Update", &[])],
    );
    assert!(!is_intact(reserved), "made, and still empty");
    let updated = metadata(
        "acme",
        "one-connection",
        vec![entry(FIELD_MANAGER, "Update", &usual_keys())],
    );
    assert!(!is_intact(updated));
    let no_books = ObjectMeta {
        managed_fields: None,
        ..written()
    };
    assert!(!is_intact(no_books));
}

#[test]
fn a_secret_of_another_owner_or_none_is_foreign() {
    let of = |change: fn(&mut ObjectMeta)| {
        let mut metadata = written();
        change(&mut metadata);
        facts_of(metadata)
    };
    assert_eq!(
        of(|meta| meta.owner_references = None),
        SecretFacts::Foreign
    );
    assert_eq!(
        of(|meta| meta.owner_references.as_mut().unwrap()[0].uid = OTHER_UID.to_owned()),
        SecretFacts::Foreign
    );
    assert_eq!(
        of(|meta| meta.owner_references.as_mut().unwrap()[0].controller = None),
        SecretFacts::Foreign
    );
    assert_eq!(
        of(|meta| meta.owner_references.as_mut().unwrap()[0].kind = "Deployment".to_owned()),
        SecretFacts::Foreign
    );
}

#[test]
fn a_change_wakes_the_owner_and_a_change_of_nothing_wakes_nobody() {
    let secrets = Secrets::default();
    assert_eq!(apply(&secrets, written()), [tenant_ref("acme")], "new");
    assert_eq!(apply(&secrets, written()), [], "the same again");
    let mut labelled = written();
    labelled.labels = Some([("team".to_owned(), "blue".to_owned())].into());
    assert_eq!(apply(&secrets, labelled), [], "a label of somebody's");
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
        "a key of ours"
    );
    assert_eq!(
        secrets.observe(None, Event::Delete(watched(edited))),
        [tenant_ref("acme")]
    );
    assert_eq!(
        secrets.facts(&the_key(), uid(), "another"),
        SecretFacts::Missing
    );
}

#[test]
fn a_secret_taken_from_its_tenant_wakes_the_tenant() {
    let secrets = Secrets::default();
    apply(&secrets, written());
    let orphaned = ObjectMeta {
        owner_references: None,
        ..written()
    };
    assert_eq!(apply(&secrets, orphaned), [tenant_ref("acme")]);
}

#[test]
fn our_own_write_wakes_nobody_when_the_watch_tells_of_it() {
    let secrets = Secrets::default();
    secrets.wrote(&Secret {
        metadata: written(),
        ..Secret::default()
    });
    assert_eq!(secrets.len(), 1);
    assert_eq!(apply(&secrets, written()), []);
}

#[test]
fn a_relist_wakes_those_whose_secrets_are_others_than_before() {
    let secrets = Secrets::default();
    let (same, gone) = (
        metadata("a", "same", vec![ours(&usual_keys())]),
        metadata("b", "gone", vec![]),
    );
    let (edited, new) = (
        metadata("c", "edited", vec![ours(&usual_keys())]),
        metadata("d", "new", vec![]),
    );
    assert_eq!(
        relist(&secrets, None, vec![same.clone(), gone, edited.clone()]).len(),
        3,
        "the first list"
    );
    let edited = ObjectMeta {
        managed_fields: None,
        ..edited
    };
    let touched = relist(&secrets, None, vec![same, edited, new]);
    assert_eq!(touched, [tenant_ref("b"), tenant_ref("c"), tenant_ref("d")]);
    assert_eq!(
        secrets.facts(&key("b", "gone"), uid(), "another"),
        SecretFacts::Missing
    );
    assert_eq!(secrets.len(), 3);
}

#[test]
fn a_relist_that_began_anew_forgets_what_it_had() {
    let secrets = Secrets::default();
    secrets.observe(None, Event::Init);
    secrets.observe(None, Event::InitApply(watched(written())));
    relist(&secrets, None, vec![]);
    assert!(secrets.is_empty());
}

#[test]
fn a_relist_of_one_namespace_leaves_the_others_alone_also_while_they_are_relisted() {
    let secrets = Secrets::default();
    let (a, b) = (metadata("a", "s", vec![]), metadata("b", "s", vec![]));
    relist(&secrets, Some("a"), vec![a.clone()]);
    relist(&secrets, Some("b"), vec![b.clone()]);
    assert_eq!(relist(&secrets, Some("a"), vec![]), [tenant_ref("a")]);
    assert_ne!(
        secrets.facts(&key("b", "s"), uid(), "another"),
        SecretFacts::Missing
    );
    // Two watches that begin at once.
    for scope in ["a", "b"] {
        secrets.observe(Some(scope), Event::Init);
    }
    secrets.observe(Some("b"), Event::InitApply(watched(b)));
    secrets.observe(Some("a"), Event::InitApply(watched(a)));
    secrets.observe(Some("a"), Event::InitDone);
    secrets.observe(Some("b"), Event::InitDone);
    assert_eq!(secrets.len(), 2, "neither took from the other");
}

fn tenant(version: &str) -> Tenant {
    let mut tenant = Tenant::new("one", crds::TenantSpec::default());
    tenant.metadata.namespace = Some("acme".to_owned());
    tenant.metadata.uid = Some(UID.to_owned());
    tenant.metadata.generation = Some(1);
    tenant.metadata.resource_version = Some(version.to_owned());
    tenant
}

#[test]
fn a_packed_tenant_unpacks_to_itself_without_what_nobody_reads() {
    let mut whole = tenant("5");
    whole.metadata.managed_fields = Some(vec![ours(&[])]);
    whole.metadata.annotations = Some(
        [
            (LAST_APPLIED.to_owned(), "{}".to_owned()),
            (annotations::RECONCILE_AT.to_owned(), "1".to_owned()),
        ]
        .into(),
    );
    whole.spec.adopt = Some(crds::Adopt {
        project_id: PROJECT.to_owned(),
        reset_password: false,
    });
    whole.status = Some(crds::TenantStatus {
        phase: Some(Phase::Ready),
        ..crds::TenantStatus::default()
    });
    let packed = PackedTenant::try_from(whole.clone()).unwrap();
    assert_eq!(
        (packed.class_name(), packed.phase(), packed.adopts()),
        ("default", Some(Phase::Ready), Some(PROJECT))
    );
    assert_eq!(Key::of(&packed), key("acme", "one"));
    prune(&mut whole);
    assert_eq!(packed.unpack(), Some(whole));
    let again: PackedTenant = serde_json::from_slice(&packed.body.unpack().unwrap()).unwrap();
    assert_eq!(again.unpack(), packed.unpack());
}

#[test]
fn what_people_ask_of_a_tenant_changes_its_hash_and_its_status_does_not() {
    let hash = |change: fn(&mut Tenant)| {
        let mut tenant = tenant("5");
        change(&mut tenant);
        PackedTenant::try_from(tenant).unwrap().wish_hash()
    };
    let before = hash(|_| {});
    let quiet: [fn(&mut Tenant); 3] = [
        |tenant| {
            tenant.status = Some(crds::TenantStatus {
                observed_generation: Some(1),
                ..crds::TenantStatus::default()
            });
        },
        |tenant| tenant.metadata.resource_version = Some("6".to_owned()),
        |tenant| tenant.metadata.managed_fields = Some(vec![ours(&[])]),
    ];
    for change in quiet {
        assert_eq!(hash(change), before);
    }
    let loud: [fn(&mut Tenant); 5] = [
        |tenant| tenant.metadata.generation = Some(2),
        |tenant| tenant.metadata.uid = Some(OTHER_UID.to_owned()),
        |tenant| {
            tenant.metadata.deletion_timestamp = Some(
                k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
            );
        },
        |tenant| tenant.metadata.finalizers = Some(vec!["theirs".to_owned()]),
        |tenant| {
            tenant.metadata.annotations =
                Some([(annotations::RECONCILE_AT.to_owned(), "1".to_owned())].into());
        },
    ];
    for change in loud {
        assert_ne!(hash(change), before);
    }
}

#[test]
fn our_own_write_stands_until_the_watch_has_caught_up() {
    let recent = Recent::default();
    let newest = |version: &str| recent.newest(uid(), || Some(tenant(version)));
    assert_eq!(newest("5"), Some(tenant("5")));
    recent.wrote(uid(), tenant("10"));
    assert_eq!(newest("9"), Some(tenant("10")), "as numbers, not as text");
    assert_eq!(newest("10"), Some(tenant("10")));
    assert_eq!(newest("11"), Some(tenant("11")));
    recent.saw(&PackedTenant::try_from(tenant("9")).unwrap());
    assert_eq!(newest("9"), Some(tenant("10")), "the watch is behind still");
    recent.saw(&PackedTenant::try_from(tenant("10")).unwrap());
    assert_eq!(
        newest("9"),
        Some(tenant("9")),
        "it was dropped when the watch had it"
    );
    recent.wrote(uid(), tenant("12"));
    recent.forget(uid());
    assert_eq!(newest("9"), Some(tenant("9")));
}

#[test]
fn a_write_that_the_watch_brings_while_a_pass_begins_is_in_the_cache_then() {
    let recent = Recent::default();
    recent.wrote(uid(), tenant("10"));
    let newest = recent.newest(uid(), || {
        recent.saw(&PackedTenant::try_from(tenant("10")).unwrap());
        Some(tenant("10"))
    });
    assert_eq!(newest, Some(tenant("10")));
}

#[test]
fn a_secret_of_an_earlier_tenant_of_the_name_is_about_to_go() {
    let secrets = Secrets::default();
    let mut metadata = written();
    metadata.owner_references.as_mut().unwrap()[0].uid = OTHER_UID.to_owned();
    let name = metadata.owner_references.as_ref().unwrap()[0].name.clone();
    apply(&secrets, metadata);
    assert_eq!(
        secrets.facts(&the_key(), uid(), &name),
        SecretFacts::Leftover
    );
}
