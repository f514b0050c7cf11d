//! What the API server accepts and refuses by itself: the cases that lie beside the CRDs.

use anyhow::{Context as _, Result, bail, ensure};
use futures::StreamExt as _;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::{Api, Resource as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tests::Case;
use tests::cluster::FIELD_MANAGER;

tests::tests![
    tenants_are_accepted_and_refused_as_the_cases_say,
    classes_are_accepted_and_refused_as_the_cases_say,
];

/// Cases that run at once.
const CASES_AT_ONCE: usize = 8;

#[derive(Deserialize)]
struct File {
    kind: String,
    cases: Vec<Spec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    name: String,
    #[serde(default)]
    object: Option<String>,
    steps: Vec<Option<Value>>,
    #[serde(default)]
    refused: Option<String>,
    #[serde(default)]
    stored: Option<Value>,
}

async fn tenants_are_accepted_and_refused_as_the_cases_say(case: &Case) -> Result<()> {
    let api = Api::namespaced_with(
        case.cluster().client(),
        case.namespace(),
        &ApiResource::erase::<crds::Tenant>(&()),
    );
    run(
        case,
        &api,
        include_str!("../../../crds/tests/cases/tenant.yaml"),
    )
    .await
}

async fn classes_are_accepted_and_refused_as_the_cases_say(case: &Case) -> Result<()> {
    let api = Api::all_with(
        case.cluster().client(),
        &ApiResource::erase::<crds::TenantClass>(&()),
    );
    run(
        case,
        &api,
        include_str!("../../../crds/tests/cases/tenantclass.yaml"),
    )
    .await
}

async fn run(case: &Case, api: &Api<DynamicObject>, cases: &str) -> Result<()> {
    let file: File = serde_yaml::from_str(cases)?;
    ensure!(!file.cases.is_empty(), "no cases");
    let kind = &file.kind;
    let results =
        futures::stream::iter(file.cases.into_iter().enumerate()).map(async |(number, spec)| {
            let name = spec
                .object
                .clone()
                .unwrap_or_else(|| format!("{}-{number}", case.namespace()));
            let result = check(api, kind, &name, &spec).await;
            result
                .with_context(|| format!("{kind}, case {:?}", spec.name))
                .err()
        });
    let failed: Vec<_> = results
        .buffer_unordered(CASES_AT_ONCE)
        .filter_map(async |error| error)
        .collect()
        .await;
    let said: Vec<_> = failed.iter().map(|error| format!("{error:#}")).collect();
    ensure!(
        said.is_empty(),
        "{} cases went otherwise:\n{}",
        said.len(),
        said.join("\n")
    );
    Ok(())
}

/// All steps but the last are written; the last is tried by a dry run, which goes through the same checks.
async fn check(api: &Api<DynamicObject>, kind: &str, name: &str, spec: &Spec) -> Result<()> {
    let (last, before) = spec.steps.split_last().context("no steps")?;
    let apply = PatchParams::apply(FIELD_MANAGER).force();
    for step in before {
        api.patch(
            name,
            &apply,
            &Patch::Apply(object(kind, name, step.as_ref())),
        )
        .await
        .context("an earlier step")?;
    }
    let answer = api
        .patch(
            name,
            &apply.clone().dry_run(),
            &Patch::Apply(object(kind, name, last.as_ref())),
        )
        .await;
    if !before.is_empty() {
        api.delete(name, &DeleteParams::default()).await?;
    }
    match (answer, &spec.refused) {
        (Err(kube::Error::Api(status)), Some(part)) => {
            ensure!(
                status.message.contains(part.as_str()),
                "refused, but with: {}",
                status.message
            );
        }
        (Err(error), _) => bail!("not accepted: {error}"),
        (Ok(_), Some(part)) => bail!("accepted, but had to be refused with: {part}"),
        (Ok(stored), None) => {
            if let Some(wanted) = &spec.stored {
                contains(&stored.data["spec"], wanted, "spec")?;
            }
        }
    }
    Ok(())
}

fn object(kind: &str, name: &str, spec: Option<&Value>) -> Value {
    let version = crds::Tenant::api_version(&());
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
    if let Some(spec) = spec {
        object["spec"] = spec.clone();
    }
    object
}

fn contains(found: &Value, wanted: &Value, path: &str) -> Result<()> {
    if let (Value::Object(found), Value::Object(wanted)) = (found, wanted) {
        for (key, wanted) in wanted {
            contains(
                found.get(key).unwrap_or(&Value::Null),
                wanted,
                &format!("{path}.{key}"),
            )?;
        }
        return Ok(());
    }
    let same_number = found.as_f64().is_some() && found.as_f64() == wanted.as_f64();
    ensure!(
        found == wanted || same_number,
        "{path} is {found}, not {wanted}"
    );
    Ok(())
}
