//! What can be edited reaches Neon; what cannot is refused with a word that helps.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::case::{project_id, status};
use tests::{Case, command};

tests::tests![
    edits_of_compute_and_quota_reach_the_project_and_its_compute,
    edits_of_other_fields_reach_the_project,
    what_cannot_be_changed_is_refused_with_what_to_do_instead,
    new_defaults_of_a_class_reach_its_tenants_but_never_move_them,
    a_new_name_of_the_secret_moves_the_credentials,
];

async fn edits_of_compute_and_quota_reach_the_project_and_its_compute(case: &Case) -> Result<()> {
    let tenant = case
        .apply_ready("acme", json!({"compute": {"minCU": 0.25, "maxCU": 1}}))
        .await?;
    let (account, id) = (case.cluster().account(), project_id(&tenant)?);
    let opened = account.connections_opened(&id).await?;

    case.patch(
        "acme",
        json!({"spec": {
            "compute": {"minCU": 1, "maxCU": 4, "suspendTimeoutSeconds": 120},
            "quota": {"writtenDataBytes": 5_000_000_000_i64, "computeTimeSeconds": 7_200},
        }}),
    )
    .await?;
    let tenant = case.ready("acme").await?;
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
        .context("no quota")?;
    ensure!(
        quota.written_data_bytes == Some(5_000_000_000)
            && quota.compute_time_seconds == Some(7_200),
        "{quota:?}"
    );
    let effective = status(&tenant)
        .and_then(|status| status.effective.clone())
        .context("nothing in effect")?;
    ensure!(
        effective.compute.max_cu == Some(4.0) && effective.compute.min_cu == Some(1.0),
        "{effective:?}"
    );
    ensure!(
        effective.quota.written_data_bytes == Some(5_000_000_000),
        "{effective:?}"
    );

    // A quota that is taken back is no limit any more.
    case.patch("acme", json!({"spec": {"quota": null}})).await?;
    case.ready("acme").await?;
    let quota = account
        .project(&id)
        .await?
        .settings
        .and_then(|settings| settings.quota)
        .unwrap_or_default();
    ensure!(quota.written_data_bytes.unwrap_or(0) == 0, "{quota:?}");
    ensure!(
        account.connections_opened(&id).await? == opened,
        "an edit opened the database"
    );
    Ok(())
}

async fn edits_of_other_fields_reach_the_project(case: &Case) -> Result<()> {
    let tenant = case.apply_ready("acme", json!({})).await?;
    let (account, id) = (case.cluster().account(), project_id(&tenant)?);
    let fields = json!({"displayName": "Acme Ltd", "allowedIPs": ["127.0.0.1"], "historyRetentionSeconds": 3_600});
    case.patch("acme", json!({"spec": fields})).await?;
    case.ready("acme").await?;
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

    case.patch("acme", json!({"spec": {"allowedIPs": null}}))
        .await?;
    case.ready("acme").await?;
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

async fn what_cannot_be_changed_is_refused_with_what_to_do_instead(case: &Case) -> Result<()> {
    case.apply_ready(
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
            case.kubectl_command(&["patch", "tn", "acme", "--type=merge", "--patch", &patch]);
        let said = command::refusal(kubectl, "").await?;
        ensure!(said.contains(message), "{patch}: {said}");
    }
    case.ready("acme").await?;
    Ok(())
}

async fn new_defaults_of_a_class_reach_its_tenants_but_never_move_them(case: &Case) -> Result<()> {
    let class = case
        .class(json!({"defaults": {"compute": {"maxCU": 1}}}))
        .await?;
    let tenant = case
        .apply_ready("acme", json!({"className": class}))
        .await?;
    let (account, id) = (case.cluster().account(), project_id(&tenant)?);
    case.class(json!({"defaults": {"region": "aws-us-east-2", "postgresVersion": 18, "compute": {"maxCU": 2}}})).await?;
    let tenant = case
        .until(
            "acme",
            tests::limits::CONVERGE,
            "of the new size",
            |tenant| {
                tests::case::is_ready(tenant)
                    && status(tenant).and_then(|status| status.effective.as_ref()?.compute.max_cu)
                        == Some(2.0)
            },
        )
        .await?;
    ensure!(
        account.grows_to(&id, 2.0).await?,
        "the compute was not resized"
    );
    ensure!(project_id(&tenant)? == id, "another project");
    let effective = status(&tenant)
        .and_then(|status| status.effective.clone())
        .context("nothing in effect")?;
    ensure!(
        effective.region == "aws-eu-central-1" && effective.postgres_version == 17,
        "{effective:?}"
    );
    Ok(())
}

async fn a_new_name_of_the_secret_moves_the_credentials(case: &Case) -> Result<()> {
    let tenant = case.apply_ready("acme", json!({})).await?;
    let before = case.secret(&tenant).await?;
    case.patch(
        "acme",
        json!({"spec": {"connectionSecret": {"name": "acme-db"}}}),
    )
    .await?;
    let tenant = case.ready("acme").await?;
    let binding = status(&tenant)
        .and_then(|status| status.binding.clone())
        .context("no binding")?;
    ensure!(binding.name == "acme-db", "{binding:?}");
    ensure!(case.secret(&tenant).await? == before, "other credentials");
    Ok(())
}
