//! From the apply until the Tenant is Ready, as users see it.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, FIELD_MANAGER, Reason, SECRET_TYPE, keys, labels};
use neon_emulator::Plan;
use serde_json::json;
use test_support::cluster::REGION;
use test_support::neon::Account;
use test_support::scenario::{condition, project_id, status};
use test_support::{Scenario, checks, psql};

test_support::tests![
    kubectl_shows_the_progress_of_a_tenant,
    the_secret_has_all_documented_keys,
    psql_connects_with_the_secret_alone,
    the_status_contains_everything_except_the_password,
    every_field_of_the_spec_is_applied_to_neon,
    unusual_names_are_escaped_in_connection_strings,
    tenants_cannot_access_each_others_databases,
    events_use_the_events_api_and_name_their_controller,
];

async fn kubectl_shows_the_progress_of_a_tenant(scenario: &Scenario) -> Result<()> {
    let manifest =
        "apiVersion: dbpertenant.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\nspec: {}\n";
    scenario
        .kubectl_with_input(&["apply", "--filename=-"], manifest)
        .await?;
    for condition in [
        "Ready",
        "Available",
        "ProjectReady",
        "SchemaReady",
        "CredentialsReady",
    ] {
        scenario
            .kubectl(&[
                "wait",
                &format!("--for=condition={condition}"),
                "--timeout=60s",
                "tn/acme",
            ])
            .await?;
    }
    let tenant = scenario.tenant("acme").await?;
    let project = project_id(&tenant)?.to_string();
    let status = status(&tenant).context("the Tenant has no status")?;
    let version = status
        .schema
        .as_ref()
        .and_then(|schema| schema.version)
        .context("the status has no schema version")?
        .to_string();

    let table = scenario.kubectl(&["get", "tn"]).await?;
    let (header, row) = header_and_row(&table)?;
    ensure!(
        header
            == [
                "NAME", "READY", "PHASE", "REGION", "PROJECT", "SCHEMA", "AGE"
            ],
        "{table}"
    );
    ensure!(
        row[..6] == ["acme", "True", "Ready", REGION, &project, &version],
        "{table}"
    );

    let wide = scenario.kubectl(&["get", "tn", "--output=wide"]).await?;
    let (header, row) = header_and_row(&wide)?;
    ensure!(header[7..] == ["HOST", "CLASS", "READY", "MS"], "{wide}");
    let host = &status
        .connection
        .as_ref()
        .context("the status has no connection")?
        .host;
    ensure!(row[7] == host && row[8] == "default", "{wide}");
    ensure!(row[9].parse::<u64>().is_ok_and(|ms| ms < 60_000), "{wide}");

    scenario.wait_for_event("acme", Reason::Migrated).await?;
    let described = scenario.kubectl(&["describe", "tn", "acme"]).await?;
    for reason in [
        Reason::ProjectCreated,
        Reason::SecretWritten,
        Reason::Migrated,
    ] {
        ensure!(
            described.contains(reason.as_str()),
            "describe does not show {reason}:\n{described}"
        );
    }
    Ok(())
}

fn header_and_row(table: &str) -> Result<(Vec<&str>, Vec<&str>)> {
    let mut lines = table.lines().map(|line| line.split_whitespace().collect());
    Ok((
        lines.next().context("the table has no header")?,
        lines.next().context("the table has no row")?,
    ))
}

async fn the_secret_has_all_documented_keys(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let secret = scenario.secrets().get("acme-connection").await?;
    ensure!(
        secret.type_.as_deref() == Some(SECRET_TYPE),
        "type {:?}",
        secret.type_
    );
    let owners = secret.metadata.owner_references.clone().unwrap_or_default();
    let [owner] = owners.as_slice() else {
        anyhow::bail!("owners {owners:?}")
    };
    ensure!(
        owner.kind == "Tenant"
            && Some(&owner.uid) == tenant.metadata.uid.as_ref()
            && owner.controller == Some(true),
        "{owner:?}"
    );
    let labels_found = secret.metadata.labels.clone().unwrap_or_default();
    ensure!(
        labels_found.get(labels::TENANT).map(String::as_str) == Some("acme"),
        "{labels_found:?}"
    );
    ensure!(
        labels_found.get(labels::MANAGED_BY).map(String::as_str) == Some(FIELD_MANAGER),
        "{labels_found:?}"
    );

    let data = scenario.secret_data(&tenant).await?;
    let found: BTreeSet<&str> = data.keys().map(String::as_str).collect();
    ensure!(
        found == keys::ALL.iter().copied().collect(),
        "keys {found:?}"
    );
    let connection = status(&tenant)
        .and_then(|status| status.connection.clone())
        .context("the status has no connection")?;
    for (key, wanted) in [
        (keys::TYPE, "postgresql"),
        (keys::PROVIDER, "neon"),
        (keys::HOST, &connection.host),
        (keys::POOLED_HOST, &connection.pooled_host),
        (keys::PORT, &connection.port.to_string()),
        (keys::DATABASE, "neondb"),
        (keys::USERNAME, "neondb_owner"),
        (keys::SSLMODE, "require"),
    ] {
        ensure!(
            data[key] == wanted,
            "{key} must be {wanted} (got {})",
            data[key]
        );
    }
    ensure!(
        data[keys::URI].contains("sslmode=require") && data[keys::POOLED_URI].contains("-pooler"),
        "connection strings"
    );
    ensure!(
        data[keys::CA_CRT] == scenario.cluster().emulator().ca_pem(),
        "ca.crt"
    );
    Ok(())
}

async fn psql_connects_with_the_secret_alone(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let version = status(&tenant)
        .and_then(|status| status.schema.as_ref()?.version)
        .context("the status has no schema version")?;
    let probe = "select '[3,4]'::vector <-> '[0,0]'::vector, (select max(version) from _sqlx_migrations where success), \
         (select count(*) from chunk_embeddings)";
    for key in [keys::URI, keys::POOLED_URI] {
        let row = scenario.psql(&tenant, key, probe).await?;
        ensure!(row == format!("5|{version}|0"), "with {key}: {row}");
    }
    // The server's certificate is verified: with another CA the connection fails.
    let mut other = scenario.secret_data(&tenant).await?;
    let other_ca = scenario
        .cluster()
        .plane()
        .folder()
        .join("certificates/ca.crt");
    other.insert(
        keys::CA_CRT.into(),
        std::fs::read_to_string(&other_ca).unwrap_or_else(|_| INVALID_CA.into()),
    );
    let error = psql::query_expect_error(scenario.cluster(), &other, keys::URI, "select 1").await?;
    ensure!(error.contains("certificate"), "{error}");
    Ok(())
}

/// An invalid certificate is enough to show that psql reads the file.
const INVALID_CA: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

async fn the_status_contains_everything_except_the_password(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let status = status(&tenant).context("the Tenant has no status")?;
    let timings = status
        .timings
        .clone()
        .context("the status has no timings")?;
    let (project, schema, ready) = (timings.project_ms, timings.schema_ms, timings.ready_ms);
    let figures = [project, schema, ready].map(Option::unwrap_or_default);
    ensure!(
        figures.iter().all(|ms| (1..60_000).contains(ms)),
        "{timings:?}"
    );
    ensure!(
        figures[0] <= figures[2] && figures[1] <= figures[2],
        "{timings:?}"
    );
    ensure!(status.creation.is_none(), "{:?}", status.creation);
    for absent in [ConditionType::Reconciling, ConditionType::Stalled] {
        ensure!(
            condition(&tenant, absent).is_none(),
            "the condition {absent} exists"
        );
    }
    for present in &status.conditions {
        ensure!(
            present.status == "True" && present.reason == "ReconcileSucceeded",
            "{present:?}"
        );
        ensure!(
            present.observed_generation == tenant.metadata.generation,
            "{present:?}"
        );
    }
    let effective = status
        .effective
        .clone()
        .context("the status has no effective spec")?;
    ensure!(
        effective.region == REGION && effective.class_name == "default",
        "{effective:?}"
    );

    let password = &scenario.secret_data(&tenant).await?[keys::PASSWORD];
    ensure!(
        password.len() >= 8,
        "a password of {} bytes",
        password.len()
    );
    let all = serde_yaml::to_string(&tenant)?;
    ensure!(
        !all.contains(password.as_str()),
        "the Tenant contains the password"
    );
    Ok(())
}

async fn every_field_of_the_spec_is_applied_to_neon(scenario: &Scenario) -> Result<()> {
    let (class, emulator) = scenario.apply_class_on_plan(Plan::Scale).await?;
    let tenant = scenario
        .apply_and_wait(
            "acme",
            json!({
                "className": class,
                "displayName": "Müller & Söhne", "region": "aws-us-east-2", "postgresVersion": 16,
                "compute": {"minCU": 0.5, "maxCU": 2, "suspendTimeoutSeconds": 600},
                "quota": {"activeTimeSeconds": 36_000, "logicalSizeBytes": 1_073_741_824_i64},
                "historyRetentionSeconds": 86_400, "allowedIPs": ["127.0.0.1", "203.0.113.0/24"],
            }),
        )
        .await?;
    let account = Account(&emulator);
    let id = project_id(&tenant)?;
    let project = account.project(&id).await?;
    ensure!(
        project.name.starts_with("Müller & Söhne dbpt-"),
        "{}",
        project.name
    );
    ensure!(
        project.region_id.as_str() == "aws-us-east-2" && project.pg_version == 16,
        "{project:?}"
    );
    ensure!(
        project.history_retention_seconds == Some(86_400),
        "{project:?}"
    );
    let settings = project.settings.context("the project has no settings")?;
    let quota = settings.quota.context("the project has no quota")?;
    ensure!(quota.active_time_seconds == Some(36_000), "{quota:?}");
    ensure!(quota.logical_size_bytes == Some(1_073_741_824), "{quota:?}");
    let allowed = settings.allowed_ips.and_then(|allowed| allowed.ips);
    ensure!(
        allowed == Some(vec!["127.0.0.1".into(), "203.0.113.0/24".into()]),
        "{allowed:?}"
    );
    let endpoint = account.endpoint(&id).await?;
    let size = (
        endpoint.autoscaling_limit_min_cu.as_f64(),
        endpoint.autoscaling_limit_max_cu.as_f64(),
    );
    ensure!(
        size == (0.5, 2.0) && endpoint.suspend_timeout_seconds == 600,
        "{endpoint:?}"
    );
    Ok(())
}

async fn unusual_names_are_escaped_in_connection_strings(scenario: &Scenario) -> Result<()> {
    let database = json!({"name": "acme/Ünïcode db?", "owner": "the owner@work"});
    let tenant = scenario
        .apply_and_wait("acme", json!({"database": database}))
        .await?;
    for key in [keys::URI, keys::POOLED_URI] {
        let tables = scenario
            .psql(&tenant, key, "select count(*) from documents")
            .await?;
        ensure!(tables == "0", "with {key}: {tables}");
    }
    Ok(())
}

async fn tenants_cannot_access_each_others_databases(scenario: &Scenario) -> Result<()> {
    for name in ["acme", "globex"] {
        scenario.apply(name, json!({})).await?;
    }
    let (acme, globex) = (
        scenario.wait_until_ready("acme").await?,
        scenario.wait_until_ready("globex").await?,
    );
    ensure!(
        project_id(&acme)? != project_id(&globex)?,
        "two Tenants share a project"
    );
    scenario
        .psql(&acme, keys::URI, "create table secrets_of_acme ()")
        .await?;
    let seen = scenario
        .psql(
            &globex,
            keys::URI,
            "select count(*) from pg_class where relname = 'secrets_of_acme'",
        )
        .await?;
    ensure!(seen == "0", "globex sees {seen} tables of acme");
    // One Tenant's password with the other's host.
    let (ours, theirs) = (
        scenario.secret_data(&acme).await?,
        scenario.secret_data(&globex).await?,
    );
    let mut mixed = theirs.clone();
    mixed.insert(
        keys::URI.into(),
        theirs[keys::URI].replace(&theirs[keys::PASSWORD], &ours[keys::PASSWORD]),
    );
    ensure!(
        mixed[keys::URI] != theirs[keys::URI],
        "the passwords are equal"
    );
    let error = psql::query_expect_error(scenario.cluster(), &mixed, keys::URI, "select 1").await?;
    ensure!(error.contains("password"), "{error}");
    Ok(())
}

async fn events_use_the_events_api_and_name_their_controller(scenario: &Scenario) -> Result<()> {
    scenario.apply_and_wait("acme", json!({})).await?;
    let event = scenario
        .wait_for_event("acme", Reason::ProjectCreated)
        .await?;
    ensure!(
        event.reporting_controller.as_deref() == Some(FIELD_MANAGER),
        "{event:?}"
    );
    ensure!(
        event
            .reporting_instance
            .as_deref()
            .is_some_and(|name| name.contains("tenant-controller")),
        "{event:?}"
    );
    ensure!(
        event.type_.as_deref() == Some("Normal") && event.action.is_some(),
        "{event:?}"
    );
    ensure!(
        event
            .regarding
            .as_ref()
            .is_some_and(|about| about.kind.as_deref() == Some("Tenant")),
        "{event:?}"
    );
    let paths = checks::requests(scenario.cluster())?
        .into_iter()
        .map(|request| request.path);
    let (new, others): (Vec<_>, Vec<_>) = paths
        .filter(|path| path.split('/').any(|part| part == "events"))
        .partition(|path| path.starts_with("/apis/events.k8s.io/v1/"));
    ensure!(
        !new.is_empty() && others.is_empty(),
        "{} requests to events.k8s.io/v1, others: {others:?}",
        new.len()
    );
    Ok(())
}
