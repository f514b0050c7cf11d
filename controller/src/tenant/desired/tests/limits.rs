//! The limits of a class.

use super::*;

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
fn a_value_outside_the_class_limits_is_rejected_with_the_allowed_values() {
    let messages = rejections(&[
        (
            "region",
            |_, class| {
                class.limits.regions =
                    Some(vec!["aws-us-east-2".to_owned(), "azure-gwc".to_owned()]);
            },
            Reason::ClassLimitExceeded,
        ),
        (
            "version",
            |_, class| {
                class.limits.postgres_versions = Some(vec![15, 16]);
            },
            Reason::ClassLimitExceeded,
        ),
        (
            "a compute that is too small",
            |spec, class| {
                class.limits.min_cu = Some(1.0);
                spec.compute = Some(compute_of(Some(0.25), None, None));
            },
            Reason::ClassLimitExceeded,
        ),
        (
            "a compute that is too large",
            |spec, class| {
                class.limits.max_cu = Some(2.0);
                spec.compute = Some(compute_of(None, Some(4.0), None));
            },
            Reason::ClassLimitExceeded,
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
        ),
    ]);
    insta::assert_snapshot!(messages);
}
