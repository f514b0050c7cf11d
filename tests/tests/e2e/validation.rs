//! Validation by the API server: the test cases in `crds/tests/cases`.

use anyhow::{Context as _, Result, bail, ensure};
use futures::StreamExt as _;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::{Api, Resource as _};
use serde::Deserialize;
use serde_json::{Value, json};
use test_support::Scenario;
use test_support::cluster::FIELD_MANAGER;

test_support::tests![
    tenants_are_validated_as_the_test_cases_say,
    classes_are_validated_as_the_test_cases_say,
    rollouts_are_validated_as_the_test_cases_say,
];

/// Test cases that run in parallel.
const PARALLEL_CASES: usize = 8;

#[derive(Deserialize)]
struct TestFile {
    kind: String,
    cases: Vec<TestCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestCase {
    name: String,
    #[serde(default)]
    object: Option<String>,
    steps: Vec<Option<Value>>,
    #[serde(default)]
    refused: Option<String>,
    #[serde(default)]
    stored: Option<Value>,
}

async fn tenants_are_validated_as_the_test_cases_say(scenario: &Scenario) -> Result<()> {
    let api = Api::namespaced_with(
        scenario.cluster().client(),
        scenario.namespace(),
        &ApiResource::erase::<crds::Tenant>(&()),
    );
    run(
        scenario,
        &api,
        include_str!("../../../crds/tests/cases/tenant.yaml"),
    )
    .await
}

async fn classes_are_validated_as_the_test_cases_say(scenario: &Scenario) -> Result<()> {
    let api = Api::all_with(
        scenario.cluster().client(),
        &ApiResource::erase::<crds::TenantClass>(&()),
    );
    run(
        scenario,
        &api,
        include_str!("../../../crds/tests/cases/tenantclass.yaml"),
    )
    .await
}

async fn rollouts_are_validated_as_the_test_cases_say(scenario: &Scenario) -> Result<()> {
    let api = Api::all_with(
        scenario.cluster().client(),
        &ApiResource::erase::<crds::SchemaRollout>(&()),
    );
    run(
        scenario,
        &api,
        include_str!("../../../crds/tests/cases/schemarollout.yaml"),
    )
    .await
}

async fn run(scenario: &Scenario, api: &Api<DynamicObject>, cases: &str) -> Result<()> {
    let file: TestFile = serde_yaml::from_str(cases)?;
    ensure!(!file.cases.is_empty(), "the file has no cases");
    let kind = &file.kind;
    let results =
        futures::stream::iter(file.cases.into_iter().enumerate()).map(async |(number, case)| {
            let name = case
                .object
                .clone()
                .unwrap_or_else(|| format!("{}-{number}", scenario.namespace()));
            let result = check(api, kind, &name, &case).await;
            result
                .with_context(|| format!("{kind}, case {:?}", case.name))
                .err()
        });
    let failed: Vec<_> = results
        .buffer_unordered(PARALLEL_CASES)
        .filter_map(async |error| error)
        .collect()
        .await;
    let errors: Vec<_> = failed.iter().map(|error| format!("{error:#}")).collect();
    ensure!(
        errors.is_empty(),
        "{} cases failed:\n{}",
        errors.len(),
        errors.join("\n")
    );
    Ok(())
}

/// Applies all steps but the last. The last is a dry run, which is validated in the same way.
async fn check(api: &Api<DynamicObject>, kind: &str, name: &str, case: &TestCase) -> Result<()> {
    let (last, before) = case.steps.split_last().context("the case has no steps")?;
    let apply = PatchParams::apply(FIELD_MANAGER).force();
    for step in before {
        api.patch(
            name,
            &apply,
            &Patch::Apply(object(kind, name, step.as_ref())),
        )
        .await
        .context("an earlier step failed")?;
    }
    let result = api
        .patch(
            name,
            &apply.clone().dry_run(),
            &Patch::Apply(object(kind, name, last.as_ref())),
        )
        .await;
    if !before.is_empty() {
        api.delete(name, &DeleteParams::default()).await?;
    }
    match (result, &case.refused) {
        (Err(kube::Error::Api(status)), Some(part)) => {
            ensure!(
                status.message.contains(part.as_str()),
                "rejected with another message: {}",
                status.message
            );
        }
        (Err(error), _) => bail!("rejected unexpectedly: {error}"),
        (Ok(_), Some(part)) => bail!("accepted, but must be rejected with: {part}"),
        (Ok(stored), None) => {
            if let Some(wanted) = &case.stored {
                check_contains(&stored.data["spec"], wanted, "spec")?;
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

fn check_contains(found: &Value, wanted: &Value, path: &str) -> Result<()> {
    if let (Value::Object(found), Value::Object(wanted)) = (found, wanted) {
        for (key, wanted) in wanted {
            check_contains(
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
        "{path} must be {wanted} (got {found})"
    );
    Ok(())
}
