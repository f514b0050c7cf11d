//! What keeps a mistake from deleting databases or from disturbing the controller: mass deletions,
//! protected Tenants, a second installation, and statuses that other clients write.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, Reason, Tenant, TenantClass, annotations, find_condition, is_true};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use local_stack::controller::ControllerProcess;
use serde_json::json;
use test_support::cluster::{RELEASE, SYSTEM_NAMESPACE, create_namespace};
use test_support::scenario::{condition, is_ready, project_id, status};
use test_support::suite::{Trial, test, test_on};
use test_support::{ClusterOptions, Scenario, command, timeouts, wait};

/// From SIGTERM until the Lease is released.
const HANDOVER_LIMIT: Duration = Duration::from_secs(3);
/// Tenants of the test of mass deletions, which may delete two.
const TENANTS: usize = 5;

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test_on(
            concat!(
                module_path!(),
                "::deleting_the_crd_deletes_no_project_until_it_is_confirmed"
            ),
            ClusterOptions::default(),
            deleting_the_crd_deletes_no_project_until_it_is_confirmed,
        ),
        test_on(
            concat!(module_path!(), "::a_second_installation_is_kept_out"),
            ClusterOptions::default(),
            a_second_installation_is_kept_out,
        ),
        test_on(
            concat!(
                module_path!(),
                "::a_terminated_controller_hands_over_while_its_account_is_unreachable"
            ),
            ClusterOptions::default().proxied(),
            a_terminated_controller_hands_over_while_its_account_is_unreachable,
        ),
        test(
            concat!(
                module_path!(),
                "::a_status_that_somebody_else_wrote_is_healed"
            ),
            a_status_that_somebody_else_wrote_is_healed,
        ),
        test(
            concat!(
                module_path!(),
                "::the_api_server_refuses_to_delete_protected_tenants"
            ),
            the_api_server_refuses_to_delete_protected_tenants,
        ),
        test(
            concat!(
                module_path!(),
                "::tenants_of_another_controller_are_ignored"
            ),
            tenants_of_another_controller_are_ignored,
        ),
    ]
}

async fn apply_crds(scenario: &Scenario) -> Result<()> {
    let folder = local_stack::repository().join("charts/tenant-controller/crds");
    let arguments = ["apply", "--server-side", "--force-conflicts", "--filename"];
    let mut apply = scenario.cluster().kubectl(&arguments);
    apply.arg(folder);
    command::output(apply).await?;
    let wait = scenario.cluster().kubectl(&[
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd/tenants.dbpertenant.dev",
    ]);
    command::output(wait).await?;
    Ok(())
}

async fn class_with(
    scenario: &Scenario,
    name: &str,
    description: &str,
    condition: impl Fn(&TenantClass) -> bool,
) -> Result<TenantClass> {
    wait::until(
        &scenario.classes(),
        name,
        timeouts::CONVERGE,
        description,
        |class| class.is_some_and(&condition),
    )
    .await?
    .context("the class does not exist")
}

async fn deleting_the_crd_deletes_no_project_until_it_is_confirmed(
    scenario: &Scenario,
) -> Result<()> {
    let account = scenario.cluster().account();
    let class = scenario
        .apply_class(json!({"massDeletion": {"maxTenantsPerMinute": 2, "maxPercentPerMinute": 10}}))
        .await?;
    for number in 1..=TENANTS {
        let spec = json!({"className": class, "deletionProtection": number == 1});
        scenario.apply(&format!("t{number}"), spec).await?;
    }
    for number in 1..=TENANTS {
        scenario.wait_until_ready(&format!("t{number}")).await?;
    }
    let protected = project_id(&scenario.tenant("t1").await?)?;

    let delete_crd = ["delete", "crd", "tenants.dbpertenant.dev", "--wait=false"];
    command::output(scenario.cluster().kubectl(&delete_crd)).await?;
    let held = class_with(scenario, &class, "holding deletions", |class| {
        class
            .status
            .as_ref()
            .is_some_and(|status| is_true(&status.conditions, ConditionType::DeletionsHeld))
    })
    .await?;
    wait::never(
        timeouts::QUIET_PERIOD,
        "projects were deleted without a confirmation",
        async || {
            let left = account.existing_projects().await?.len();
            Ok((left < TENANTS - 2).then(|| format!("{left} of {TENANTS} are left")))
        },
    )
    .await?;
    let events: Api<Event> = Api::namespaced(scenario.cluster().client(), "default");
    wait::poll(timeouts::EVENT, "a warning about the class", async || {
        let about_class = ListParams::default().fields(&format!("regarding.name={class}"));
        let events = events.list(&about_class).await?;
        let mut reasons = events.iter().filter_map(|event| event.reason.as_deref());
        Ok(reasons
            .any(|reason| reason == Reason::MassDeletion.as_str())
            .then_some(()))
    })
    .await?;

    // The controller that is started next knows of the hold from the status.
    scenario.cluster().kill_controller("one").await?;
    let since = held
        .status
        .and_then(|status| status.mass_deletion?.held_since)
        .context("the status does not say since when deletions are held")?;
    let confirmation = json!({"metadata": {"annotations": {
        (annotations::CONFIRM_DELETIONS): since.0.to_string(),
    }}});
    scenario
        .classes()
        .patch(&class, &PatchParams::default(), &Patch::Merge(confirmation))
        .await?;
    scenario.cluster().start_controller("one").await?;
    for number in 2..=TENANTS {
        scenario
            .wait_until_deleted(&format!("t{number}"))
            .await
            .context("after the confirmation")?;
    }
    let left = account.existing_projects().await?;
    ensure!(
        left.iter().collect::<Vec<_>>() == [&protected],
        "only the protected project may be left, not {left:?}"
    );
    scenario
        .wait_for("t1", timeouts::CONVERGE, "protected", |tenant| {
            condition(tenant, ConditionType::Stalled)
                .is_some_and(|stalled| stalled.reason == Reason::DeletionProtected.as_str())
        })
        .await?;
    scenario
        .patch("t1", json!({"spec": {"deletionProtection": false}}))
        .await?;
    wait::poll(
        timeouts::CONVERGE,
        "the last project's deletion",
        async || Ok(account.existing_projects().await?.is_empty().then_some(())),
    )
    .await?;

    // Without the CRD, the controller is not ready, and it recovers when the CRD is back.
    let is_ready = async || scenario.cluster().is_ready("one").await;
    wait::poll(
        timeouts::CONVERGE,
        "a failing readiness probe",
        async || Ok((!is_ready().await?).then_some(())),
    )
    .await?;
    apply_crds(scenario).await?;
    wait::poll(
        timeouts::CONVERGE,
        "a passing readiness probe",
        async || Ok(is_ready().await?.then_some(())),
    )
    .await?;
    Ok(())
}

async fn the_api_server_refuses_to_delete_protected_tenants(scenario: &Scenario) -> Result<()> {
    let class = scenario
        .apply_class(json!({"deletionProtection": true}))
        .await?;
    for (name, spec) in [
        ("by-itself", json!({"deletionProtection": true})),
        ("by-its-class", json!({"className": class})),
        (
            "not-at-all",
            json!({"className": class, "deletionProtection": false}),
        ),
    ] {
        scenario.apply(name, spec).await?;
    }
    scenario.delete("not-at-all").await?;
    for name in ["by-itself", "by-its-class"] {
        let refused = scenario.delete(name).await.err();
        let refused = refused.with_context(|| format!("the Tenant {name} was deleted"))?;
        ensure!(
            format!("{refused:#}").contains("is protected from deletion"),
            "{refused:#}"
        );
        let patch = json!({"spec": {"deletionProtection": false}});
        scenario.patch(name, patch).await?;
        scenario.delete(name).await?;
    }
    Ok(())
}

/// The Tenant without what changes when the first installation reads its compute.
fn without_check(mut tenant: Tenant) -> Tenant {
    tenant.metadata.resource_version = None;
    tenant.metadata.managed_fields = None;
    if let Some(project) = tenant
        .status
        .as_mut()
        .and_then(|status| status.project.as_mut())
    {
        project.checked_at = None;
    }
    tenant
}

async fn a_second_installation_is_kept_out(scenario: &Scenario) -> Result<()> {
    let cluster = scenario.cluster();
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let other = format!("{}-other", scenario.namespace());
    create_namespace(&cluster.client(), &other).await?;

    let mut options = cluster.controller_options("second");
    options.namespace.clone_from(&other);
    options.kubeconfig = cluster.plane().kubeconfig().to_owned();
    let mut second = ControllerProcess::spawn(&options)?;
    let refused = second.wait_until_ready().await;
    let log = std::fs::read_to_string(&options.log)?;
    ensure!(refused.is_err(), "the second installation started");
    ensure!(
        log.contains("another installation") && log.contains(SYSTEM_NAMESPACE),
        "the log does not say why: {log}"
    );
    ensure!(
        without_check(scenario.tenant("acme").await?) == without_check(tenant),
        "the second installation changed a Tenant"
    );

    let mut helm = cluster.plane().helm();
    helm.args(["install", "second"])
        .arg(chart())
        .args(["--namespace", &other, "--set"])
        .arg("image.repository=tenant-controller");
    let error = command::output(helm)
        .await
        .err()
        .context("helm installed a second release")?;
    ensure!(
        format!("{error:#}").contains("controllerName"),
        "helm does not say what to do: {error:#}"
    );
    let mut helm = cluster.plane().helm();
    helm.args(["install", "second"])
        .arg(chart())
        .args(["--namespace", &other, "--set"])
        .arg("image.repository=tenant-controller,controllerName=example.com/second");
    command::output(helm).await.context("under another name")?;
    Ok(())
}

fn chart() -> std::path::PathBuf {
    local_stack::repository().join(Path::new("charts/tenant-controller"))
}

async fn a_terminated_controller_hands_over_while_its_account_is_unreachable(
    scenario: &Scenario,
) -> Result<()> {
    let cluster = scenario.cluster();
    scenario
        .apply_and_wait("acme", json!({"compute": {"maxCU": 1}}))
        .await?;
    let proxies = cluster.proxies().context("the cluster has proxies")?;
    proxies.neon.block();
    scenario
        .patch("acme", json!({"spec": {"compute": {"maxCU": 2}}}))
        .await?;
    scenario
        .wait_for_reason("acme", Reason::UpdatingProject)
        .await?;
    let controller = cluster.take_controller("one").await?;
    let leases: Api<Lease> = Api::namespaced(cluster.client(), SYSTEM_NAMESPACE);
    let terminated = Instant::now();
    let released = wait::until(&leases, RELEASE, timeouts::TAKEOVER, "released", |lease| {
        let holder = lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref());
        holder.is_none_or(str::is_empty)
    });
    let ((), released) = tokio::join!(controller.terminate(), released);
    released?;
    let took = terminated.elapsed();
    proxies.neon.unblock();
    cluster.start_controller("one").await?;
    scenario.wait_until_ready("acme").await?;
    ensure!(took < HANDOVER_LIMIT, "the Lease was held for {took:?}");
    Ok(())
}

async fn a_status_that_somebody_else_wrote_is_healed(scenario: &Scenario) -> Result<()> {
    let tenant = scenario.apply_and_wait("acme", json!({})).await?;
    let written = status(&tenant).cloned().context("a status")?;
    let conditions: Vec<_> = written
        .conditions
        .iter()
        .map(|condition| {
            let mut condition = condition.clone();
            "False".clone_into(&mut condition.status);
            "ClassNotFound".clone_into(&mut condition.reason);
            condition
        })
        .collect();
    let wrong =
        json!({"status": {"phase": "Stalled", "observedGeneration": 0, "conditions": conditions}});
    scenario
        .tenants()
        .patch_status("acme", &PatchParams::default(), &Patch::Merge(wrong))
        .await?;
    let healed = scenario
        .wait_for("acme", timeouts::CONVERGE, "healed", |tenant| {
            is_ready(tenant) && status(tenant).is_some_and(|status| status.phase == written.phase)
        })
        .await?;
    let healed = status(&healed).cloned().context("a status")?;
    for before in &written.conditions {
        let after = healed
            .conditions
            .iter()
            .find(|condition| condition.type_ == before.type_)
            .context("a condition is missing")?;
        ensure!(
            (&after.status, &after.reason) == (&before.status, &before.reason),
            "{after:?}"
        );
    }
    Ok(())
}

async fn tenants_of_another_controller_are_ignored(scenario: &Scenario) -> Result<()> {
    let class = scenario
        .apply_class(json!({"controllerName": "example.com/another"}))
        .await?;
    scenario
        .apply("theirs", json!({"className": class}))
        .await?;
    // This controller reconciles a Tenant that was applied later.
    scenario.apply_and_wait("ours", json!({})).await?;
    wait::never(
        timeouts::QUIET_PERIOD,
        "an object of another controller was touched",
        async || {
            let tenant = scenario.tenant("theirs").await?;
            let class = scenario.classes().get(&class).await?;
            let is_untouched = |observed: Option<i64>, finalizers: &Option<Vec<String>>| {
                observed == Some(-1) && finalizers.is_none()
            };
            let tenant_status = tenant.status.unwrap_or_default();
            let class_status = class.status.unwrap_or_default();
            let unknown = find_condition(&tenant_status.conditions, ConditionType::Ready)
                .is_some_and(|ready| ready.status == "Unknown");
            let untouched = unknown
                && is_untouched(
                    tenant_status.observed_generation,
                    &tenant.metadata.finalizers,
                )
                && is_untouched(class_status.observed_generation, &class.metadata.finalizers);
            Ok((!untouched).then(|| format!("{tenant_status:?} {class_status:?}")))
        },
    )
    .await
}
