//! The desired state by tables: how a spec is completed from its class, and what is rejected.

mod adoption;
mod immutable;

use crds::{
    Adopt, Adoption, ApiKeySecretRef, ClassLimits, ConnectionSecret, Migrations, NeonAccount,
    TenantDefaults,
};

use super::*;

const NAME: TenantName<'static> = TenantName {
    namespace: "acme",
    name: "one",
};
const PROJECT: &str = "quiet-river-12345678";

fn class() -> TenantClassSpec {
    TenantClassSpec {
        neon: NeonAccount {
            api_key_secret_ref: ApiKeySecretRef {
                name: "neon".to_owned(),
                key: "api-key".to_owned(),
            },
            org_id: None,
            base_url: None,
            ca_bundle: None,
        },
        defaults: TenantDefaults {
            region: Some("aws-eu-central-1".to_owned()),
            ..TenantDefaults::default()
        },
        limits: ClassLimits::default(),
        allowed_namespaces: None,
        adoption: Adoption::default(),
        on_existing_project: OnExistingProject::default(),
        deletion_policy: None,
        migrations: Migrations::default(),
        controller_name: crds::DEFAULT_CONTROLLER_NAME.to_owned(),
        deletion_protection: false,
        mass_deletion: crds::MassDeletion::default(),
    }
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

fn cu(units: f64) -> ComputeUnits {
    ComputeUnits::new(units).unwrap()
}

fn compute_of(min: Option<f64>, max: Option<f64>, suspend_timeout: Option<i64>) -> Compute {
    Compute {
        min_cu: min,
        max_cu: max,
        suspend_timeout_seconds: suspend_timeout,
    }
}

/// A change of spec and class.
type Change = fn(&mut TenantSpec, &mut TenantClassSpec);

fn resolve_with(change: Change) -> Result<DesiredState, Issue> {
    let (mut spec, mut class) = (TenantSpec::default(), class());
    change(&mut spec, &mut class);
    resolve_desired(NAME, &spec, &class, None)
}

/// Checks that each change is rejected with this reason and a message that contains these values.
fn assert_rejected(cases: &[(&str, Change, Reason, &[&str])]) {
    for (description, change, reason, values) in cases {
        let issue = resolve_with(*change).expect_err(description);
        assert_eq!(issue.reason, *reason, "{description}: {}", issue.message);
        for value in *values {
            assert!(
                issue.message.contains(value),
                "{description}: {value:?} is not in {:?}",
                issue.message
            );
        }
    }
}

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
fn an_invalid_spec_is_rejected_with_a_hint() {
    assert_rejected(&[
        (
            "no region",
            |_, class| class.defaults.region = None,
            Reason::InvalidSpec,
            &["spec.region", "spec.defaults.region of TenantClass default"],
        ),
        (
            "a minimum from the class above the maximum of the spec",
            |spec, class| {
                class.defaults.compute = Some(compute_of(Some(4.0), None, None));
                spec.compute = Some(compute_of(None, Some(1.0), None));
            },
            Reason::InvalidSpec,
            &["minCU 4", "maxCU 1", "set both"],
        ),
        (
            "an invalid size",
            |spec, _| {
                spec.compute = Some(compute_of(Some(0.3), None, None));
            },
            Reason::InvalidSpec,
            &["spec.compute.minCU", "0.3"],
        ),
        (
            "a negative history",
            |spec, _| {
                spec.history_retention_seconds = Some(-1);
            },
            Reason::InvalidSpec,
            &["spec.historyRetentionSeconds"],
        ),
        (
            "a negative quota",
            |spec, _| {
                spec.quota = Some(crds::Quota {
                    logical_size_bytes: Some(-1),
                    ..crds::Quota::default()
                });
            },
            Reason::InvalidSpec,
            &["spec.quota.logicalSizeBytes"],
        ),
        (
            "an invalid version",
            |spec, _| spec.postgres_version = Some(-17),
            Reason::InvalidSpec,
            &["spec.postgresVersion"],
        ),
        (
            "a database without a name",
            |spec, _| {
                spec.database = Some(Database {
                    name: Some(String::new()),
                    owner: None,
                });
            },
            Reason::InvalidSpec,
            &["spec.database.name"],
        ),
    ]);
}

#[test]
fn a_value_outside_the_class_limits_is_rejected_with_the_allowed_values() {
    assert_rejected(&[
        (
            "region",
            |_, class| {
                class.limits.regions =
                    Some(vec!["aws-us-east-2".to_owned(), "azure-gwc".to_owned()]);
            },
            Reason::ClassLimitExceeded,
            &[
                "aws-eu-central-1",
                "TenantClass default",
                "aws-us-east-2, azure-gwc",
            ],
        ),
        (
            "version",
            |_, class| {
                class.limits.postgres_versions = Some(vec![15, 16]);
            },
            Reason::ClassLimitExceeded,
            &["postgresVersion 17", "15, 16"],
        ),
        (
            "a compute that is too small",
            |spec, class| {
                class.limits.min_cu = Some(1.0);
                spec.compute = Some(compute_of(Some(0.25), None, None));
            },
            Reason::ClassLimitExceeded,
            &["minCU 0.25", "use 1 or more"],
        ),
        (
            "a compute that is too large",
            |spec, class| {
                class.limits.max_cu = Some(2.0);
                spec.compute = Some(compute_of(None, Some(4.0), None));
            },
            Reason::ClassLimitExceeded,
            &["maxCU 4", "use 2 or less"],
        ),
        (
            "a quota over the limit",
            |spec, class| {
                class.limits.quota = Some(crds::Quota {
                    data_transfer_bytes: Some(100),
                    ..crds::Quota::default()
                });
                spec.quota = Some(crds::Quota {
                    data_transfer_bytes: Some(101),
                    ..crds::Quota::default()
                });
            },
            Reason::ClassLimitExceeded,
            &["quota.dataTransferBytes 101", "use 1 to 100"],
        ),
        (
            "an unlimited quota where the class has a limit",
            |spec, class| {
                class.limits.quota = Some(crds::Quota {
                    compute_time_seconds: Some(100),
                    ..crds::Quota::default()
                });
                spec.quota = Some(crds::Quota {
                    compute_time_seconds: Some(0),
                    ..crds::Quota::default()
                });
            },
            Reason::ClassLimitExceeded,
            &["quota.computeTimeSeconds 0 (unlimited)", "use 1 to 100"],
        ),
        (
            "the class's own default over its limit",
            |_, class| {
                class.limits.quota = Some(crds::Quota {
                    active_time_seconds: Some(100),
                    ..crds::Quota::default()
                });
                class.defaults.quota = Some(crds::Quota {
                    active_time_seconds: Some(200),
                    ..crds::Quota::default()
                });
            },
            Reason::ClassLimitExceeded,
            &["quota.activeTimeSeconds 200"],
        ),
    ]);
}

#[test]
fn a_limit_of_the_class_is_the_default_of_an_empty_spec() {
    let desired = resolve_with(|_, class| {
        class.limits.min_cu = Some(0.5);
        class.limits.max_cu = Some(2.0);
        class.limits.quota = Some(crds::Quota {
            active_time_seconds: Some(100),
            written_data_bytes: Some(0),
            ..crds::Quota::default()
        });
    })
    .unwrap();
    assert_eq!(
        (desired.compute.min, desired.compute.max),
        (Some(cu(0.5)), Some(cu(2.0)))
    );
    assert_eq!(desired.quota.active_time_seconds, Some(100));
    assert_eq!(
        desired.quota.written_data_bytes,
        Some(0),
        "a limit of 0 is unlimited"
    );
}

#[test]
fn suspend_timeouts_are_limited_including_neons_default_and_never() {
    let resolve = |timeout: Option<i64>, min: Option<i64>, max: Option<i64>| {
        let mut class = class();
        class.limits.min_suspend_timeout_seconds = min;
        class.limits.max_suspend_timeout_seconds = max;
        let spec = TenantSpec {
            compute: Some(compute_of(None, None, timeout)),
            ..TenantSpec::default()
        };
        resolve_desired(NAME, &spec, &class, None)
            .map(|desired| desired.compute.suspend_timeout_seconds)
            .map_err(|issue| issue.reason)
    };
    let exceeded = Err(Reason::ClassLimitExceeded);
    assert_eq!(resolve(Some(-1), None, None), Ok(Some(-1)));
    assert_eq!(resolve(Some(-1), None, Some(604_800)), exceeded);
    assert_eq!(resolve(Some(-1), Some(600), None), Ok(Some(-1)));
    assert_eq!(resolve(Some(0), None, Some(120)), exceeded);
    assert_eq!(resolve(Some(0), Some(600), None), exceeded);
    assert_eq!(resolve(Some(0), Some(60), Some(300)), Ok(Some(0)));
    assert_eq!(resolve(Some(301), None, Some(300)), exceeded);
    assert_eq!(resolve(None, None, Some(120)), Ok(Some(120)));
    assert_eq!(resolve(None, Some(600), None), Ok(Some(600)));
    assert_eq!(resolve(None, Some(60), Some(600)), Ok(None));
}

#[test]
fn the_restore_window_is_limited() {
    let resolve = |chosen: Option<i64>, limit: i64| {
        let mut class = class();
        class.limits.max_history_retention_seconds = Some(limit);
        let spec = TenantSpec {
            history_retention_seconds: chosen,
            ..TenantSpec::default()
        };
        resolve_desired(NAME, &spec, &class, None)
            .map(|desired| desired.history_retention_seconds)
            .map_err(|issue| issue.reason)
    };
    assert_eq!(resolve(Some(3_601), 3_600), Err(Reason::ClassLimitExceeded));
    assert_eq!(resolve(Some(0), 3_600), Ok(Some(0)));
    assert_eq!(
        resolve(None, 3_600),
        Ok(Some(3_600)),
        "below Neon's default"
    );
    assert_eq!(resolve(None, 604_800), Ok(None), "Neon's default");
}

#[test]
fn addresses_outside_the_classs_limit_are_refused() {
    let resolve = |chosen: Option<&[&str]>| {
        let mut class = class();
        class.limits.allowed_ips =
            Some(vec!["192.0.2.0/24".to_owned(), "2001:db8::/32".to_owned()]);
        let spec = TenantSpec {
            allowed_ips: chosen.map(|ips| ips.iter().map(ToString::to_string).collect()),
            ..TenantSpec::default()
        };
        resolve_desired(NAME, &spec, &class, None)
            .map(|desired| desired.allowed_ips.unwrap_or_default().join(" "))
            .map_err(|issue| issue.reason)
    };
    let exceeded = Err(Reason::ClassLimitExceeded);
    assert_eq!(resolve(Some(&[])), exceeded, "empty allows every address");
    assert_eq!(resolve(Some(&["0.0.0.0/0"])), exceeded);
    assert_eq!(resolve(Some(&["192.0.2.1", "198.51.100.1"])), exceeded);
    assert_eq!(
        resolve(Some(&["192.0.2.1", "2001:db8::1"])),
        Ok("192.0.2.1 2001:db8::1".to_owned())
    );
    assert_eq!(resolve(None), Ok("192.0.2.0/24 2001:db8::/32".to_owned()));
}

#[test]
fn a_value_equal_to_the_limit_is_allowed() {
    let desired = resolve_with(|spec, class| {
        class.limits = ClassLimits {
            min_cu: Some(0.5),
            max_cu: Some(2.0),
            regions: Some(vec!["aws-eu-central-1".to_owned()]),
            postgres_versions: Some(vec![17]),
            quota: Some(crds::Quota {
                active_time_seconds: Some(100),
                ..crds::Quota::default()
            }),
            min_suspend_timeout_seconds: Some(300),
            max_suspend_timeout_seconds: Some(300),
            max_history_retention_seconds: Some(3_600),
            allowed_ips: Some(vec!["192.0.2.0/24".to_owned()]),
        };
        spec.history_retention_seconds = Some(3_600);
        spec.allowed_ips = Some(vec!["192.0.2.0/24".to_owned()]);
        spec.compute = Some(compute_of(Some(0.5), Some(2.0), Some(300)));
        spec.quota = Some(crds::Quota {
            active_time_seconds: Some(100),
            ..crds::Quota::default()
        });
    });
    assert!(desired.is_ok(), "{desired:?}");
    let empty_lists = resolve_with(|_, class| {
        class.limits.regions = Some(Vec::new());
        class.limits.postgres_versions = Some(Vec::new());
    });
    assert!(
        empty_lists.is_ok(),
        "an empty list is no limit: {empty_lists:?}"
    );
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
