//! Classes: their defaults and limits, their API keys, and Tenants whose class is missing or being
//! deleted.

use anyhow::{Context as _, Result, ensure};
use crds::{Phase, Reason, TenantClass, finalizers};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};
use neon_client::model::CreateProject;
use serde_json::{Value, json};
use test_support::cluster::SYSTEM_NAMESPACE;
use test_support::scenario::{is_ready, project_id, status};
use test_support::{Scenario, timeouts, wait};

test_support::tests![
    a_tenant_reports_a_missing_class_and_continues_when_it_is_created,
    a_class_in_use_is_deleted_after_its_last_tenant,
    a_class_that_is_being_deleted_accepts_no_new_tenants,
    a_spec_outside_the_classs_limits_is_rejected_with_the_limits,
    a_tenant_continues_when_the_classs_limits_are_raised,
    a_missing_api_key_is_reported_and_its_creation_is_noticed,
    an_api_key_can_be_changed_at_any_time,
    a_class_counts_its_tenants_and_becomes_ready,
    orphaned_projects_are_counted_reported_and_kept,
];

async fn a_tenant_reports_a_missing_class_and_continues_when_it_is_created(
    scenario: &Scenario,
) -> Result<()> {
    let name = format!("{}-gold", scenario.namespace());
    scenario.apply("acme", json!({"className": name})).await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::ClassNotFound)
        .await?;
    ensure!(message.contains(&name), "{message}");
    scenario.apply_class_named(&name, json!({})).await?;
    scenario.wait_until_ready("acme").await?;
    Ok(())
}

async fn a_class_in_use_is_deleted_after_its_last_tenant(scenario: &Scenario) -> Result<()> {
    let class = scenario.apply_class(json!({})).await?;
    for name in ["acme", "globex"] {
        scenario.apply(name, json!({"className": class})).await?;
    }
    for name in ["acme", "globex"] {
        scenario.wait_until_ready(name).await?;
    }
    scenario
        .classes()
        .delete(&class, &DeleteParams::default())
        .await?;
    let is_retained = |class: Option<&TenantClass>| {
        class.is_some_and(|class| {
            class.metadata.deletion_timestamp.is_some()
                && class
                    .finalizers()
                    .iter()
                    .any(|one| one == finalizers::IN_USE)
        })
    };
    for name in ["acme", "globex"] {
        ensure!(
            is_retained(scenario.classes().get_opt(&class).await?.as_ref()),
            "the class was deleted before {name}"
        );
        // While it exists, a Tenant is reconciled.
        scenario
            .patch(
                name,
                json!({"spec": {"displayName": format!("{name} Ltd")}}),
            )
            .await?;
        scenario.wait_until_ready(name).await?;
        scenario.delete(name).await?;
        scenario.wait_until_deleted(name).await?;
    }
    wait::until(
        &scenario.classes(),
        &class,
        timeouts::CONVERGE,
        "deleted",
        |class| class.is_none(),
    )
    .await?;
    Ok(())
}

async fn a_class_that_is_being_deleted_accepts_no_new_tenants(scenario: &Scenario) -> Result<()> {
    let class = scenario.apply_class(json!({})).await?;
    scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    scenario
        .classes()
        .delete(&class, &DeleteParams::default())
        .await?;
    // The class's status says what the deletion waits for.
    wait::until(
        &scenario.classes(),
        &class,
        timeouts::CONVERGE,
        "reported as terminating",
        |class| {
            let status = class.and_then(|class| class.status.as_ref());
            status.is_some_and(|status| {
                status.conditions.iter().any(|one| {
                    one.type_ == "Ready"
                        && one.status == "False"
                        && one.reason == Reason::ClassTerminating.as_str()
                        && one.message.contains("1 remain")
                })
            })
        },
    )
    .await?;
    scenario
        .apply("globex", json!({"className": class}))
        .await?;
    scenario
        .wait_until_stalled("globex", Reason::ClassTerminating)
        .await?;
    Ok(())
}

async fn a_spec_outside_the_classs_limits_is_rejected_with_the_limits(
    scenario: &Scenario,
) -> Result<()> {
    let class = scenario
        .apply_class(json!({"limits": {
            "minCU": 0.5, "maxCU": 2, "regions": ["aws-eu-central-1", "aws-us-east-2"], "postgresVersions": [16, 17],
            "quota": {"activeTimeSeconds": 3_600},
        }}))
        .await?;
    let invalid: [(&str, Value, &str); 5] = [
        ("large", json!({"compute": {"maxCU": 4}}), "use 2 or less"),
        (
            "small",
            json!({"compute": {"minCU": 0.25}}),
            "use 0.5 or more",
        ),
        (
            "region",
            json!({"region": "azure-eastus2"}),
            "use one of aws-eu-central-1, aws-us-east-2",
        ),
        (
            "version",
            json!({"postgresVersion": 15}),
            "use one of 16, 17",
        ),
        (
            "quota",
            json!({"quota": {"activeTimeSeconds": 7_200}}),
            "3600",
        ),
    ];
    for (name, spec, _) in &invalid {
        let mut spec = spec.clone();
        spec["className"] = json!(class);
        scenario.apply(name, spec).await?;
    }
    for (name, _, part) in &invalid {
        let message = scenario
            .wait_until_stalled(name, Reason::ClassLimitExceeded)
            .await?;
        ensure!(message.contains(part), "{name}: {message}");
        let tenant = scenario.tenant(name).await?;
        ensure!(
            status(&tenant).is_some_and(
                |status| status.phase == Some(Phase::Stalled) && status.project.is_none()
            ),
            "{name}"
        );
    }
    Ok(())
}

async fn a_tenant_continues_when_the_classs_limits_are_raised(scenario: &Scenario) -> Result<()> {
    let class = scenario
        .apply_class(json!({"limits": {"maxCU": 1}}))
        .await?;
    scenario
        .apply("acme", json!({"className": class, "compute": {"maxCU": 2}}))
        .await?;
    scenario
        .wait_until_stalled("acme", Reason::ClassLimitExceeded)
        .await?;
    scenario
        .apply_class(json!({"limits": {"maxCU": 2}}))
        .await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    let (account, id) = (scenario.cluster().account(), project_id(&tenant)?);
    ensure!(
        account.has_max_cu(&id, 2.0).await?,
        "the compute has another size"
    );
    Ok(())
}

async fn a_missing_api_key_is_reported_and_its_creation_is_noticed(
    scenario: &Scenario,
) -> Result<()> {
    let key = format!("{}-key", scenario.namespace());
    let class = scenario
        .apply_class(json!({"neon": {"apiKeySecretRef": {"name": key}}}))
        .await?;
    scenario.apply("acme", json!({"className": class})).await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::ApiKeyInvalid)
        .await?;
    ensure!(
        message.contains(&key) && message.contains(SYSTEM_NAMESPACE),
        "{message}"
    );
    scenario
        .cluster()
        .apply_api_key(&key, scenario.cluster().emulator().api_key())
        .await?;
    scenario.wait_until_ready("acme").await?;
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;
    api_key_secrets(scenario)
        .delete(&key, &DeleteParams::default())
        .await?;
    Ok(())
}

/// Waits with kubectl until a class is `Ready`.
async fn wait_until_class_ready(scenario: &Scenario, class: &str) -> Result<()> {
    let class = format!("tnc/{class}");
    scenario
        .kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", &class])
        .await?;
    Ok(())
}

fn api_key_secrets(scenario: &Scenario) -> Api<Secret> {
    Api::namespaced(scenario.cluster().client(), SYSTEM_NAMESPACE)
}

async fn an_api_key_can_be_changed_at_any_time(scenario: &Scenario) -> Result<()> {
    let key = format!("{}-key", scenario.namespace());
    scenario
        .cluster()
        .apply_api_key(&key, "napi_the_wrong_key")
        .await?;
    let class = scenario
        .apply_class(json!({"neon": {"apiKeySecretRef": {"name": key}}}))
        .await?;
    scenario.apply("acme", json!({"className": class})).await?;
    scenario
        .wait_until_stalled("acme", Reason::Unauthorized)
        .await?;
    scenario
        .cluster()
        .apply_api_key(&key, scenario.cluster().emulator().api_key())
        .await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    wait_until_class_ready(scenario, &class).await?;
    // With an invalid key the Tenant stays available, but its changes wait for a valid key.
    scenario
        .cluster()
        .apply_api_key(&key, "napi_the_wrong_key")
        .await?;
    wait::until(
        &scenario.classes(),
        &class,
        timeouts::DRIFT,
        "reported as unauthorized",
        |class| {
            class
                .and_then(|class| class.status.as_ref())
                .is_some_and(|status| {
                    let mut reasons = status.conditions.iter().map(|one| one.reason.as_str());
                    reasons.any(|reason| reason == Reason::Unauthorized.as_str())
                })
        },
    )
    .await?;
    scenario
        .patch("acme", json!({"spec": {"compute": {"maxCU": 2}}}))
        .await?;
    scenario
        .wait_until_stalled("acme", Reason::Unauthorized)
        .await?;
    ensure!(
        test_support::scenario::is_available(&scenario.tenant("acme").await?),
        "no longer available"
    );
    scenario
        .cluster()
        .apply_api_key(&key, scenario.cluster().emulator().api_key())
        .await?;
    let again = scenario.wait_until_ready("acme").await?;
    ensure!(
        project_id(&again)? == project_id(&tenant)?,
        "a different project"
    );
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;
    api_key_secrets(scenario)
        .delete(&key, &DeleteParams::default())
        .await?;
    Ok(())
}

async fn a_class_counts_its_tenants_and_becomes_ready(scenario: &Scenario) -> Result<()> {
    let class = scenario.apply_class(json!({})).await?;
    for name in ["acme", "globex"] {
        scenario
            .apply_and_wait(name, json!({"className": class}))
            .await?;
    }
    let counted = |class: Option<&TenantClass>, wanted: i64| {
        class
            .and_then(|class| class.status.as_ref())
            .is_some_and(|status| status.tenants == wanted)
    };
    wait::until(
        &scenario.classes(),
        &class,
        timeouts::CONVERGE,
        "counting 2",
        |class| counted(class, 2),
    )
    .await?;
    wait_until_class_ready(scenario, &class).await?;
    let table = scenario.kubectl(&["get", "tnc", &class]).await?;
    let row: Vec<&str> = table
        .lines()
        .nth(1)
        .context("the table has no row")?
        .split_whitespace()
        .collect();
    ensure!(row[..3] == [class.as_str(), "True", "2"], "{table}");
    scenario.delete("globex").await?;
    scenario.wait_until_deleted("globex").await?;
    wait::until(
        &scenario.classes(),
        &class,
        timeouts::CONVERGE,
        "counting 1",
        |class| counted(class, 1),
    )
    .await?;
    Ok(())
}

async fn orphaned_projects_are_counted_reported_and_kept(scenario: &Scenario) -> Result<()> {
    let (class, emulator) = scenario.apply_class_with_emulator(json!({})).await?;
    let account = test_support::neon::Account(&emulator);
    scenario
        .apply_and_wait("acme", json!({"className": class}))
        .await?;
    let namespaces: Api<Namespace> = Api::all(scenario.cluster().client());
    let installation = namespaces
        .get("kube-system")
        .await?
        .uid()
        .context("the namespace has no UID")?;
    let marked_name = |installation: &str| {
        format!("lost dbpt-{installation}/00000000-0000-4000-8000-000000000001/lost/main")
    };
    let ours = account
        .create(CreateProject::named(marked_name(&installation)))
        .await?;
    let others = account
        .create(CreateProject::named(marked_name("another-installation")))
        .await?;
    let unmarked = account.create(CreateProject::named("by hand")).await?;
    let class = wait::until(
        &scenario.classes(),
        &class,
        timeouts::DRIFT,
        "counting an orphaned project",
        |class| {
            class
                .and_then(|class| class.status.as_ref()?.orphaned_projects.as_ref())
                .is_some()
        },
    )
    .await?
    .context("the class does not exist")?;
    let orphaned = class
        .status
        .as_ref()
        .and_then(|status| status.orphaned_projects.clone())
        .context("the status has no orphaned projects")?;
    ensure!(
        orphaned.count == 1 && orphaned.ids == [ours.to_string()],
        "{orphaned:?}"
    );
    let events: Api<Event> = Api::all(scenario.cluster().client());
    let about = ListParams::default().fields(&format!("regarding.name={}", class.name_any()));
    wait::poll(timeouts::EVENT, "an event about the class", async || {
        let all = events.list(&about).await?;
        Ok(all
            .items
            .into_iter()
            .find(|event| event.reason.as_deref() == Some(Reason::OrphanedProjects.as_str())))
    })
    .await?;
    // Further listings do not change the projects.
    let listed = account.calls("listProjects");
    wait::poll(timeouts::DRIFT, "three more listings", async || {
        Ok((account.calls("listProjects") > listed + 3).then_some(()))
    })
    .await?;
    for id in [&ours, &others, &unmarked] {
        ensure!(
            account.project_exists(id).await?,
            "project {id} was deleted"
        );
    }
    ensure!(is_ready(&scenario.tenant("acme").await?), "no longer ready");
    // After the orphan was deleted by hand, the class no longer reports it.
    account.delete(&ours).await?;
    wait::until(
        &scenario.classes(),
        &class.name_any(),
        timeouts::DRIFT,
        "without orphaned projects",
        |class| {
            class
                .and_then(|class| class.status.as_ref())
                .is_some_and(|status| status.orphaned_projects.is_none())
        },
    )
    .await?;
    Ok(())
}
