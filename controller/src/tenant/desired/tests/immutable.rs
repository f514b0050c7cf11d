//! Fields that cannot change once the project exists.

use super::*;

/// The configuration in effect of a project that was created with other defaults of the class.
fn immutable() -> Effective {
    let mut desired = resolve_with(|_, _| {}).unwrap();
    desired.region = "aws-us-east-2".parse().unwrap();
    desired.postgres_version = 15;
    desired.database = "first".parse().unwrap();
    desired.owner = "first_owner".parse().unwrap();
    desired.effective()
}

#[test]
fn immutable_fields_ignore_changes_of_the_class() {
    let mut class = class();
    class.defaults.region = None;
    class.defaults.postgres_version = Some(18);
    class.defaults.database = Some(Database {
        name: Some("other".to_owned()),
        owner: Some("other".to_owned()),
    });
    class.limits.regions = Some(vec!["azure-gwc".to_owned()]);
    class.limits.postgres_versions = Some(vec![18]);
    let desired =
        resolve_desired(NAME, &TenantSpec::default(), &class, Some(&immutable())).unwrap();
    assert_eq!(
        (desired.region.as_str(), desired.postgres_version),
        ("aws-us-east-2", 15)
    );
    assert_eq!(
        (desired.database.as_str(), desired.owner.as_str()),
        ("first", "first_owner")
    );
}

#[test]
fn a_spec_that_changes_an_immutable_field_is_rejected() {
    let same = TenantSpec {
        region: Some("aws-us-east-2".to_owned()),
        postgres_version: Some(15),
        ..TenantSpec::default()
    };
    assert!(resolve_desired(NAME, &same, &class(), Some(&immutable())).is_ok());
    let changed = [
        TenantSpec {
            region: Some("azure-gwc".to_owned()),
            ..TenantSpec::default()
        },
        TenantSpec {
            postgres_version: Some(16),
            ..same
        },
    ];
    let messages = changed.map(|spec| {
        let issue = resolve_desired(NAME, &spec, &class(), Some(&immutable())).unwrap_err();
        assert_eq!(issue.reason, Reason::ImmutableField);
        issue.message
    });
    let messages = messages.join("\n");
    insta::assert_snapshot!(messages);
}

#[test]
fn size_limits_apply_to_an_existing_project_too() {
    let mut class = class();
    class.limits.max_cu = Some(1.0);
    let spec = TenantSpec {
        compute: Some(compute_of(None, Some(2.0), None)),
        ..TenantSpec::default()
    };
    let issue = resolve_desired(NAME, &spec, &class, Some(&immutable())).unwrap_err();
    assert_eq!(issue.reason, Reason::ClassLimitExceeded);
}
