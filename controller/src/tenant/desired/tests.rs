//! The desired state by tables: how a spec is completed from its class, and what is rejected.

mod adoption;
mod defaults;
mod immutable;
mod limits;

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
        rollout: crds::RolloutSettings::default(),
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

/// Checks that each change is rejected with this reason. Returns the messages, for a snapshot.
fn rejections(cases: &[(&str, Change, Reason)]) -> String {
    let messages = cases.iter().map(|(description, change, reason)| {
        let issue = resolve_with(*change).expect_err(description);
        assert_eq!(issue.reason, *reason, "{description}: {}", issue.message);
        format!("{description}: {}", issue.message)
    });
    messages.collect::<Vec<_>>().join("\n")
}

#[test]
fn an_invalid_spec_is_rejected_with_a_hint() {
    let messages = rejections(&[
        (
            "no region",
            |_, class| class.defaults.region = None,
            Reason::InvalidSpec,
        ),
        (
            "a minimum from the class above the maximum of the spec",
            |spec, class| {
                class.defaults.compute = Some(compute_of(Some(4.0), None, None));
                spec.compute = Some(compute_of(None, Some(1.0), None));
            },
            Reason::InvalidSpec,
        ),
        (
            "an invalid size",
            |spec, _| {
                spec.compute = Some(compute_of(Some(0.3), None, None));
            },
            Reason::InvalidSpec,
        ),
        (
            "a negative history",
            |spec, _| {
                spec.history_retention_seconds = Some(-1);
            },
            Reason::InvalidSpec,
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
        ),
        (
            "an invalid version",
            |spec, _| spec.postgres_version = Some(-17),
            Reason::InvalidSpec,
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
        ),
    ]);
    insta::assert_snapshot!(messages);
}
