//! GitOps tools judge the health of real Tenants and classes: the tests of the Go module
//! `tests/gitops` run on objects of the API server.

use std::process::Command;

use anyhow::{Context as _, Result};
use crds::{ConditionType, Reason, TenantClass, annotations, find_condition};
use serde_json::{Value, json};
use test_support::emulator::ComputeSuspension;
use test_support::suite::{Trial, test_on};
use test_support::{ClusterOptions, Scenario, command, timeouts, wait};

const CONTROLLER: &str = "one";
/// Nothing listens on this port.
const UNREACHABLE: &str = "http://127.0.0.1:1/api/v2";
/// Tenants whose deletion is held.
const HELD: [&str; 3] = ["held-1", "held-2", "held-3"];

pub(crate) fn tests() -> Vec<Trial> {
    vec![test_on(
        concat!(
            module_path!(),
            "::gitops_tools_judge_the_health_of_real_objects"
        ),
        // Few connections, which need not start a suspended compute.
        ClusterOptions {
            compute_suspension: ComputeSuspension::RealTime,
            ..ClusterOptions::default()
        },
        gitops_tools_judge_the_health_of_real_objects,
    )]
}

/// Objects with the status that both kstatus libraries have to compute and the health that Argo CD
/// has to report.
struct States<'a> {
    scenario: &'a Scenario,
    all: Vec<Value>,
}

impl States<'_> {
    async fn add(&mut self, kind: &str, name: &str, kstatus: &str, argocd: &str) -> Result<()> {
        let json = self
            .scenario
            .kubectl(&["get", kind, name, "--output=json"])
            .await?;
        let object: Value = serde_json::from_str(&json)?;
        self.all.push(json!({
            "name": format!("{kind} {name}"), "kstatus": kstatus, "argocd": argocd, "object": object,
        }));
        Ok(())
    }

    async fn check(&self) -> Result<()> {
        let file = self.scenario.cluster().folder().join("states.json");
        std::fs::write(&file, serde_json::to_string(&self.all)?)?;
        // The failures of `go test` are on its standard output.
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "exec go test -mod=readonly -count=1 ./... >&2"])
            .env("GITOPS_STATES", file)
            .current_dir(local_stack::repository().join("tests/gitops"));
        command::output(shell).await.map(drop)
    }
}

async fn gitops_tools_judge_the_health_of_real_objects(scenario: &Scenario) -> Result<()> {
    let cluster = scenario.cluster();
    let [unreachable, no_key, held, unseen] = ["unreachable", "no-key", "held", "unseen"]
        .map(|name| format!("{}-{name}", scenario.namespace()));
    scenario
        .apply_class_named(&unreachable, json!({"neon": {"baseUrl": UNREACHABLE}}))
        .await?;
    scenario
        .apply_class_named(
            &no_key,
            json!({"neon": {"apiKeySecretRef": {"name": "missing"}}}),
        )
        .await?;
    let limit = json!({"massDeletion": {"maxTenantsPerMinute": 1, "maxPercentPerMinute": 1}});
    scenario.apply_class_named(&held, limit).await?;
    for (name, spec) in [
        ("ready", json!({})),
        ("edited", json!({})),
        ("deleted", json!({})),
        ("suspended", json!({})),
        ("created-suspended", json!({"suspend": true})),
        ("stalled", json!({"className": "missing"})),
        ("in-progress", json!({"className": unreachable})),
    ] {
        scenario.apply(name, spec).await?;
    }
    for name in HELD {
        scenario.apply(name, json!({"className": held})).await?;
    }
    for name in ["ready", "edited", "deleted", "suspended"]
        .iter()
        .chain(&HELD)
    {
        scenario.wait_until_ready(name).await?;
    }
    scenario
        .patch("suspended", json!({"spec": {"suspend": true}}))
        .await?;
    for name in ["suspended", "created-suspended"] {
        scenario
            .wait_for(name, timeouts::CONVERGE, "suspended", |tenant| {
                test_support::scenario::is_current(tenant)
                    && test_support::scenario::condition(tenant, ConditionType::Suspended)
                        .is_some_and(|suspended| suspended.status == "True")
            })
            .await?;
    }
    scenario
        .wait_until_stalled("stalled", Reason::ClassNotFound)
        .await?;
    scenario
        .wait_for_reason("in-progress", Reason::AccountUnreachable)
        .await?;
    for name in HELD {
        scenario.delete(name).await?;
    }
    wait_for_condition(scenario, &held, ConditionType::DeletionsHeld, None).await?;
    wait_for_condition(
        scenario,
        &unreachable,
        ConditionType::Reconciling,
        Some(Reason::AccountUnreachable),
    )
    .await?;
    wait_for_condition(scenario, &no_key, ConditionType::Stalled, None).await?;
    // What users change while the controller is down.
    cluster.terminate_controller(CONTROLLER).await?;
    scenario.apply("unseen", json!({})).await?;
    scenario.apply_class_named(&unseen, json!({})).await?;
    scenario
        .patch("edited", json!({"spec": {"compute": {"maxCU": 2}}}))
        .await?;
    scenario.delete("deleted").await?;

    let classes = [&unseen, &unreachable, &no_key, &held];
    check_states(scenario, classes.map(String::as_str)).await?;
    cluster.start_controller(CONTROLLER).await?;
    release(scenario, &held).await
}

async fn check_states(
    scenario: &Scenario,
    [unseen, unreachable, no_key, held]: [&str; 4],
) -> Result<()> {
    let mut states = States {
        scenario,
        all: Vec::new(),
    };
    for (name, kstatus, argocd) in [
        ("unseen", "InProgress", "Progressing"),
        ("ready", "Current", "Healthy"),
        ("edited", "InProgress", "Progressing"),
        ("deleted", "Terminating", "Progressing"),
        ("suspended", "Current", "Suspended"),
        ("created-suspended", "InProgress", "Suspended"),
        ("stalled", "Failed", "Degraded"),
        ("in-progress", "InProgress", "Progressing"),
    ] {
        states.add("tenant", name, kstatus, argocd).await?;
    }
    for (name, kstatus, argocd) in [
        (crds::DEFAULT_CLASS, "Current", "Healthy"),
        (unseen, "InProgress", "Progressing"),
        (unreachable, "InProgress", "Progressing"),
        (no_key, "Failed", "Degraded"),
        (held, "Current", "Degraded"),
    ] {
        states.add("tenantclass", name, kstatus, argocd).await?;
    }
    states.check().await
}

/// Waits until a condition of a class is `True`, with this reason.
async fn wait_for_condition(
    scenario: &Scenario,
    class: &str,
    kind: ConditionType,
    reason: Option<Reason>,
) -> Result<Option<TenantClass>> {
    let description = format!("reporting {kind}");
    wait::until(
        &scenario.classes(),
        class,
        timeouts::CONVERGE,
        &description,
        |class| {
            let status = class.and_then(|class| class.status.as_ref());
            let condition = status.and_then(|status| find_condition(&status.conditions, kind));
            condition.is_some_and(|condition| {
                condition.status == "True"
                    && reason.is_none_or(|reason| condition.reason == reason.as_str())
            })
        },
    )
    .await
}

/// Lets the Tenants be deleted at the end of the test.
async fn release(scenario: &Scenario, held: &str) -> Result<()> {
    let class = scenario.classes().get(held).await?;
    let since = class
        .status
        .and_then(|status| status.mass_deletion?.held_since)
        .context("no deletions are held")?;
    let confirmation = format!("{}={}", annotations::CONFIRM_DELETIONS, since.0);
    scenario
        .kubectl(&["annotate", "tenantclass", held, &confirmation])
        .await?;
    let orphan = format!("{}=true", annotations::ORPHAN);
    scenario
        .kubectl(&["annotate", "tn", "in-progress", &orphan])
        .await?;
    Ok(())
}
