//! The wish by tables: what a spec becomes with its class, and what is refused in which words.

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
        adoption: Adoption::default(),
        deletion_policy: None,
        migrations: Migrations::default(),
    }
}

fn cu(units: f64) -> ComputeUnits {
    ComputeUnits::new(units).unwrap()
}

fn compute_of(min: Option<f64>, max: Option<f64>, sleep: Option<i64>) -> Compute {
    Compute {
        min_cu: min,
        max_cu: max,
        suspend_timeout_seconds: sleep,
    }
}

/// A change of spec and class.
type Change = fn(&mut TenantSpec, &mut TenantClassSpec);

fn wish_after(change: Change) -> Result<DesiredState, Issue> {
    let (mut spec, mut class) = (TenantSpec::default(), class());
    change(&mut spec, &mut class);
    validate(NAME, &spec, &class, None)
}

/// Each change is refused for this reason, in words that hold all of these.
fn refused(cases: &[(&str, Change, Reason, &[&str])]) {
    for (what, change, reason, words) in cases {
        let issue = wish_after(*change).expect_err(what);
        assert_eq!(issue.reason, *reason, "{what}: {}", issue.message);
        for word in *words {
            assert!(
                issue.message.contains(word),
                "{what}: {word:?} is not in {:?}",
                issue.message
            );
        }
    }
}

#[test]
fn a_tenant_that_asks_for_nothing_gets_its_class_and_neons_names() {
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
        adopt: None,
        secret_name: "one-connection".to_owned(),
    };
    assert_eq!(wish_after(|_, _| {}), Ok(expected));
}

#[test]
fn what_the_class_says_holds_where_the_tenant_is_silent() {
    let caches_synced: Change = |_, class| {
        class.defaults = TenantDefaults {
            region: Some("aws-us-east-2".to_owned()),
            postgres_version: Some(16),
            compute: Some(compute_of(Some(0.5), Some(2.0), Some(600))),
            quota: Some(Quota {
                active_time_seconds: Some(60),
                ..Quota::default()
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
    let desired = wish_after(caches_synced).unwrap();
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
fn what_the_tenant_says_holds_against_the_class_field_by_field() {
    let desired = wish_after(|spec, class| {
        class.defaults.compute = Some(compute_of(Some(0.5), Some(2.0), Some(600)));
        class.defaults.quota = Some(Quota {
            active_time_seconds: Some(60),
            written_data_bytes: Some(1),
            ..Quota::default()
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
            quota: Some(Quota {
                active_time_seconds: Some(0),
                ..Quota::default()
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
fn what_cannot_be_is_refused_with_what_to_write_instead() {
    refused(&[
        (
            "no region",
            |_, class| class.defaults.region = None,
            Reason::InvalidSpec,
            &["spec.region", "spec.defaults.region of TenantClass default"],
        ),
        (
            "sizes that cross once the class filled in",
            |spec, class| {
                class.defaults.compute = Some(compute_of(Some(4.0), None, None));
                spec.compute = Some(compute_of(None, Some(1.0), None));
            },
            Reason::InvalidSpec,
            &["minCU 4", "maxCU 1", "set both"],
        ),
        (
            "a size that is none",
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
                spec.quota = Some(Quota {
                    logical_size_bytes: Some(-1),
                    ..Quota::default()
                });
            },
            Reason::InvalidSpec,
            &["spec.quota.logicalSizeBytes"],
        ),
        (
            "a version that is none",
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
fn what_the_class_does_not_offer_is_refused_with_what_it_does() {
    refused(&[
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
                class.limits.quota = Some(Quota {
                    data_transfer_bytes: Some(100),
                    ..Quota::default()
                });
                spec.quota = Some(Quota {
                    data_transfer_bytes: Some(101),
                    ..Quota::default()
                });
            },
            Reason::ClassLimitExceeded,
            &["quota.dataTransferBytes 101", "use 1 to 100"],
        ),
        (
            "no quota where there is a limit",
            |spec, class| {
                class.limits.quota = Some(Quota {
                    compute_time_seconds: Some(100),
                    ..Quota::default()
                });
                spec.quota = Some(Quota {
                    compute_time_seconds: Some(0),
                    ..Quota::default()
                });
            },
            Reason::ClassLimitExceeded,
            &["quota.computeTimeSeconds 0 (no limit)", "use 1 to 100"],
        ),
        (
            "the class's own default over its limit",
            |_, class| {
                class.limits.quota = Some(Quota {
                    active_time_seconds: Some(100),
                    ..Quota::default()
                });
                class.defaults.quota = Some(Quota {
                    active_time_seconds: Some(200),
                    ..Quota::default()
                });
            },
            Reason::ClassLimitExceeded,
            &["quota.activeTimeSeconds 200"],
        ),
    ]);
}

#[test]
fn a_limit_is_what_a_tenant_gets_that_asks_for_nothing() {
    let desired = wish_after(|_, class| {
        class.limits.min_cu = Some(0.5);
        class.limits.max_cu = Some(2.0);
        class.limits.quota = Some(Quota {
            active_time_seconds: Some(100),
            written_data_bytes: Some(0),
            ..Quota::default()
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
        "a limit of 0 is none"
    );
}

#[test]
fn at_its_limit_a_value_is_within_it() {
    let desired = wish_after(|spec, class| {
        class.limits = ClassLimits {
            min_cu: Some(0.5),
            max_cu: Some(2.0),
            regions: Some(vec!["aws-eu-central-1".to_owned()]),
            postgres_versions: Some(vec![17]),
            quota: Some(Quota {
                active_time_seconds: Some(100),
                ..Quota::default()
            }),
        };
        spec.compute = Some(compute_of(Some(0.5), Some(2.0), None));
        spec.quota = Some(Quota {
            active_time_seconds: Some(100),
            ..Quota::default()
        });
    });
    assert!(desired.is_ok(), "{wish:?}");
    let nothing_listed = wish_after(|_, class| {
        class.limits.regions = Some(Vec::new());
        class.limits.postgres_versions = Some(Vec::new());
    });
    assert!(
        nothing_listed.is_ok(),
        "an empty list limits nothing: {nothing_listed:?}"
    );
}

#[test]
fn the_status_shows_a_wish_without_limits_that_are_none() {
    let shown = wish_after(|spec, _| {
        spec.quota = Some(Quota {
            active_time_seconds: Some(5),
            written_data_bytes: Some(0),
            ..Quota::default()
        });
    })
    .unwrap()
    .effective();
    assert_eq!(
        shown.quota,
        Quota {
            active_time_seconds: Some(5),
            ..Quota::default()
        }
    );
    assert_eq!(
        shown.database,
        Database {
            name: Some("neondb".to_owned()),
            owner: Some("neondb_owner".to_owned())
        }
    );
}

#[test]
fn a_quota_differs_where_the_wish_names_another_limit() {
    let quota = |limit| Quota {
        active_time_seconds: limit,
        ..Quota::default()
    };
    for (wished, seen, differs) in [
        (None, Some(5), false),
        (Some(0), None, false),
        (Some(0), Some(0), false),
        (Some(0), Some(5), true),
        (Some(5), None, true),
        (Some(5), Some(5), false),
        (Some(5), Some(6), true),
    ] {
        assert_eq!(
            quota(wished).differs_from(&quota(seen)),
            differs,
            "{wished:?} {seen:?}"
        );
    }
}
