//! A class can restrict the namespaces whose Tenants may use it.

use anyhow::{Result, ensure};
use crds::Reason;
use serde_json::json;
use test_support::scenario::{is_available, project_id};
use test_support::{Scenario, timeouts};

test_support::tests![
    a_class_serves_only_the_namespaces_that_it_allows,
    a_label_of_the_namespace_admits_its_tenants,
];

async fn a_class_serves_only_the_namespaces_that_it_allows(scenario: &Scenario) -> Result<()> {
    let class = scenario
        .apply_class(json!({"allowedNamespaces": {"names": ["somewhere-else"]}}))
        .await?;
    let spec = json!({"className": class});
    scenario.apply("acme", spec.clone()).await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::NamespaceNotAllowed)
        .await?;
    ensure!(message.contains("allowedNamespaces"), "{message}");
    scenario
        .apply_class(json!({"allowedNamespaces": {"names": [scenario.namespace()]}}))
        .await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    let id = project_id(&tenant)?;

    // A Tenant that is no longer allowed keeps its database, and can be deleted.
    scenario
        .apply_class(json!({"allowedNamespaces": {"names": ["somewhere-else"]}}))
        .await?;
    scenario
        .wait_until_stalled("acme", Reason::NamespaceNotAllowed)
        .await?;
    ensure!(
        is_available(&scenario.tenant("acme").await?),
        "the database is not available"
    );
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;
    ensure!(
        !scenario.cluster().account().project_exists(&id).await?,
        "project {id} still exists"
    );
    Ok(())
}

async fn a_label_of_the_namespace_admits_its_tenants(scenario: &Scenario) -> Result<()> {
    let class = scenario
        .apply_class(json!({"allowedNamespaces": {"selector": {
            "matchExpressions": [{"key": "team", "operator": "In", "values": ["blue", "green"]}],
        }}}))
        .await?;
    scenario.apply("acme", json!({"className": class})).await?;
    scenario
        .wait_until_stalled("acme", Reason::NamespaceNotAllowed)
        .await?;
    let label = |value: &str| {
        let pair = format!("team={value}");
        let arguments = [
            "label",
            "namespace",
            scenario.namespace(),
            &pair,
            "--overwrite",
        ];
        let command = scenario.kubectl_command(&arguments);
        async move { test_support::command::output(command).await }
    };
    label("green").await?;
    scenario.wait_until_ready("acme").await?;
    label("red").await?;
    scenario
        .wait_for("acme", timeouts::CONVERGE, "refused", |tenant| {
            test_support::scenario::condition(tenant, crds::ConditionType::Stalled)
                .is_some_and(|stalled| stalled.reason == Reason::NamespaceNotAllowed.as_str())
        })
        .await?;
    Ok(())
}
