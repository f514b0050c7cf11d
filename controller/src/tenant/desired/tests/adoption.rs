//! Projects that were there before, and what becomes of a project in the end.

use super::*;

fn adopting() -> Adopt {
    Adopt {
        project_id: PROJECT.to_owned(),
        reset_password: false,
    }
}

#[test]
fn a_project_is_adopted_only_if_the_class_names_it() {
    refused(&[
        (
            "none is allowed",
            |spec, _| spec.adopt = Some(adopting()),
            Reason::AdoptionRefused,
            &[PROJECT, "allowedProjectIds"],
        ),
        (
            "another is allowed",
            |spec, class| {
                spec.adopt = Some(adopting());
                class.adoption.allowed_project_ids = vec!["quiet-river-1".to_owned()];
            },
            Reason::AdoptionRefused,
            &[PROJECT],
        ),
    ]);
    let desired = wish_after(|spec, class| {
        spec.adopt = Some(Adopt {
            reset_password: true,
            ..adopting()
        });
        class.adoption.allowed_project_ids = vec![PROJECT.to_owned()];
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
fn an_adopted_project_keeps_what_nobody_speaks_of() {
    let allowed: Change = |spec, class| {
        spec.adopt = Some(adopting());
        class.adoption.allowed_project_ids = vec![PROJECT.to_owned()];
        class.limits.regions = Some(vec!["azure-gwc".to_owned()]);
        class.limits.postgres_versions = Some(vec![18]);
    };
    let desired = wish_after(allowed).unwrap();
    assert_eq!(desired.quota, Quota::default());
    assert_eq!(desired.allowed_ips, None);
    assert_eq!(desired.compute, ComputeSettings::default());
    assert_eq!(desired.deletion_policy, DeletionPolicy::Retain);
}

#[test]
fn who_decides_what_becomes_of_the_project() {
    use DeletionPolicy::{Delete, Retain};
    // spec, adopted, class (None: there is none), in effect before
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
    for (policy, adopted, of_class, in_effect, expected) in rows {
        let spec = TenantSpec {
            deletion_policy: policy,
            adopt: adopted.then(adopting),
            ..TenantSpec::default()
        };
        let class = of_class.map(|policy| TenantClassSpec {
            deletion_policy: policy,
            ..class()
        });
        let row = format!("{policy:?} {adopted} {of_class:?} {in_effect:?}");
        assert_eq!(
            deletion_policy(&spec, class.as_ref(), in_effect),
            expected,
            "{row}"
        );
    }
}
