//! What a class gives, limits and names; and what Tenants say while it is missing.

use anyhow::{Context as _, Result, ensure};
use crds::{Phase, Reason, TenantClass, finalizers};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};
use neon_client::model::CreateProject;
use serde_json::{Value, json};
use tests::case::{is_ready, project_id, status};
use tests::cluster::SYSTEM_NAMESPACE;
use tests::{Case, limits, wait};

tests::tests![
    a_tenant_says_which_class_is_missing_and_goes_on_when_it_appears,
    a_class_in_use_stays_until_its_last_tenant_is_gone,
    a_class_that_is_being_deleted_takes_no_new_tenants,
    what_a_class_does_not_offer_is_refused_with_what_it_offers,
    a_tenant_goes_on_when_the_class_allows_more,
    a_missing_key_is_named_and_its_coming_is_noticed,
    a_key_can_be_changed_at_any_time,
    a_class_counts_its_tenants_and_says_that_it_is_ready,
    projects_without_a_tenant_are_counted_named_and_left_alone,
];

async fn a_tenant_says_which_class_is_missing_and_goes_on_when_it_appears(
    case: &Case,
) -> Result<()> {
    let name = format!("{}-gold", case.namespace());
    case.apply("acme", json!({"className": name})).await?;
    let message = case.stalled("acme", Reason::ClassNotFound).await?;
    ensure!(message.contains(&name), "{message}");
    case.class_named(&name, json!({})).await?;
    case.ready("acme").await?;
    Ok(())
}

async fn a_class_in_use_stays_until_its_last_tenant_is_gone(case: &Case) -> Result<()> {
    let class = case.class(json!({})).await?;
    for name in ["acme", "globex"] {
        case.apply(name, json!({"className": class})).await?;
    }
    for name in ["acme", "globex"] {
        case.ready(name).await?;
    }
    case.all_classes()
        .delete(&class, &DeleteParams::default())
        .await?;
    let held = |class: Option<&TenantClass>| {
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
            held(case.all_classes().get_opt(&class).await?.as_ref()),
            "the class went before {name}"
        );
        // A Tenant is served and can be changed as long as it is there.
        case.patch(
            name,
            json!({"spec": {"displayName": format!("{name} Ltd")}}),
        )
        .await?;
        case.ready(name).await?;
        case.delete(name).await?;
        case.gone(name).await?;
    }
    wait::until(
        &case.all_classes(),
        &class,
        limits::CONVERGE,
        "gone",
        |class| class.is_none(),
    )
    .await?;
    Ok(())
}

async fn a_class_that_is_being_deleted_takes_no_new_tenants(case: &Case) -> Result<()> {
    let class = case.class(json!({})).await?;
    case.apply_ready("acme", json!({"className": class}))
        .await?;
    case.all_classes()
        .delete(&class, &DeleteParams::default())
        .await?;
    // Whoever deletes it is told what it waits for.
    wait::until(
        &case.all_classes(),
        &class,
        limits::CONVERGE,
        "said to be leaving",
        |class| {
            let status = class.and_then(|class| class.status.as_ref());
            status.is_some_and(|status| {
                status.conditions.iter().any(|one| {
                    one.type_ == "Ready"
                        && one.status == "False"
                        && one.reason == Reason::ClassTerminating.as_str()
                        && one.message.contains("1 now")
                })
            })
        },
    )
    .await?;
    case.apply("globex", json!({"className": class})).await?;
    case.stalled("globex", Reason::ClassTerminating).await?;
    Ok(())
}

async fn what_a_class_does_not_offer_is_refused_with_what_it_offers(case: &Case) -> Result<()> {
    let class = case
        .class(json!({"limits": {
            "minCU": 0.5, "maxCU": 2, "regions": ["aws-eu-central-1", "aws-us-east-2"], "postgresVersions": [16, 17],
            "quota": {"activeTimeSeconds": 3_600},
        }}))
        .await?;
    let cases: [(&str, Value, &str); 5] = [
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
    for (name, spec, _) in &cases {
        let mut spec = spec.clone();
        spec["className"] = json!(class);
        case.apply(name, spec).await?;
    }
    for (name, _, part) in &cases {
        let message = case.stalled(name, Reason::ClassLimitExceeded).await?;
        ensure!(message.contains(part), "{name}: {message}");
        let tenant = case.tenant(name).await?;
        ensure!(
            status(&tenant).is_some_and(
                |status| status.phase == Some(Phase::Stalled) && status.project.is_none()
            ),
            "{name}"
        );
    }
    Ok(())
}

async fn a_tenant_goes_on_when_the_class_allows_more(case: &Case) -> Result<()> {
    let class = case.class(json!({"limits": {"maxCU": 2}})).await?;
    case.apply("acme", json!({"className": class, "compute": {"maxCU": 4}}))
        .await?;
    case.stalled("acme", Reason::ClassLimitExceeded).await?;
    case.class(json!({"limits": {"maxCU": 4}})).await?;
    let tenant = case.ready("acme").await?;
    let (account, id) = (case.cluster().account(), project_id(&tenant)?);
    ensure!(
        account.grows_to(&id, 4.0).await?,
        "it grows to another size"
    );
    Ok(())
}

async fn a_missing_key_is_named_and_its_coming_is_noticed(case: &Case) -> Result<()> {
    let key = format!("{}-key", case.namespace());
    let class = case
        .class(json!({"neon": {"apiKeySecretRef": {"name": key}}}))
        .await?;
    case.apply("acme", json!({"className": class})).await?;
    let message = case.stalled("acme", Reason::ApiKeyInvalid).await?;
    ensure!(
        message.contains(&key) && message.contains(SYSTEM_NAMESPACE),
        "{message}"
    );
    case.cluster()
        .apply_api_key(&key, case.cluster().emulator().api_key())
        .await?;
    case.ready("acme").await?;
    case.delete("acme").await?;
    case.gone("acme").await?;
    keys(case).delete(&key, &DeleteParams::default()).await?;
    Ok(())
}

/// Waits until a class says that it can be used, as a person does.
async fn can_be_used(case: &Case, class: &str) -> Result<()> {
    let class = format!("tnc/{class}");
    case.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", &class])
        .await?;
    Ok(())
}

fn keys(case: &Case) -> Api<Secret> {
    Api::namespaced(case.cluster().client(), SYSTEM_NAMESPACE)
}

async fn a_key_can_be_changed_at_any_time(case: &Case) -> Result<()> {
    let key = format!("{}-key", case.namespace());
    case.cluster()
        .apply_api_key(&key, "napi_the_wrong_key")
        .await?;
    let class = case
        .class(json!({"neon": {"apiKeySecretRef": {"name": key}}}))
        .await?;
    case.apply("acme", json!({"className": class})).await?;
    case.stalled("acme", Reason::Unauthorized).await?;
    case.cluster()
        .apply_api_key(&key, case.cluster().emulator().api_key())
        .await?;
    let tenant = case.ready("acme").await?;
    can_be_used(case, &class).await?;
    // And back: what is there stays, what is asked for waits for the key.
    case.cluster()
        .apply_api_key(&key, "napi_the_wrong_key")
        .await?;
    wait::until(
        &case.all_classes(),
        &class,
        limits::DRIFT,
        "without access",
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
    case.patch("acme", json!({"spec": {"compute": {"maxCU": 2}}}))
        .await?;
    case.stalled("acme", Reason::Unauthorized).await?;
    ensure!(
        tests::case::is_available(&case.tenant("acme").await?),
        "not available any more"
    );
    case.cluster()
        .apply_api_key(&key, case.cluster().emulator().api_key())
        .await?;
    let again = case.ready("acme").await?;
    ensure!(
        project_id(&again)? == project_id(&tenant)?,
        "another project"
    );
    case.delete("acme").await?;
    case.gone("acme").await?;
    keys(case).delete(&key, &DeleteParams::default()).await?;
    Ok(())
}

async fn a_class_counts_its_tenants_and_says_that_it_is_ready(case: &Case) -> Result<()> {
    let class = case.class(json!({})).await?;
    for name in ["acme", "globex"] {
        case.apply_ready(name, json!({"className": class})).await?;
    }
    let counted = |class: Option<&TenantClass>, wanted: i64| {
        class
            .and_then(|class| class.status.as_ref())
            .is_some_and(|status| status.tenants == wanted)
    };
    wait::until(
        &case.all_classes(),
        &class,
        limits::CONVERGE,
        "counting 2",
        |class| counted(class, 2),
    )
    .await?;
    can_be_used(case, &class).await?;
    let table = case.kubectl(&["get", "tnc", &class]).await?;
    let row: Vec<&str> = table
        .lines()
        .nth(1)
        .context("no row")?
        .split_whitespace()
        .collect();
    ensure!(row[..3] == [class.as_str(), "True", "2"], "{table}");
    case.delete("globex").await?;
    case.gone("globex").await?;
    wait::until(
        &case.all_classes(),
        &class,
        limits::CONVERGE,
        "counting 1",
        |class| counted(class, 1),
    )
    .await?;
    Ok(())
}

async fn projects_without_a_tenant_are_counted_named_and_left_alone(case: &Case) -> Result<()> {
    let (class, emulator) = case.class_with_account(json!({})).await?;
    let account = tests::neon::Account(&emulator);
    case.apply_ready("acme", json!({"className": class}))
        .await?;
    let namespaces: Api<Namespace> = Api::all(case.cluster().client());
    let installation = namespaces
        .get("kube-system")
        .await?
        .uid()
        .context("no uid")?;
    let mark = |installation: &str| {
        format!("lost dbpt-{installation}/00000000-0000-4000-8000-000000000001")
    };
    let ours = account
        .create(CreateProject::named(mark(&installation)))
        .await?;
    let others = account
        .create(CreateProject::named(mark("another-installation")))
        .await?;
    let nobodys = account.create(CreateProject::named("by hand")).await?;
    let class = wait::until(
        &case.all_classes(),
        &class,
        limits::DRIFT,
        "counting an orphaned project",
        |class| {
            class
                .and_then(|class| class.status.as_ref()?.orphaned_projects.as_ref())
                .is_some()
        },
    )
    .await?
    .context("no class")?;
    let orphaned = class
        .status
        .as_ref()
        .and_then(|status| status.orphaned_projects.clone())
        .context("none")?;
    ensure!(
        orphaned.count == 1 && orphaned.ids == [ours.to_string()],
        "{orphaned:?}"
    );
    let events: Api<Event> = Api::all(case.cluster().client());
    let about = ListParams::default().fields(&format!("regarding.name={}", class.name_any()));
    wait::poll(limits::EVENT, "an event about the class", async || {
        let all = events.list(&about).await?;
        Ok(all
            .items
            .into_iter()
            .find(|event| event.reason.as_deref() == Some(Reason::OrphanedProjects.as_str())))
    })
    .await?;
    // Looked at again and again, and left where they are.
    let listed = account.calls("listProjects");
    wait::poll(limits::DRIFT, "three more listings", async || {
        Ok((account.calls("listProjects") > listed + 3).then_some(()))
    })
    .await?;
    for id in [&ours, &others, &nobodys] {
        ensure!(account.lives(id).await?, "project {id} was removed");
    }
    ensure!(is_ready(&case.tenant("acme").await?), "not ready any more");
    // Once a person removed it, nothing is said of it any more.
    account.delete(&ours).await?;
    wait::until(
        &case.all_classes(),
        &class.name_any(),
        limits::DRIFT,
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
