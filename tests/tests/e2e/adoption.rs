//! Adoption of existing projects.

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, Reason, Tenant, keys};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use neon_client::ids::ProjectId;
use neon_client::model::CreateProject;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use test_support::cluster::SYSTEM_NAMESPACE;
use test_support::scenario::{condition, is_ready, project_id, status};
use test_support::{Scenario, psql, timeouts};

test_support::tests![
    an_adopted_project_keeps_its_name_and_password_and_survives_its_tenant,
    adoption_requires_the_permission_of_the_class,
    a_project_can_have_only_one_tenant,
    of_two_tenants_that_adopt_a_project_at_once_one_gets_it,
    a_project_is_adopted_only_in_the_namespace_that_the_class_names,
    an_unavailable_password_is_reset_only_if_the_spec_requests_it,
    a_project_that_does_not_match_the_spec_is_not_adopted,
    an_adopted_project_is_deleted_only_if_the_spec_requests_it,
];

async fn create_project(scenario: &Scenario, create: CreateProject) -> Result<ProjectId> {
    scenario.cluster().account().create(create).await
}

async fn apply_class(scenario: &Scenario, allowed: &[&ProjectId]) -> Result<String> {
    let namespace = scenario.namespace();
    let allowed: Vec<_> = allowed
        .iter()
        .map(|id| json!({"projectId": id, "namespace": namespace}))
        .collect();
    scenario
        .apply_class(json!({"adoption": {"allowed": allowed}}))
        .await
}

fn adopting(class: &str, id: &ProjectId, more: Value) -> Value {
    let mut spec = json!({"className": class, "adopt": {"projectId": id}});
    test_support::scenario::merge(&mut spec, more);
    spec
}

async fn an_adopted_project_keeps_its_name_and_password_and_survives_its_tenant(
    scenario: &Scenario,
) -> Result<()> {
    let account = scenario.cluster().account();
    let created = account
        .client()?
        .projects()
        .create(CreateProject::named("by hand"))
        .send()
        .await?;
    let id = created.project.id;
    let uri = created
        .connection_uris
        .first()
        .context("the response has no connection string")?
        .connection_uri
        .clone();
    let class = apply_class(scenario, &[&id]).await?;
    let tenant = scenario
        .apply_and_wait("acme", adopting(&class, &id, json!({})))
        .await?;
    ensure!(project_id(&tenant)? == id, "a different project");
    ensure!(
        status(&tenant)
            .and_then(|status| status.project.as_ref())
            .is_some_and(|project| project.adopted),
        "the status does not say that the project is adopted"
    );
    let secret = scenario.secret_data(&tenant).await?;
    ensure!(
        uri.expose_secret().contains(&secret[keys::PASSWORD]),
        "the Secret has a different password"
    );
    ensure!(
        account.project(&id).await?.name == "by hand",
        "the name was changed"
    );
    let schema = scenario
        .psql(&tenant, keys::URI, "select count(*) from chunks")
        .await?;
    ensure!(schema == "0", "{schema}");
    scenario
        .wait_for_event("acme", Reason::ProjectAdopted)
        .await?;
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;
    ensure!(
        account.project_exists(&id).await?,
        "an adopted project was deleted"
    );
    account.delete(&id).await
}

async fn adoption_requires_the_permission_of_the_class(scenario: &Scenario) -> Result<()> {
    let id = create_project(scenario, CreateProject::named("by hand")).await?;
    let name = apply_class(scenario, &[]).await?;
    scenario
        .apply("acme", adopting(&name, &id, json!({})))
        .await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::AdoptionRefused)
        .await?;
    ensure!(
        message.contains(id.as_str()) && message.contains("adoption.allowed"),
        "{message}"
    );
    apply_class(scenario, &[&id]).await?;
    scenario.wait_until_ready("acme").await?;
    Ok(())
}

async fn a_project_can_have_only_one_tenant(scenario: &Scenario) -> Result<()> {
    let id = create_project(scenario, CreateProject::named("by hand")).await?;
    let own = project_id(&scenario.apply_and_wait("own", json!({})).await?)?;
    let class = apply_class(scenario, &[&id, &own]).await?;
    scenario
        .apply_and_wait("first", adopting(&class, &id, json!({})))
        .await?;
    scenario
        .apply("second", adopting(&class, &id, json!({})))
        .await?;
    scenario
        .apply("third", adopting(&class, &own, json!({})))
        .await?;
    let message = scenario
        .wait_until_stalled("second", Reason::ProjectInUse)
        .await?;
    ensure!(
        message.contains(&format!("{}/first", scenario.namespace())),
        "{message}"
    );
    let message = scenario
        .wait_until_stalled("third", Reason::ProjectInUse)
        .await?;
    ensure!(
        message.contains(&format!("{}/own", scenario.namespace())),
        "{message}"
    );
    // Deleting a Tenant that could not adopt a project keeps the project.
    for name in ["second", "third"] {
        scenario.delete(name).await?;
        scenario.wait_until_deleted(name).await?;
    }
    let account = scenario.cluster().account();
    ensure!(
        account.project_exists(&id).await? && account.project_exists(&own).await?,
        "deleting a Tenant without a project deleted the project"
    );
    Ok(())
}

async fn of_two_tenants_that_adopt_a_project_at_once_one_gets_it(
    scenario: &Scenario,
) -> Result<()> {
    const ROUNDS: usize = 6;
    let mut projects = Vec::new();
    for round in 0..ROUNDS {
        let create = CreateProject::named(format!("by hand {round}"));
        projects.push(create_project(scenario, create).await?);
    }
    let class = apply_class(scenario, &projects.iter().collect::<Vec<_>>()).await?;
    let names = |round| ["a", "b"].map(|side| format!("{side}-{round}"));
    let applied = projects.iter().enumerate().flat_map(|(round, id)| {
        let spec = adopting(&class, id, json!({}));
        names(round).map(|name| {
            let spec = spec.clone();
            async move { scenario.apply(&name, spec).await }
        })
    });
    futures::future::try_join_all(applied).await?;
    for (round, id) in projects.iter().enumerate() {
        let settled = |tenant: &Tenant| {
            is_ready(tenant)
                || condition(tenant, ConditionType::Stalled)
                    .is_some_and(|stalled| stalled.reason == Reason::ProjectInUse.as_str())
        };
        let mut ready = Vec::new();
        for name in names(round) {
            let tenant = scenario
                .wait_for(&name, timeouts::CONVERGE, "settled", settled)
                .await?;
            if is_ready(&tenant) {
                ready.push(name);
            }
        }
        ensure!(ready.len() == 1, "{ready:?} have project {id}");
        // The claim passes on once the Tenant that has the project is deleted.
        scenario.delete(&ready[0]).await?;
        scenario.wait_until_deleted(&ready[0]).await?;
        let [a, b] = names(round);
        let other = if ready[0] == a { b } else { a };
        scenario.wait_until_ready(&other).await?;
        scenario.delete(&other).await?;
        scenario.wait_until_deleted(&other).await?;
        let leases: Api<Lease> = Api::namespaced(scenario.cluster().client(), SYSTEM_NAMESPACE);
        let claim = leases.get_opt(&format!("project-{id}-claim")).await?;
        ensure!(claim.is_none(), "the claim of project {id} is left");
        scenario.cluster().account().delete(id).await?;
    }
    Ok(())
}

async fn a_project_is_adopted_only_in_the_namespace_that_the_class_names(
    scenario: &Scenario,
) -> Result<()> {
    let id = create_project(scenario, CreateProject::named("of team a")).await?;
    let class = scenario
        .apply_class(json!({"adoption": {"allowed": [
            {"projectId": id, "namespace": "team-a"},
            {"projectId": id, "namespace": scenario.namespace(), "name": "acme"},
        ]}}))
        .await?;
    scenario
        .apply("other", adopting(&class, &id, json!({})))
        .await?;
    scenario
        .wait_until_stalled("other", Reason::AdoptionRefused)
        .await?;
    scenario
        .apply_and_wait("acme", adopting(&class, &id, json!({})))
        .await?;
    Ok(())
}

async fn an_unavailable_password_is_reset_only_if_the_spec_requests_it(
    scenario: &Scenario,
) -> Result<()> {
    let account = scenario.cluster().account();
    let create = CreateProject {
        store_passwords: Some(false),
        ..CreateProject::named("no stored passwords")
    };
    let created = account.client()?.projects().create(create).send().await?;
    let id = created.project.id;
    let old = created
        .connection_uris
        .first()
        .context("the response has no connection string")?
        .connection_uri
        .expose_secret()
        .to_owned();
    let class = apply_class(scenario, &[&id]).await?;
    scenario
        .apply("acme", adopting(&class, &id, json!({})))
        .await?;
    let message = scenario
        .wait_until_stalled("acme", Reason::PasswordUnavailable)
        .await?;
    ensure!(message.contains("spec.adopt.resetPassword"), "{message}");
    let mut old_secret = [(keys::URI.to_owned(), old)].into();
    insert_ca(scenario, &mut old_secret);
    psql::query(scenario.cluster(), &old_secret, keys::URI, "select 1")
        .await
        .context("the old password must still work")?;

    scenario
        .patch("acme", json!({"spec": {"adopt": {"resetPassword": true}}}))
        .await?;
    let tenant = scenario.wait_until_ready("acme").await?;
    scenario.check_connection(&tenant).await?;
    psql::query_expect_error(scenario.cluster(), &old_secret, keys::URI, "select 1")
        .await
        .context("the old password must no longer work")?;
    scenario
        .wait_for_event("acme", Reason::PasswordReset)
        .await?;
    Ok(())
}

fn insert_ca(scenario: &Scenario, secret: &mut std::collections::BTreeMap<String, String>) {
    secret.insert(
        keys::CA_CRT.into(),
        scenario.cluster().emulator().ca_pem().to_owned(),
    );
}

async fn a_project_that_does_not_match_the_spec_is_not_adopted(scenario: &Scenario) -> Result<()> {
    let region = Some("aws-us-east-2".parse()?);
    let id = create_project(
        scenario,
        CreateProject {
            region_id: region,
            ..CreateProject::named("elsewhere")
        },
    )
    .await?;
    let missing: ProjectId = "no-such-project-00000000".parse()?;
    let class = apply_class(scenario, &[&id, &missing]).await?;
    for (name, spec, part) in [
        (
            "missing",
            adopting(&class, &missing, json!({})),
            "no-such-project-00000000",
        ),
        (
            "region",
            adopting(&class, &id, json!({"region": "aws-eu-central-1"})),
            "aws-us-east-2",
        ),
        (
            "version",
            adopting(&class, &id, json!({"postgresVersion": 14})),
            "14",
        ),
        (
            "database",
            adopting(&class, &id, json!({"database": {"name": "nowhere"}})),
            "nowhere",
        ),
    ] {
        scenario.apply(name, spec).await?;
        let message = scenario
            .wait_until_stalled(name, Reason::AdoptionMismatch)
            .await?;
        ensure!(message.contains(part), "{name}: {message}");
        // Deleted here, so that the next Tenant can adopt the project.
        scenario.delete(name).await?;
        scenario.wait_until_deleted(name).await?;
        ensure!(
            scenario.cluster().account().project_exists(&id).await?,
            "deleting a Tenant that could not adopt the project deleted the project"
        );
    }
    Ok(())
}

async fn an_adopted_project_is_deleted_only_if_the_spec_requests_it(
    scenario: &Scenario,
) -> Result<()> {
    let id = create_project(scenario, CreateProject::named("by hand")).await?;
    let class = apply_class(scenario, &[&id]).await?;
    scenario
        .apply_and_wait(
            "acme",
            adopting(&class, &id, json!({"deletionPolicy": "Delete"})),
        )
        .await?;
    scenario.delete("acme").await?;
    scenario.wait_until_deleted("acme").await?;
    ensure!(
        !scenario.cluster().account().project_exists(&id).await?,
        "project {id} still exists"
    );
    Ok(())
}
