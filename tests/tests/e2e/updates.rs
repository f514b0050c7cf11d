//! Changes of mutable fields reach Neon; changes of immutable fields are rejected with a helpful
//! message.

use anyhow::{Context as _, Result, ensure};
use neon_emulator::Plan;
use serde_json::{Value, json};
use test_support::neon::Account;
use test_support::scenario::{project_id, status};
use test_support::{Scenario, command};

test_support::tests![
    changes_of_compute_and_quota_are_applied_to_the_project,
    changes_of_other_fields_are_applied_to_the_project,
    changes_of_immutable_fields_are_rejected_with_a_hint,
    new_defaults_of_a_class_are_applied_except_immutable_ones,
    renaming_the_connection_secret_moves_the_credentials,
];

async fn changes_of_compute_and_quota_are_applied_to_the_project(
    scenario: &Scenario,
) -> Result<()> {
    let (class, emulator) = scenario.apply_class_on_plan(Plan::Scale).await?;
    let spec = json!({"className": class, "compute": {"minCU": 0.25, "maxCU": 1}});
    let tenant = scenario.apply_and_wait("acme", spec).await?;
    let (account, id) = (Account(&emulator), project_id(&tenant)?);
    let opened = account.connections_opened(&id).await?;

    scenario
        .patch(
            "acme",
            json!({"spec": {
                "compute": {"minCU": 1, "maxCU": 4, "suspendTimeoutSeconds": 120},
                "quota": {"writtenDataBytes": 5_000_000_000_i64, "computeTimeSeconds": 7_200},
            }}),
        )
        .await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    let endpoint = account.endpoint(&id).await?;
    let size = (
        endpoint.autoscaling_limit_min_cu.as_f64(),
        endpoint.autoscaling_limit_max_cu.as_f64(),
    );
    ensure!(
        size == (1.0, 4.0) && endpoint.suspend_timeout_seconds == 120,
        "{endpoint:?}"
    );
    let quota = account
        .project(&id)
        .await?
        .settings
        .and_then(|settings| settings.quota)
        .context("the project has no quota")?;
    ensure!(
        quota.written_data_bytes == Some(5_000_000_000)
            && quota.compute_time_seconds == Some(7_200),
        "{quota:?}"
    );
    let effective = status(&tenant)
        .and_then(|status| status.effective.clone())
        .context("the status has no effective spec")?;
    ensure!(
        effective.compute.max_cu == Some(4.0) && effective.compute.min_cu == Some(1.0),
        "{effective:?}"
    );
    ensure!(
        effective.quota.written_data_bytes == Some(5_000_000_000),
        "{effective:?}"
    );

    // Removing a quota removes its limit.
    scenario
        .patch("acme", json!({"spec": {"quota": null}}))
        .await?;
    scenario.wait_until_ready("acme").await?;
    let quota = account
        .project(&id)
        .await?
        .settings
        .and_then(|settings| settings.quota)
        .unwrap_or_default();
    ensure!(quota.written_data_bytes.unwrap_or(0) == 0, "{quota:?}");
    ensure!(
        account.connections_opened(&id).await? == opened,
        "a change opened the database"
    );
    Ok(())
}

async fn changes_of_other_fields_are_applied_to_the_project(scenario: &Scenario) -> Result<()> {
    let (class, emulator) = scenario.apply_class_on_plan(Plan::Scale).await?;
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let (account, id) = (Account(&emulator), project_id(&tenant)?);
    let fields = json!({"displayName": "Acme Ltd", "allowedIPs": ["127.0.0.1"], "historyRetentionSeconds": 3_600});
    scenario.patch("acme", json!({"spec": fields})).await?;
    scenario.wait_until_ready("acme").await?;
    let project = account.project(&id).await?;
    ensure!(
        project.name.starts_with("Acme Ltd dbpt-"),
        "{}",
        project.name
    );
    ensure!(
        project.history_retention_seconds == Some(3_600),
        "{project:?}"
    );
    let allowed = project
        .settings
        .and_then(|settings| settings.allowed_ips?.ips);
    ensure!(allowed == Some(vec!["127.0.0.1".into()]), "{allowed:?}");

    scenario
        .patch("acme", json!({"spec": {"allowedIPs": null}}))
        .await?;
    scenario.wait_until_ready("acme").await?;
    let allowed = account
        .project(&id)
        .await?
        .settings
        .and_then(|settings| settings.allowed_ips?.ips);
    ensure!(
        allowed.clone().unwrap_or_default().is_empty(),
        "{allowed:?}"
    );
    Ok(())
}

async fn changes_of_immutable_fields_are_rejected_with_a_hint(scenario: &Scenario) -> Result<()> {
    scenario
        .apply_and_wait(
            "acme",
            json!({"region": "aws-us-east-2", "postgresVersion": 17}),
        )
        .await?;
    let edits: [(Value, &str); 6] = [
        (
            json!({"region": "aws-eu-central-1"}),
            "create a new Tenant with the region you want",
        ),
        (
            json!({"region": null}),
            "region cannot be set, changed or removed after creation",
        ),
        (
            json!({"postgresVersion": 18}),
            "create a new Tenant with the version you want",
        ),
        (
            json!({"className": "other"}),
            "create a new Tenant with the class you want",
        ),
        (
            json!({"database": {"name": "other"}}),
            "create a new Tenant with the names you want",
        ),
        (
            json!({"adopt": {"projectId": "quiet-river-12345678"}}),
            "adopt.projectId cannot be set",
        ),
    ];
    for (edit, message) in edits {
        let patch = json!({"spec": edit}).to_string();
        let kubectl =
            scenario.kubectl_command(&["patch", "tn", "acme", "--type=merge", "--patch", &patch]);
        let error = command::expect_failure(kubectl, "").await?;
        ensure!(error.contains(message), "{patch}: {error}");
    }
    scenario.wait_until_ready("acme").await?;
    Ok(())
}

async fn new_defaults_of_a_class_are_applied_except_immutable_ones(
    scenario: &Scenario,
) -> Result<()> {
    let class = scenario
        .apply_class(json!({"defaults": {"compute": {"maxCU": 1}}}))
        .await?;
    let tenant = scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let (account, id) = (scenario.cluster().account(), project_id(&tenant)?);
    scenario.apply_class(json!({"defaults": {"region": "aws-us-east-2", "postgresVersion": 18, "compute": {"maxCU": 2}}})).await?;
    let tenant = scenario
        .wait_for(
            "acme",
            test_support::timeouts::CONVERGE,
            "resized",
            |tenant| {
                test_support::scenario::is_ready(tenant)
                    && status(tenant).and_then(|status| status.effective.as_ref()?.compute.max_cu)
                        == Some(2.0)
            },
        )
        .await?;
    ensure!(
        account.has_max_cu(&id, 2.0).await?,
        "the compute was not resized"
    );
    ensure!(project_id(&tenant)? == id, "a different project");
    let effective = status(&tenant)
        .and_then(|status| status.effective.clone())
        .context("the status has no effective spec")?;
    ensure!(
        effective.region == "aws-eu-central-1" && effective.postgres_version == 17,
        "{effective:?}"
    );
    Ok(())
}

async fn renaming_the_connection_secret_moves_the_credentials(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let before = scenario.secret_data(&tenant).await?;
    scenario
        .patch(
            "acme",
            json!({"spec": {"connectionSecret": {"name": "acme-db"}}}),
        )
        .await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    let binding = status(&tenant)
        .and_then(|status| status.binding.clone())
        .context("the status names no Secret")?;
    ensure!(binding.name == "acme-db", "{binding:?}");
    ensure!(
        scenario.secret_data(&tenant).await? == before,
        "the credentials changed"
    );
    Ok(())
}
