//! Projects that were there before their Tenants.

use anyhow::{Context as _, Result, ensure};
use crds::{Reason, keys};
use neon_client::ids::ProjectId;
use neon_client::model::CreateProject;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tests::case::{project_id, status};
use tests::{Case, psql};

tests::tests![
    an_adopted_project_keeps_its_name_its_password_and_its_life,
    adoption_is_refused_until_the_class_allows_it,
    a_project_has_one_tenant_at_most,
    a_password_is_reset_only_when_the_spec_says_so,
    what_does_not_fit_is_not_adopted,
    an_adopted_project_is_deleted_only_when_the_spec_says_so,
];

async fn project(case: &Case, create: CreateProject) -> Result<ProjectId> {
    case.cluster().account().create(create).await
}

async fn class(case: &Case, allowed: &[&ProjectId]) -> Result<String> {
    case.class(json!({"adoption": {"allowedProjectIds": allowed}}))
        .await
}

fn adopting(class: &str, id: &ProjectId, more: Value) -> Value {
    let mut spec = json!({"className": class, "adopt": {"projectId": id}});
    tests::case::merge(&mut spec, more);
    spec
}

async fn an_adopted_project_keeps_its_name_its_password_and_its_life(case: &Case) -> Result<()> {
    let account = case.cluster().account();
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
        .context("no connection string")?
        .connection_uri
        .clone();
    let class = class(case, &[&id]).await?;
    let tenant = case
        .apply_ready("acme", adopting(&class, &id, json!({})))
        .await?;
    ensure!(project_id(&tenant)? == id, "another project");
    ensure!(
        status(&tenant)
            .and_then(|status| status.project.as_ref())
            .is_some_and(|project| project.adopted),
        "not adopted"
    );
    let secret = case.secret(&tenant).await?;
    ensure!(
        uri.expose_secret().contains(&secret[keys::PASSWORD]),
        "the password is another"
    );
    ensure!(
        account.project(&id).await?.name == "by hand",
        "the name was changed"
    );
    let schema = case
        .psql(&tenant, keys::URI, "select count(*) from chunks")
        .await?;
    ensure!(schema == "0", "{schema}");
    case.event("acme", Reason::ProjectAdopted).await?;
    case.delete("acme").await?;
    case.gone("acme").await?;
    ensure!(account.lives(&id).await?, "an adopted project was deleted");
    account.delete(&id).await
}

async fn adoption_is_refused_until_the_class_allows_it(case: &Case) -> Result<()> {
    let id = project(case, CreateProject::named("by hand")).await?;
    let name = class(case, &[]).await?;
    case.apply("acme", adopting(&name, &id, json!({}))).await?;
    let message = case.stalled("acme", Reason::AdoptionRefused).await?;
    ensure!(
        message.contains(id.as_str()) && message.contains("allowedProjectIds"),
        "{message}"
    );
    class(case, &[&id]).await?;
    case.ready("acme").await?;
    Ok(())
}

async fn a_project_has_one_tenant_at_most(case: &Case) -> Result<()> {
    let id = project(case, CreateProject::named("by hand")).await?;
    let own = project_id(&case.apply_ready("own", json!({})).await?)?;
    let class = class(case, &[&id, &own]).await?;
    case.apply_ready("first", adopting(&class, &id, json!({})))
        .await?;
    case.apply("second", adopting(&class, &id, json!({})))
        .await?;
    case.apply("third", adopting(&class, &own, json!({})))
        .await?;
    let message = case.stalled("second", Reason::ProjectInUse).await?;
    ensure!(
        message.contains(&format!("{}/first", case.namespace())),
        "{message}"
    );
    let message = case.stalled("third", Reason::ProjectInUse).await?;
    ensure!(
        message.contains(&format!("{}/own", case.namespace())),
        "{message}"
    );
    // Whoever asked in vain takes nothing along.
    for name in ["second", "third"] {
        case.delete(name).await?;
        case.gone(name).await?;
    }
    let account = case.cluster().account();
    ensure!(
        account.lives(&id).await? && account.lives(&own).await?,
        "a project went with a Tenant that never had it"
    );
    Ok(())
}

async fn a_password_is_reset_only_when_the_spec_says_so(case: &Case) -> Result<()> {
    let account = case.cluster().account();
    let create = CreateProject {
        store_passwords: Some(false),
        ..CreateProject::named("no stored passwords")
    };
    let created = account.client()?.projects().create(create).send().await?;
    let id = created.project.id;
    let old = created
        .connection_uris
        .first()
        .context("no connection string")?
        .connection_uri
        .expose_secret()
        .to_owned();
    let class = class(case, &[&id]).await?;
    case.apply("acme", adopting(&class, &id, json!({}))).await?;
    let message = case.stalled("acme", Reason::PasswordUnavailable).await?;
    ensure!(message.contains("spec.adopt.resetPassword"), "{message}");
    let mut theirs = [(keys::URI.to_owned(), old)].into();
    with_ca(case, &mut theirs);
    psql::psql(case.cluster(), &theirs, keys::URI, "select 1")
        .await
        .context("the old password works still")?;

    case.patch("acme", json!({"spec": {"adopt": {"resetPassword": true}}}))
        .await?;
    let tenant = case.ready("acme").await?;
    case.opens(&tenant).await?;
    psql::refused(case.cluster(), &theirs, keys::URI, "select 1")
        .await
        .context("the old password is locked out")?;
    case.event("acme", Reason::PasswordReset).await?;
    Ok(())
}

fn with_ca(case: &Case, secret: &mut std::collections::BTreeMap<String, String>) {
    secret.insert(
        keys::CA_CRT.into(),
        case.cluster().emulator().ca_pem().to_owned(),
    );
}

async fn what_does_not_fit_is_not_adopted(case: &Case) -> Result<()> {
    let region = Some("aws-us-east-2".parse()?);
    let id = project(
        case,
        CreateProject {
            region_id: region,
            ..CreateProject::named("elsewhere")
        },
    )
    .await?;
    let missing: ProjectId = "no-such-project-00000000".parse()?;
    let class = class(case, &[&id, &missing]).await?;
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
        case.apply(name, spec).await?;
        let message = case.stalled(name, Reason::AdoptionMismatch).await?;
        ensure!(message.contains(part), "{name}: {message}");
        // Goes at once: another Tenant may have the project then.
        case.delete(name).await?;
        case.gone(name).await?;
        ensure!(
            case.cluster().account().lives(&id).await?,
            "a project went with a Tenant that it did not fit"
        );
    }
    Ok(())
}

async fn an_adopted_project_is_deleted_only_when_the_spec_says_so(case: &Case) -> Result<()> {
    let id = project(case, CreateProject::named("by hand")).await?;
    let class = class(case, &[&id]).await?;
    case.apply_ready(
        "acme",
        adopting(&class, &id, json!({"deletionPolicy": "Delete"})),
    )
    .await?;
    case.delete("acme").await?;
    case.gone("acme").await?;
    ensure!(
        !case.cluster().account().lives(&id).await?,
        "project {id} still lives"
    );
    Ok(())
}
