//! Tenants that are Ready without ever having been made: objects as the controller itself writes them, over projects that
//! have no database yet.
//!
//! One Tenant is made by the controller. Its status and its Secret, with the names and ids of another put in, are then written for
//! each of the others, as the controller's own field manager; so nothing in them tells that it was not the controller.

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
use tests::case::text;
use tests::cluster::REGION;

use crate::world::{NAMESPACE, World};
use crate::{crowd, say};

/// Objects written at once.
const WRITES: usize = 24;

/// Texts of the model that stand in the status and the Secret, and what each becomes.
struct Substitution(Vec<(String, String)>);

impl Substitution {
    fn apply(&self, text: &str) -> String {
        self.0
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

/// What is taken from the Tenant that the controller made.
struct Model {
    name: String,
    uid: String,
    status: TenantStatus,
    secret: Secret,
    data: BTreeMap<String, String>,
}

/// Makes `count` Tenants named `idle-N` like the Tenant `model`.
pub(crate) async fn seed(world: &World, model: &str, count: usize) -> Result<()> {
    let model = read(world, model).await?;
    let tenants: Api<Tenant> = Api::namespaced(world.client(), NAMESPACE);
    let uids = tokio::sync::Mutex::new(vec![String::new(); count]);
    crowd::each(0..count, WRITES, async |n| {
        let tenant = json!({
            "apiVersion": "dbpertenant.dev/v1alpha1", "kind": "Tenant", "spec": {},
            "metadata": {"name": format!("idle-{n}"), "finalizers": [finalizers::PROJECT]},
        });
        let made = tenants
            .create(&PostParams::default(), &serde_json::from_value(tenant)?)
            .await?;
        uids.lock().await[n] = made.uid().context("a Tenant without a UID")?;
        Ok(())
    })
    .await?;
    say(&format!("   {count} Tenants are there"));
    let uids = uids.into_inner();
    let projects = seed_projects(world, &model, &uids).await?;
    say("   their projects are there");
    let work = uids.iter().zip(&projects).enumerate();
    crowd::each(work, WRITES, async |(n, (uid, (project, updated_at)))| {
        write(
            world,
            &model,
            &format!("idle-{n}"),
            uid,
            project,
            updated_at,
        )
        .await
    })
    .await?;
    say("   their statuses and Secrets are there");
    Ok(())
}

async fn read(world: &World, name: &str) -> Result<Model> {
    let tenant = Api::<Tenant>::namespaced(world.client(), NAMESPACE)
        .get(name)
        .await?;
    let uid = tenant.uid().context("a Tenant without a UID")?;
    let status = tenant.status.context("the model has no status")?;
    let secret_name = status
        .binding
        .as_ref()
        .context("the model has no Secret")?
        .name
        .clone();
    let secret = Api::<Secret>::namespaced(world.client(), NAMESPACE)
        .get(&secret_name)
        .await?;
    Ok(Model {
        name: name.to_owned(),
        uid,
        status,
        data: text(&secret)?,
        secret,
    })
}

/// The projects of these Tenants, in their order, each with Neon's `updated_at` as a listing shows it.
async fn seed_projects(
    world: &World,
    model: &Model,
    uids: &[String],
) -> Result<Vec<(SeededProject, String)>> {
    let project = model
        .status
        .project
        .as_ref()
        .context("the model has no project")?;
    let names: Vec<String> = uids
        .iter()
        .enumerate()
        .map(|(n, uid)| {
            project
                .name
                .replace(&model.uid, uid)
                .replace(&model.name, &format!("idle-{n}"))
        })
        .collect();
    let seeded = world
        .seed_projects(
            json!({"region_id": REGION, "store_passwords": true}),
            &names,
        )
        .await?;
    ensure!(
        seeded.len() == uids.len(),
        "{} projects were seeded, not {}",
        seeded.len(),
        uids.len()
    );
    let quota = AccountQuota {
        requests_per_minute: 1_000_000,
        per_route_per_second: 100_000,
        burst: 1_000,
    };
    let mut updated = HashMap::new();
    let neon = world.neon(quota)?;
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
    world: &World,
    model: &Model,
    name: &str,
    uid: &str,
    project: &SeededProject,
    updated_at: &str,
) -> Result<()> {
    let before = model
        .status
        .project
        .as_ref()
        .context("the model has no project")?;
    let said = |text: &Option<String>| {
        text.clone()
            .context("the model's project is not told in full")
    };
    let password = model
        .data
        .get(crds::keys::PASSWORD)
        .context("the model's Secret has no password")?;
    let substitution = Substitution(vec![
        (before.id.clone(), project.id.to_string()),
        (said(&before.endpoint_id)?, project.endpoint_id.to_string()),
        (said(&before.branch_id)?, project.branch_id.to_string()),
        (said(&before.checked_at)?, updated_at.to_owned()),
        (password.clone(), project.password.clone()),
        (model.uid.clone(), uid.to_owned()),
        (model.name.clone(), name.to_owned()),
    ]);
    let status: Value =
        serde_json::from_str(&substitution.apply(&serde_json::to_string(&model.status)?))?;
    let patch =
        json!({"apiVersion": "dbpertenant.dev/v1alpha1", "kind": "Tenant", "status": status});
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let tenants: Api<Tenant> = Api::namespaced(world.client(), NAMESPACE);
    tenants
        .patch_status(name, &params, &Patch::Apply(patch))
        .await?;

    let data: BTreeMap<&String, String> = model
        .data
        .iter()
        .map(|(key, value)| (key, substitution.apply(value)))
        .collect();
    let meta = &model.secret.metadata;
    let metadata = json!({
        "name": substitution.apply(&model.secret.name_any()), "labels": meta.labels, "annotations": meta.annotations,
        "ownerReferences": meta.owner_references,
    });
    let metadata: Value = serde_json::from_str(&substitution.apply(&metadata.to_string()))?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": model.secret.type_, "metadata": metadata,
        "data": data.into_iter().map(|(key, value)| (key.clone(), base64(value.as_bytes()))).collect::<BTreeMap<_, _>>(),
    });
    let secrets: Api<Secret> = Api::namespaced(world.client(), NAMESPACE);
    let name = secret["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    secrets.patch(&name, &params, &Patch::Apply(secret)).await?;
    Ok(())
}

/// A value of a Secret as it stands in JSON.
fn base64(bytes: &[u8]) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).unwrap_or_default()
}
