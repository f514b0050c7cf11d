//! Writes Tenants in every kind of state for `tests/gitops`, which checks how GitOps tools judge
//! them.

use std::path::PathBuf;

use crds::{Tenant, TenantSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;

/// `UPDATE_GITOPS_STATES=1` has the file written instead of compared.
const UPDATE_VARIABLE: &str = "UPDATE_GITOPS_STATES";

/// A state: its name, the status that kstatus computes, the health of Argo CD, and the object.
fn state(name: &str, kstatus: &str, argocd: &str, object: &Tenant) -> Value {
    json!({ "name": name, "kstatus": kstatus, "argocd": argocd, "object": object })
}

fn tenant(generation: i64, status: TenantStatus) -> Tenant {
    let mut tenant = Tenant::new("acme", TenantSpec::default());
    tenant.metadata.namespace = Some("tenants".to_owned());
    tenant.metadata.generation = Some(generation);
    tenant.status = Some(status);
    tenant
}

/// The status of a Tenant that the controller has not seen: the default in the CRD.
fn unseen() -> TenantStatus {
    let crd = crds::tenant_crd();
    let schema = crd.spec.versions[0].schema.as_ref().unwrap();
    let properties = schema
        .open_api_v3_schema
        .as_ref()
        .unwrap()
        .properties
        .as_ref();
    let default = properties.unwrap()["status"].default.clone().unwrap();
    serde_json::from_value(default.0).unwrap()
}

fn states() -> Vec<Value> {
    let in_progress = |reason| StatusOutcome::InProgress(issue(Component::Project, reason));
    let stalled = |reason| StatusOutcome::Stalled(issue(Component::Project, reason));
    let current = |before: TenantStatus, outcome: &StatusOutcome| {
        tenant(7, build_status(before, outcome, input(true, true, 100)))
    };
    let mut all = vec![
        state(
            "not seen by the controller",
            "InProgress",
            "Progressing",
            &tenant(1, unseen()),
        ),
        state(
            "ready",
            "Current",
            "Healthy",
            &current(complete(), &StatusOutcome::Ready),
        ),
        state(
            "ready, with a newer spec",
            "InProgress",
            "Progressing",
            &tenant(8, ready()),
        ),
        state(
            "suspended while ready",
            "Current",
            "Suspended",
            &current(ready(), &StatusOutcome::Suspended),
        ),
        state(
            "suspended before it was seen",
            "InProgress",
            "Suspended",
            &current(unseen(), &StatusOutcome::Suspended),
        ),
        state(
            "suspended while stalled",
            "Failed",
            "Degraded",
            &current(
                build_status(
                    complete(),
                    &stalled(Reason::MigrationFailed),
                    input(true, true, 50),
                ),
                &StatusOutcome::Suspended,
            ),
        ),
        state(
            "first status",
            "InProgress",
            "Progressing",
            &current(unseen(), &in_progress(Reason::Waiting)),
        ),
    ];
    for (component, reason) in [
        (Component::Project, Reason::UpdatingProject),
        (Component::Credentials, Reason::UpdatingSecret),
        (Component::Schema, Reason::Migrating),
    ] {
        let outcome = StatusOutcome::InProgress(issue(component, reason));
        for (before, description) in [(ready(), "after ready"), (unseen(), "at first")] {
            let name = format!("in progress {description}: {reason}");
            let object = current(before, &outcome);
            all.push(state(&name, "InProgress", "Progressing", &object));
        }
    }
    for (component, reason) in [
        (Component::Project, Reason::InvalidSpec),
        (Component::Project, Reason::Unauthorized),
        (Component::Credentials, Reason::SecretConflict),
        (Component::Schema, Reason::MigrationFailed),
    ] {
        let outcome = StatusOutcome::Stalled(issue(component, reason));
        for (before, description) in [(ready(), "after ready"), (unseen(), "at first")] {
            let name = format!("stalled {description}: {reason}");
            let object = current(before, &outcome);
            all.push(state(&name, "Failed", "Degraded", &object));
        }
    }
    for (name, outcome) in [
        ("being deleted", in_progress(Reason::Deleting)),
        ("being deleted, stalled", stalled(Reason::DeletionProtected)),
    ] {
        let mut deleted = current(ready(), &outcome);
        deleted.metadata.deletion_timestamp = Some(Time(at(90)));
        all.push(state(name, "Terminating", "Progressing", &deleted));
    }
    all
}

#[test]
fn the_states_for_the_tests_of_gitops_tools_are_up_to_date() {
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/gitops/testdata/tenants.json");
    let text = serde_json::to_string_pretty(&states()).unwrap() + "\n";
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        std::fs::write(&file, text).unwrap();
    } else {
        let committed = std::fs::read_to_string(&file).unwrap();
        assert!(committed == text, "{file:?} is stale: run `make generate`");
    }
}
