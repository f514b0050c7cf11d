//! What stays once the project exists.

use super::*;

/// What is in effect in a project that was made when the class had other ideas.
fn settled() -> Effective {
    let mut desired = wish_after(|_, _| {}).unwrap();
    desired.region = "aws-us-east-2".parse().unwrap();
    desired.postgres_version = 15;
    desired.database = "first".parse().unwrap();
    desired.owner = "first_owner".parse().unwrap();
    desired.effective()
}

#[test]
fn what_is_settled_stays_whatever_becomes_of_the_class() {
    let mut class = class();
    class.defaults.region = None;
    class.defaults.postgres_version = Some(18);
    class.defaults.database = Some(Database {
        name: Some("other".to_owned()),
        owner: Some("other".to_owned()),
    });
    class.limits.regions = Some(vec!["azure-gwc".to_owned()]);
    class.limits.postgres_versions = Some(vec![18]);
    let desired = validate(NAME, &TenantSpec::default(), &class, Some(&settled())).unwrap();
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
fn a_spec_that_contradicts_what_is_settled_is_refused() {
    let same = TenantSpec {
        region: Some("aws-us-east-2".to_owned()),
        postgres_version: Some(15),
        ..TenantSpec::default()
    };
    assert!(validate(NAME, &same, &class(), Some(&settled())).is_ok());
    for (spec, word) in [
        (
            TenantSpec {
                region: Some("azure-gwc".to_owned()),
                ..TenantSpec::default()
            },
            "from aws-us-east-2 to azure-gwc",
        ),
        (
            TenantSpec {
                postgres_version: Some(16),
                ..same
            },
            "from 15 to 16",
        ),
    ] {
        let issue = validate(NAME, &spec, &class(), Some(&settled())).unwrap_err();
        assert_eq!(issue.reason, Reason::ImmutableField);
        assert!(issue.message.contains(word), "{}", issue.message);
    }
}

#[test]
fn limits_of_size_hold_for_a_settled_tenant_too() {
    let mut class = class();
    class.limits.max_cu = Some(1.0);
    let spec = TenantSpec {
        compute: Some(compute_of(None, Some(2.0), None)),
        ..TenantSpec::default()
    };
    let issue = validate(NAME, &spec, &class, Some(&settled())).unwrap_err();
    assert_eq!(issue.reason, Reason::ClassLimitExceeded);
}
