//! The caches as watches fill them: the owner of a Secret, whether it is intact, and which Tenants
//! an event concerns.

mod events;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, OwnerReference};
use serde_json::{Map, Value, json};

use super::*;

const UID: &str = "00000000-0000-0000-0000-000000000001";
const OTHER_UID: &str = "00000000-0000-0000-0000-000000000002";
const PROJECT: &str = "calm-sea-1";
/// The keys of a connection Secret without `ca.crt`, which not every Secret needs.
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

fn key(namespace: &str, name: &str) -> NamespacedName {
    NamespacedName {
        namespace: namespace.into(),
        name: name.into(),
    }
}

fn the_key() -> NamespacedName {
    key("acme", "one-connection")
}

fn tenant_ref(namespace: &str) -> ObjectRef<CachedTenant> {
    ObjectRef::new("one").within(namespace)
}

fn apply(secrets: &SecretCache, metadata: ObjectMeta) -> Vec<ObjectRef<CachedTenant>> {
    secrets.apply_event(None, Event::Apply(watched(metadata)))
}

fn observed(metadata: ObjectMeta) -> ObservedSecret {
    let secrets = SecretCache::default();
    apply(&secrets, metadata);
    secrets.lookup(&the_key(), uid(), "another")
}

fn is_intact(metadata: ObjectMeta) -> bool {
    match observed(metadata) {
        ObservedSecret::Owned { intact, .. } => intact,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unmodified_secret_is_intact_and_has_its_project() {
    let expected = |ca: Option<&str>| ObservedSecret::Owned {
        intact: true,
        project: Some(PROJECT.parse().unwrap()),
        ca_digest: ca.map(str::to_owned),
        resource_version: None,
    };
    assert_eq!(observed(written()), expected(None));
    assert_eq!(observed(with_certificates()), expected(Some("ca-1")));
}

#[test]
fn an_unknown_secret_is_missing() {
    assert_eq!(
        SecretCache::default().lookup(&the_key(), uid(), "another"),
        ObservedSecret::Missing
    );
}

#[test]
fn changes_outside_the_controllers_keys_leave_the_secret_intact() {
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
    let mut with_extra_key = written();
    with_extra_key.managed_fields.as_mut().unwrap().push(entry(
        "kubectl-edit",
        "Update",
        &["theirs"],
    ));
    assert!(is_intact(with_extra_key));
}

#[test]
fn a_secret_with_a_key_that_another_client_changed_is_not_intact() {
    for key in keys::ALL {
        // `kubectl edit` of one key moves the key to kubectl's entry.
        let rest: Vec<&str> = keys::ALL.iter().copied().filter(|one| one != key).collect();
        let mut edited = with_certificates();
        edited.managed_fields = Some(vec![ours(&rest), entry("kubectl-edit", "Update", &[key])]);
        assert!(!is_intact(edited), "{key} edited");
        // So does a forced server-side apply of another value.
        let mut forced = with_certificates();
        forced.managed_fields = Some(vec![ours(&rest), entry("gitops", "Apply", &[key])]);
        assert!(!is_intact(forced), "{key} applied");
    }
}

#[test]
fn a_key_that_another_client_applied_with_the_same_value_is_intact() {
    let mut shared = with_certificates();
    shared.managed_fields = Some(vec![
        ours(keys::ALL),
        entry("gitops", "Apply", &[keys::PASSWORD]),
    ]);
    assert!(
        is_intact(shared),
        "with another value, the key would belong to the other client only"
    );
}

#[test]
fn a_secret_without_one_of_its_keys_is_not_intact() {
    for key in keys::ALL {
        let rest: Vec<&str> = keys::ALL.iter().copied().filter(|one| one != key).collect();
        let mut removed = with_certificates();
        removed.managed_fields = Some(vec![ours(&rest)]);
        assert!(!is_intact(removed), "{key} removed");
    }
}

#[test]
fn keys_that_were_not_written_by_server_side_apply_are_not_intact() {
    let reserved = metadata(
        "acme",
        "one-connection",
        vec![entry(FIELD_MANAGER, "Update", &[])],
    );
    assert!(!is_intact(reserved), "created, and still empty");
    let updated = metadata(
        "acme",
        "one-connection",
        vec![entry(FIELD_MANAGER, "Update", &usual_keys())],
    );
    assert!(!is_intact(updated));
    let without_managed_fields = ObjectMeta {
        managed_fields: None,
        ..written()
    };
    assert!(!is_intact(without_managed_fields));
}

#[test]
fn a_secret_of_another_owner_or_without_one_is_not_owned() {
    let of = |change: fn(&mut ObjectMeta)| {
        let mut metadata = written();
        change(&mut metadata);
        observed(metadata)
    };
    assert_eq!(
        of(|meta| meta.owner_references = None),
        ObservedSecret::NotOwned
    );
    assert_eq!(
        of(|meta| meta.owner_references.as_mut().unwrap()[0].uid = OTHER_UID.to_owned()),
        ObservedSecret::NotOwned
    );
    assert_eq!(
        of(|meta| meta.owner_references.as_mut().unwrap()[0].controller = None),
        ObservedSecret::NotOwned
    );
    assert_eq!(
        of(|meta| meta.owner_references.as_mut().unwrap()[0].kind = "Deployment".to_owned()),
        ObservedSecret::NotOwned
    );
}

#[test]
fn a_secret_without_an_owner_that_was_written_for_the_tenant_is_restored() {
    let of = |change: fn(&mut ObjectMeta)| {
        let mut metadata = written();
        metadata.owner_references = None;
        metadata.annotations =
            Some([(annotations::PROJECT_ID.to_owned(), "calm-sea-1".to_owned())].into());
        metadata.labels = Some(
            [
                (labels::MANAGED_BY.to_owned(), FIELD_MANAGER.to_owned()),
                (labels::TENANT.to_owned(), "another".to_owned()),
            ]
            .into(),
        );
        change(&mut metadata);
        observed(metadata)
    };
    assert!(matches!(
        of(|_| {}),
        ObservedSecret::Restored { project: Some(_) }
    ));
    assert_eq!(
        of(|meta| meta.annotations = None),
        ObservedSecret::Restored { project: None }
    );
    let other: [fn(&mut ObjectMeta); 4] = [
        |meta| {
            meta.owner_references = written().owner_references;
            meta.owner_references.as_mut().unwrap()[0].kind = "Deployment".to_owned();
        },
        |meta| {
            _ = meta
                .labels
                .as_mut()
                .unwrap()
                .insert(labels::TENANT.to_owned(), "two".to_owned());
        },
        |meta| _ = meta.labels.as_mut().unwrap().remove(labels::TENANT),
        |meta| _ = meta.labels.as_mut().unwrap().remove(labels::MANAGED_BY),
    ];
    for change in other {
        assert_eq!(of(change), ObservedSecret::NotOwned);
    }
}

#[test]
fn a_secret_of_an_earlier_tenant_with_the_same_name_is_owned_by_the_predecessor() {
    let secrets = SecretCache::default();
    let mut metadata = written();
    metadata.owner_references.as_mut().unwrap()[0].uid = OTHER_UID.to_owned();
    let name = metadata.owner_references.as_ref().unwrap()[0].name.clone();
    apply(&secrets, metadata);
    assert_eq!(
        secrets.lookup(&the_key(), uid(), &name),
        ObservedSecret::OwnedByPredecessor
    );
}
