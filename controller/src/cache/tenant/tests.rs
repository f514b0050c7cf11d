//! Which fields of a Tenant the cache keeps.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

use super::*;
use crate::cache::NamespacedName;

pub(in crate::cache) const UID: &str = "00000000-0000-0000-0000-000000000001";
const OTHER_UID: &str = "00000000-0000-0000-0000-000000000002";
const PROJECT: &str = "calm-sea-1";

pub(in crate::cache) fn tenant(version: &str) -> Tenant {
    let mut tenant = Tenant::new("one", crds::TenantSpec::default());
    tenant.metadata.namespace = Some("acme".to_owned());
    tenant.metadata.uid = Some(UID.to_owned());
    tenant.metadata.generation = Some(1);
    tenant.metadata.resource_version = Some(version.to_owned());
    tenant
}

#[test]
fn a_cached_tenant_decompresses_to_the_pruned_tenant() {
    let mut whole = tenant("5");
    whole.metadata.managed_fields = Some(vec![ManagedFieldsEntry::default()]);
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
    let cached = CachedTenant::try_from(whole.clone()).unwrap();
    assert_eq!(
        (
            cached.class_name(),
            cached.phase(),
            cached.adopted_project()
        ),
        ("default", Some(Phase::Ready), Some(PROJECT))
    );
    assert_eq!(NamespacedName::of(&cached).to_string(), "acme/one");
    prune(&mut whole);
    assert_eq!(cached.decompress(), Some(whole));
    let again: CachedTenant = serde_json::from_slice(&cached.json.decompress().unwrap()).unwrap();
    assert_eq!(again.decompress(), cached.decompress());
}

#[test]
fn the_spec_hash_changes_with_spec_and_metadata_and_not_with_the_status() {
    let hash = |change: fn(&mut Tenant)| {
        let mut tenant = tenant("5");
        change(&mut tenant);
        CachedTenant::try_from(tenant).unwrap().spec_hash()
    };
    let before = hash(|_| {});
    let ignored: [fn(&mut Tenant); 3] = [
        |tenant| {
            tenant.status = Some(crds::TenantStatus {
                observed_generation: Some(1),
                ..crds::TenantStatus::default()
            });
        },
        |tenant| tenant.metadata.resource_version = Some("6".to_owned()),
        |tenant| tenant.metadata.managed_fields = Some(vec![ManagedFieldsEntry::default()]),
    ];
    for change in ignored {
        assert_eq!(hash(change), before);
    }
    let relevant: [fn(&mut Tenant); 5] = [
        |tenant| tenant.metadata.generation = Some(2),
        |tenant| tenant.metadata.uid = Some(OTHER_UID.to_owned()),
        |tenant| {
            tenant.metadata.deletion_timestamp = Some(
                k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
            );
        },
        |tenant| tenant.metadata.finalizers = Some(vec!["example.com/other".to_owned()]),
        |tenant| {
            tenant.metadata.annotations =
                Some([(annotations::RECONCILE_AT.to_owned(), "1".to_owned())].into());
        },
    ];
    for change in relevant {
        assert_ne!(hash(change), before);
    }
}

#[test]
fn a_status_is_edited_if_another_client_wrote_a_part_of_it() {
    let is_edited = |manager: &str, subresource: Option<&str>| {
        let mut tenant = tenant("5");
        let entry = |manager: &str, subresource: Option<&str>| ManagedFieldsEntry {
            manager: Some(manager.to_owned()),
            subresource: subresource.map(str::to_owned),
            ..ManagedFieldsEntry::default()
        };
        tenant.metadata.managed_fields = Some(vec![
            entry(crds::FIELD_MANAGER, Some("status")),
            entry(manager, subresource),
        ]);
        CachedTenant::try_from(tenant).unwrap().is_status_edited()
    };
    assert!(is_edited("kubectl-edit", Some("status")));
    assert!(!is_edited("kubectl-edit", None));
    assert!(!is_edited(crds::FIELD_MANAGER, Some("status")));
}

#[test]
fn the_watcher_finds_the_resource_version_that_it_resumes_from() {
    let cached = CachedTenant::try_from(tenant("5")).unwrap();
    assert_eq!(cached.meta().resource_version.as_deref(), Some("5"));
    assert_eq!(cached.version(), 5);
}
