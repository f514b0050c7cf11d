//! How a spec is completed from its class.

use super::*;

#[test]
fn an_empty_spec_gets_the_defaults_of_the_class_and_neons_names() {
    let expected = DesiredState {
        class_name: "default".to_owned(),
        label: "acme/one".to_owned(),
        region: "aws-eu-central-1".parse().unwrap(),
        postgres_version: 17,
        compute: ComputeSettings::default(),
        quota: Quota {
            active_time_seconds: Some(0),
            compute_time_seconds: Some(0),
            written_data_bytes: Some(0),
            data_transfer_bytes: Some(0),
            logical_size_bytes: Some(0),
        },
        history_retention_seconds: None,
        allowed_ips: Some(Vec::new()),
        database: "neondb".parse().unwrap(),
        owner: "neondb_owner".parse().unwrap(),
        deletion_policy: DeletionPolicy::Delete,
        on_existing_project: OnExistingProject::Stall,
        adopt: None,
        secret_name: "one-connection".to_owned(),
    };
    assert_eq!(resolve_with(|_, _| {}), Ok(expected));
}

#[test]
fn the_class_supplies_fields_that_the_spec_leaves_out() {
    let defaults: Change = |_, class| {
        class.defaults = TenantDefaults {
            region: Some("aws-us-east-2".to_owned()),
            postgres_version: Some(16),
            compute: Some(compute_of(Some(0.5), Some(2.0), Some(600))),
            quota: Some(crds::Quota {
                active_time_seconds: Some(60),
                ..crds::Quota::default()
            }),
            history_retention_seconds: Some(3_600),
            allowed_ips: Some(vec!["10.0.0.0/8".to_owned()]),
            database: Some(Database {
                name: Some("shop".to_owned()),
                owner: None,
            }),
        };
        class.deletion_policy = Some(DeletionPolicy::Retain);
    };
    let desired = resolve_with(defaults).unwrap();
    assert_eq!(desired.region.as_str(), "aws-us-east-2");
    assert_eq!(desired.postgres_version, 16);
    assert_eq!(
        desired.compute,
        ComputeSettings {
            min: Some(cu(0.5)),
            max: Some(cu(2.0)),
            suspend_timeout_seconds: Some(600),
        }
    );
    assert_eq!(desired.quota.active_time_seconds, Some(60));
    assert_eq!(desired.quota.written_data_bytes, Some(0));
    assert_eq!(desired.history_retention_seconds, Some(3_600));
    assert_eq!(desired.allowed_ips, Some(vec!["10.0.0.0/8".to_owned()]));
    assert_eq!(
        (desired.database.as_str(), desired.owner.as_str()),
        ("shop", "neondb_owner")
    );
    assert_eq!(desired.deletion_policy, DeletionPolicy::Retain);
}

#[test]
fn each_field_of_the_spec_overrides_the_class() {
    let desired = resolve_with(|spec, class| {
        class.defaults.compute = Some(compute_of(Some(0.5), Some(2.0), Some(600)));
        class.defaults.quota = Some(crds::Quota {
            active_time_seconds: Some(60),
            written_data_bytes: Some(1),
            ..crds::Quota::default()
        });
        class.defaults.database = Some(Database {
            name: Some("shop".to_owned()),
            owner: Some("keeper".to_owned()),
        });
        class.defaults.allowed_ips = Some(vec!["10.0.0.0/8".to_owned()]);
        class.defaults.history_retention_seconds = Some(3_600);
        class.deletion_policy = Some(DeletionPolicy::Retain);
        *spec = TenantSpec {
            display_name: Some("Acme, Inc.".to_owned()),
            region: Some("azure-gwc".to_owned()),
            postgres_version: Some(15),
            compute: Some(compute_of(None, Some(4.0), None)),
            quota: Some(crds::Quota {
                active_time_seconds: Some(0),
                ..crds::Quota::default()
            }),
            history_retention_seconds: Some(0),
            allowed_ips: Some(Vec::new()),
            database: Some(Database {
                name: None,
                owner: Some("acme".to_owned()),
            }),
            deletion_policy: Some(DeletionPolicy::Delete),
            connection_secret: Some(ConnectionSecret {
                name: "db".to_owned(),
            }),
            ..TenantSpec::default()
        };
    })
    .unwrap();
    assert_eq!(desired.label, "Acme, Inc.");
    assert_eq!(
        (desired.region.as_str(), desired.postgres_version),
        ("azure-gwc", 15)
    );
    assert_eq!(
        desired.compute,
        ComputeSettings {
            min: Some(cu(0.5)),
            max: Some(cu(4.0)),
            suspend_timeout_seconds: Some(600),
        }
    );
    assert_eq!(
        (
            desired.quota.active_time_seconds,
            desired.quota.written_data_bytes
        ),
        (Some(0), Some(1))
    );
    assert_eq!(desired.history_retention_seconds, Some(0));
    assert_eq!(desired.allowed_ips, Some(Vec::new()));
    assert_eq!(
        (desired.database.as_str(), desired.owner.as_str()),
        ("shop", "acme")
    );
    assert_eq!(desired.deletion_policy, DeletionPolicy::Delete);
    assert_eq!(desired.secret_name, "db");
}

#[test]
fn a_tenants_own_deletion_protection_takes_precedence_over_the_classs() {
    let protected = |own: Option<bool>, class_default: Option<bool>| {
        let spec = TenantSpec {
            deletion_protection: own,
            ..TenantSpec::default()
        };
        let class = class_default.map(|deletion_protection| TenantClassSpec {
            deletion_protection,
            ..class()
        });
        deletion_protected(&spec, class.as_ref())
    };
    for (own, class_default, expected) in [
        (None, None, false),
        (None, Some(false), false),
        (None, Some(true), true),
        (Some(false), Some(true), false),
        (Some(true), Some(false), true),
        (Some(true), None, true),
    ] {
        assert_eq!(
            protected(own, class_default),
            expected,
            "{own:?} {class_default:?}"
        );
    }
}

#[test]
fn the_effective_configuration_omits_unlimited_quotas() {
    let effective = resolve_with(|spec, _| {
        spec.quota = Some(crds::Quota {
            active_time_seconds: Some(5),
            written_data_bytes: Some(0),
            ..crds::Quota::default()
        });
    })
    .unwrap()
    .effective();
    assert_eq!(
        effective.quota,
        crds::Quota {
            active_time_seconds: Some(5),
            ..crds::Quota::default()
        }
    );
    assert_eq!(
        effective.database,
        Database {
            name: Some("neondb".to_owned()),
            owner: Some("neondb_owner".to_owned())
        }
    );
}
