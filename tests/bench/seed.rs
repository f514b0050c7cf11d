//! Seeds Tenants that are Ready without having been reconciled: with a status and a Secret like the
//! controller's, and with projects that have no database.
//!
//! The controller makes one Tenant Ready, which is the template. Its status and its Secret are
//! written for each of the other Tenants, with their own names and ids and with the controller's
//! field manager, so that the controller cannot distinguish them from its own.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;

use anyhow::{Context as _, Result, ensure};
use crds::{FIELD_MANAGER, Tenant, TenantStatus, finalizers};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use neon_client::AccountQuota;
use neon_emulator::SeededProject;
use serde_json::{Value, json};
use test_support::cluster::REGION;
use test_support::scenario::secret_text;

use crate::concurrency::for_each_concurrent;
use crate::environment::{Environment, NAMESPACE};
use crate::say;

const PARALLEL_WRITES: usize = 24;

/// Strings of the template's status and Secret, and their replacements.
struct Substitution(Vec<(String, String)>);

impl Substitution {
    fn apply(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

/// The Tenant that the controller made Ready.
struct Template {
    name: String,
    uid: String,
    status: TenantStatus,
    secret: Secret,
    data: BTreeMap<String, String>,
}

/// Creates `count` Tenants named `idle-N` like the Tenant `template`.
pub(crate) async fn seed(environment: &Environment, template: &str, count: usize) -> Result<()> {
    let template = read(environment, template).await?;
    let tenants: Api<Tenant> = Api::namespaced(environment.client(), NAMESPACE);
    let uids = tokio::sync::Mutex::new(vec![String::new(); count]);
    for_each_concurrent(0..count, PARALLEL_WRITES, async |n| {
        let tenant = json!({
            "apiVersion": "dbpertenant.dev/v1alpha1", "kind": "Tenant", "spec": {},
            "metadata": {"name": format!("idle-{n}"), "finalizers": [finalizers::PROJECT]},
        });
        let made = tenants
            .create(&PostParams::default(), &serde_json::from_value(tenant)?)
            .await?;
        uids.lock().await[n] = made.uid().context("the Tenant has no UID")?;
        Ok(())
    })
    .await?;
    say(&format!("   created {count} Tenants"));
    let uids = uids.into_inner();
    let projects = seed_projects(environment, &template, &uids).await?;
    say("   created their projects");
    let work = uids.iter().zip(&projects).enumerate();
    for_each_concurrent(
        work,
        PARALLEL_WRITES,
        async |(n, (uid, (project, updated_at)))| {
            write(
                environment,
                &template,
                &format!("idle-{n}"),
                uid,
                project,
                updated_at,
            )
            .await
        },
    )
    .await?;
    say("   wrote their statuses and Secrets");
    Ok(())
}

async fn read(environment: &Environment, name: &str) -> Result<Template> {
    let tenant = Api::<Tenant>::namespaced(environment.client(), NAMESPACE)
        .get(name)
        .await?;
    let uid = tenant.uid().context("the Tenant has no UID")?;
    let status = tenant.status.context("the template has no status")?;
    let secret_name = status
        .binding
        .as_ref()
        .context("the template has no Secret")?
        .name
        .clone();
    let secret = Api::<Secret>::namespaced(environment.client(), NAMESPACE)
        .get(&secret_name)
        .await?;
    Ok(Template {
        name: name.to_owned(),
        uid,
        status,
        data: secret_text(&secret)?,
        secret,
    })
}

/// Creates the projects of these Tenants, in order. Returns each with its `updated_at` from a
/// listing.
async fn seed_projects(
    environment: &Environment,
    template: &Template,
    uids: &[String],
) -> Result<Vec<(SeededProject, String)>> {
    let project = template
        .status
        .project
        .as_ref()
        .context("the template has no project")?;
    let names: Vec<String> = uids
        .iter()
        .enumerate()
        .map(|(n, uid)| {
            project
                .name
                .replace(&template.uid, uid)
                .replace(&template.name, &format!("idle-{n}"))
        })
        .collect();
    let seeded = environment
        .seed_projects(
            json!({"region_id": REGION, "store_passwords": true}),
            &names,
        )
        .await?;
    ensure!(
        seeded.len() == uids.len(),
        "{} projects were created instead of {}",
        seeded.len(),
        uids.len()
    );
    let quota = AccountQuota {
        requests_per_minute: 1_000_000,
        per_route_per_second: 100_000,
        burst: 1_000,
    };
    let mut updated = HashMap::new();
    let neon = environment.neon(quota)?;
    let mut pages = pin!(neon.projects().list().pages());
    while let Some(page) = pages.try_next().await? {
        updated.extend(
            page.projects
                .into_iter()
                .map(|project| (project.id, project.updated_at.to_string())),
        );
    }
    let mut result = Vec::with_capacity(seeded.len());
    for project in seeded {
        let at = updated
            .remove(&project.id)
            .with_context(|| format!("project {} is not listed", project.id))?;
        result.push((project, at));
    }
    Ok(result)
}

async fn write(
    environment: &Environment,
    template: &Template,
    name: &str,
    uid: &str,
    project: &SeededProject,
    updated_at: &str,
) -> Result<()> {
    let before = template
        .status
        .project
        .as_ref()
        .context("the template has no project")?;
    let required =
        |text: &Option<String>| text.clone().context("the template's project is incomplete");
    let password = template
        .data
        .get(crds::keys::PASSWORD)
        .context("the template's Secret has no password")?;
    let substitution = Substitution(vec![
        (before.id.clone(), project.id.to_string()),
        (
            required(&before.endpoint_id)?,
            project.endpoint_id.to_string(),
        ),
        (required(&before.branch_id)?, project.branch_id.to_string()),
        (required(&before.checked_at)?, updated_at.to_owned()),
        (password.clone(), project.password.clone()),
        (template.uid.clone(), uid.to_owned()),
        (template.name.clone(), name.to_owned()),
    ]);
    let data: BTreeMap<&String, String> = template
        .data
        .iter()
        .map(|(key, value)| (key, substitution.apply(value)))
        .collect();
    let meta = &template.secret.metadata;
    let metadata = json!({
        "name": substitution.apply(&template.secret.name_any()), "labels": meta.labels, "annotations": meta.annotations,
        "ownerReferences": meta.owner_references,
    });
    let metadata: Value = serde_json::from_str(&substitution.apply(&metadata.to_string()))?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": template.secret.type_, "metadata": metadata,
        "data": data.into_iter().map(|(key, value)| (key.clone(), base64(value.as_bytes()))).collect::<BTreeMap<_, _>>(),
    });
    let secrets: Api<Secret> = Api::namespaced(environment.client(), NAMESPACE);
    let secret_name = secret["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let written = secrets
        .patch(&secret_name, &params, &Patch::Apply(secret))
        .await?;

    let mut status: Value =
        serde_json::from_str(&substitution.apply(&serde_json::to_string(&template.status)?))?;
    // Otherwise the controller compares the Secret with the credentials in Neon.
    status["binding"]["resourceVersion"] = json!(written.resource_version());
    let patch =
        json!({"apiVersion": "dbpertenant.dev/v1alpha1", "kind": "Tenant", "status": status});
    let tenants: Api<Tenant> = Api::namespaced(environment.client(), NAMESPACE);
    tenants
        .patch_status(name, &params, &Patch::Apply(patch))
        .await?;
    Ok(())
}

/// Encodes a value of a Secret for JSON.
fn base64(bytes: &[u8]) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).unwrap_or_default()
}
