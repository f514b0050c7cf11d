//! Adopted projects, and the deletion policy.

use crds::AllowedAdoption;

use super::*;

fn adopting() -> Adopt {
    Adopt {
        project_id: PROJECT.to_owned(),
        reset_password: false,
    }
}

fn allowed(project: &str, namespace: &str, name: Option<&str>) -> AllowedAdoption {
    AllowedAdoption {
        project_id: project.to_owned(),
        namespace: namespace.to_owned(),
        name: name.map(str::to_owned),
    }
}

#[test]
fn a_project_is_adopted_only_if_the_class_allows_it() {
    let messages = rejections(&[
        (
            "none is allowed",
            |spec, _| spec.adopt = Some(adopting()),
            Reason::AdoptionRefused,
        ),
        (
            "another is allowed",
            |spec, class| {
                spec.adopt = Some(adopting());
                class.adoption.allowed = vec![allowed("quiet-river-1", "acme", None)];
            },
            Reason::AdoptionRefused,
        ),
        (
            "another namespace may",
            |spec, class| {
                spec.adopt = Some(adopting());
                class.adoption.allowed = vec![allowed(PROJECT, "other", None)];
            },
            Reason::AdoptionRefused,
        ),
        (
            "another Tenant of the namespace may",
            |spec, class| {
                spec.adopt = Some(adopting());
                class.adoption.allowed = vec![allowed(PROJECT, "acme", Some("two"))];
            },
            Reason::AdoptionRefused,
        ),
    ]);
    insta::assert_snapshot!(messages);
    let desired = resolve_with(|spec, class| {
        spec.adopt = Some(Adopt {
            reset_password: true,
            ..adopting()
        });
        class.adoption.allowed = vec![allowed(PROJECT, "acme", Some("one"))];
    })
    .unwrap();
    assert_eq!(
        desired.adopt,
        Some(AdoptionSpec {
            project: PROJECT.parse().unwrap(),
            reset_password: true
        })
    );
}

#[test]
fn an_adopted_project_keeps_settings_that_the_spec_leaves_out() {
    let adopts: Change = |spec, class| {
        spec.adopt = Some(adopting());
        class.adoption.allowed = vec![allowed(PROJECT, "acme", Some("one"))];
        class.limits.regions = Some(vec!["azure-gwc".to_owned()]);
        class.limits.postgres_versions = Some(vec![18]);
    };
    let desired = resolve_with(adopts).unwrap();
    assert_eq!(desired.quota, Quota::default());
    assert_eq!(desired.allowed_ips, None);
    assert_eq!(desired.compute, ComputeSettings::default());
    assert_eq!(desired.deletion_policy, DeletionPolicy::Retain);
}

#[test]
fn the_deletion_policy_comes_from_the_spec_the_adoption_or_the_class() {
    use DeletionPolicy::{Delete, Retain};
    // Spec, adopted, class (`None`: no class), in effect, expected.
    type Row = (
        Option<DeletionPolicy>,
        bool,
        Option<Option<DeletionPolicy>>,
        Option<DeletionPolicy>,
        DeletionPolicy,
    );
    let rows: [Row; 12] = [
        (None, false, Some(None), None, Delete),
        (None, false, Some(Some(Retain)), None, Retain),
        (
            Some(Delete),
            false,
            Some(Some(Retain)),
            Some(Retain),
            Delete,
        ),
        (
            Some(Retain),
            false,
            Some(Some(Delete)),
            Some(Delete),
            Retain,
        ),
        (None, true, Some(Some(Delete)), Some(Delete), Retain),
        (Some(Delete), true, Some(None), None, Delete),
        (None, false, Some(None), Some(Retain), Delete),
        (None, false, None, Some(Retain), Retain),
        (None, false, None, Some(Delete), Delete),
        (None, false, None, None, Delete),
        (None, true, None, None, Retain),
        (Some(Delete), false, None, Some(Retain), Delete),
    ];
    for (policy, adopted, class_policy, in_effect, expected) in rows {
        let spec = TenantSpec {
            deletion_policy: policy,
            adopt: adopted.then(adopting),
            ..TenantSpec::default()
        };
        let class = class_policy.map(|policy| TenantClassSpec {
            deletion_policy: policy,
            ..class()
        });
        let row = format!("{policy:?} {adopted} {class_policy:?} {in_effect:?}");
        assert_eq!(
            deletion_policy(&spec, class.as_ref(), in_effect),
            expected,
            "{row}"
        );
    }
}
