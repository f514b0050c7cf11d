//! What stays once the project exists.

use super::*;

/// What is in effect in a project that was made when the class had other ideas.
fn settled() -> Effective {
    let mut wish = wish_after(|_, _| {}).unwrap();
    wish.region = "aws-us-east-2".parse().unwrap();
    wish.postgres_version = 15;
    wish.database = "first".parse().unwrap();
    wish.owner = "first_owner".parse().unwrap();
    wish.effective()
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
    let wish = validate(NAME, &TenantSpec::default(), &class, Some(&settled())).unwrap();
    assert_eq!(
        (wish.region.as_str(), wish.postgres_version),
        ("aws-us-east-2", 15)
    );
    assert_eq!(
        (wish.database.as_str(), wish.owner.as_str()),
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
        let refusal = validate(NAME, &spec, &class(), Some(&settled())).unwrap_err();
        assert_eq!(refusal.reason, Reason::ImmutableField);
        assert!(refusal.message.contains(word), "{}", refusal.message);
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
    let refusal = validate(NAME, &spec, &class, Some(&settled())).unwrap_err();
    assert_eq!(refusal.reason, Reason::ClassLimitExceeded);
}
