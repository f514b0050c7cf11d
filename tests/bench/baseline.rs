//! The baseline: the work that each Tenant requires, without a controller. It makes the same Neon
//! calls, runs the same statements, and writes as many Kubernetes objects of the same kinds and
//! sizes as the controller.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use crds::{FIELD_MANAGER, Tenant, finalizers};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use neon_client::Neon;
use neon_client::model::{CreateProject, CreatedProject};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use test_support::cluster::REGION;

use crate::environment::{BASELINE_NAMESPACE, Environment, NAMESPACE};
use crate::ready_times::ReadyTimes;

const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// From the last write until a watch delivers it.
const WATCH_TIMEOUT: Duration = Duration::from_mins(1);

/// How the baseline waits for a new project's compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Connects; the data plane holds the connection until the compute has started.
    Connect,
    /// Polls the project's operations until they are finished.
    Poll,
}

pub(crate) struct Baseline {
    client: Client,
    neon: Neon,
    ca_pem: String,
    migrations: Vec<String>,
    /// A status and a Secret that the controller wrote, so that the baseline writes objects of the
    /// same size.
    status: Value,
    secret: Value,
}

impl Baseline {
    /// Uses a Tenant that the controller has made Ready as the template.
    pub(crate) async fn like(
        environment: &Environment,
        neon: Neon,
        template: &str,
    ) -> Result<Self> {
        let tenant = Api::<Tenant>::namespaced(environment.client(), NAMESPACE)
            .get(template)
            .await?;
        let status = tenant.status.context("the template has no status")?;
        let name = status
            .binding
            .as_ref()
            .context("the template has no Secret")?
            .name
            .clone();
        let secret = Api::<Secret>::namespaced(environment.client(), NAMESPACE)
            .get(&name)
            .await?;
        let mut files: Vec<_> =
            std::fs::read_dir(local_stack::repository().join("tenant-migrations"))?
                .map(|entry| Ok(entry?.path()))
                .collect::<Result<_>>()?;
        files.retain(|file| file.extension().is_some_and(|end| end == "sql"));
        files.sort();
        let migrations = files
            .iter()
            .map(|file| Ok(format!("BEGIN;{}\n;COMMIT", std::fs::read_to_string(file)?)));
        Ok(Self {
            client: environment.client(),
            neon,
            ca_pem: environment.ca_pem().to_owned(),
            migrations: migrations.collect::<Result<_>>()?,
            status: serde_json::to_value(status)?,
            secret: json!({"labels": secret.metadata.labels, "annotations": secret.metadata.annotations, "type": secret.type_, "data": secret.data}),
        })
    }

    /// Does the work for one Tenant. Returns the time from before the apply until a watch shows
    /// that it is Ready.
    pub(crate) async fn run(
        &self,
        name: &str,
        readiness: Readiness,
        times: &mut ReadyTimes,
    ) -> Result<Duration> {
        let started = Instant::now();
        self.work(name, readiness).await?;
        Ok(times.of(name, WATCH_TIMEOUT).await?.duration_since(started))
    }

    pub(crate) async fn work(&self, name: &str, readiness: Readiness) -> Result<()> {
        let tenants: Api<Tenant> = Api::namespaced(self.client.clone(), BASELINE_NAMESPACE);
        let tenant = json!({"apiVersion": "dbpertenant.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name}, "spec": {}});
        let tenant: Tenant = serde_json::from_value(tenant)?;
        tenants.create(&PostParams::default(), &tenant).await?;
        let finalizer = json!({"metadata": {"finalizers": [finalizers::PROJECT]}});
        let tenant = tenants
            .patch(name, &PatchParams::default(), &Patch::Merge(finalizer))
            .await?;
        self.write_status(
            &tenants,
            name,
            &["project", "effective", "connection", "binding", "schema"],
        )
        .await?;
        let project = CreateProject {
            region_id: Some(REGION.parse()?),
            store_passwords: Some(true),
            ..CreateProject::named(format!("baseline {name}"))
        };
        let created = self.neon.projects().create(project).send().await?;
        self.write_status(&tenants, name, &["connection", "binding", "schema"])
            .await?;
        self.write_secret(&tenant).await?;
        if readiness == Readiness::Poll {
            self.wait_for_operations(&created).await?;
        }
        self.migrate(&created).await?;
        self.write_status(&tenants, name, &[]).await
    }

    /// Writes the template's status without the fields `without`.
    async fn write_status(
        &self,
        tenants: &Api<Tenant>,
        name: &str,
        without: &[&str],
    ) -> Result<()> {
        let mut status = self.status.clone();
        if let Some(fields) = status.as_object_mut() {
            fields.retain(|key, _| !without.contains(&key.as_str()));
            if !without.is_empty() {
                fields.remove("observedGeneration");
            }
        }
        let patch =
            json!({"apiVersion": "dbpertenant.dev/v1alpha1", "kind": "Tenant", "status": status});
        tenants
            .patch_status(
                name,
                &PatchParams::apply(FIELD_MANAGER).force(),
                &Patch::Apply(patch),
            )
            .await?;
        Ok(())
    }

    async fn write_secret(&self, tenant: &Tenant) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), BASELINE_NAMESPACE);
        let name = format!("{}-connection", tenant.name_any());
        let metadata = json!({"name": name, "labels": self.secret["labels"], "annotations": self.secret["annotations"]});
        let empty = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": self.secret["type"]});
        let made: Secret = serde_json::from_value(empty.clone())?;
        secrets.create(&PostParams::default(), &made).await?;
        let mut full = empty;
        full["data"] = self.secret["data"].clone();
        secrets
            .patch(
                &name,
                &PatchParams::apply(FIELD_MANAGER).force(),
                &Patch::Apply(full),
            )
            .await?;
        Ok(())
    }

    async fn wait_for_operations(&self, created: &CreatedProject) -> Result<()> {
        for operation in &created.operations {
            while !self
                .neon
                .operations(&created.project.id)
                .get(operation.id)
                .send()
                .await?
                .status
                .is_finished()
            {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
        Ok(())
    }

    async fn migrate(&self, created: &CreatedProject) -> Result<()> {
        let uri = &created
            .connection_uris
            .first()
            .context("no target in")?
            .connection_uri;
        let mut connection = connect(uri.expose_secret(), &self.ca_pem).await?;
        for migration in &self.migrations {
            sqlx::raw_sql(AssertSqlSafe(migration.clone()))
                .execute(&mut connection)
                .await?;
        }
        connection.close().await?;
        Ok(())
    }
}

/// Connects to a database with TLS.
pub(crate) async fn connect(uri: &str, ca_pem: &str) -> Result<PgConnection> {
    let options: PgConnectOptions = uri.parse()?;
    let options = options
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert_from_pem(ca_pem.as_bytes().to_vec());
    Ok(options.disable_statement_logging().connect().await?)
}
