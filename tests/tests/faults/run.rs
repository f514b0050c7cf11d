//! A run: a namespace, a class, and a controller that sees only these.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, Tenant, find_condition, is_true, keys};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use local_stack::controller::{ControllerOptions, ControllerProcess};
use neon_emulator::ProjectSummary;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use test_support::neon::Account;
use test_support::scenario::{merge, status};
use test_support::{Scenario, timeouts, wait};

use crate::fixture::{Fixture, LaneGuard};

/// The name of the run's only Tenant.
pub(crate) const TENANT: &str = "acme";
/// How many lines of the controller's log a failure report quotes.
const LOG_LINES: usize = 40;

pub(crate) struct Run {
    pub(crate) scenario: Scenario,
    pub(crate) lane: LaneGuard,
    pub(crate) class: String,
    options: ControllerOptions,
    controller: Option<ControllerProcess>,
    starts: usize,
}

impl Run {
    /// Waits for a free lane.
    pub(crate) async fn begin(fixture: &Arc<Fixture>, label: &str) -> Result<Self> {
        static RUNS: AtomicUsize = AtomicUsize::new(1);
        let lane = fixture.lane().await?;
        let scenario = Scenario::new(Arc::clone(&fixture.cluster), label).await?;
        let url = format!("http://127.0.0.1:{}/api/v2", lane.neon.port());
        let class = scenario
            .apply_class(json!({"neon": {"baseUrl": url, "caBundle": lane.emulator.ca_pem()}}))
            .await?;
        lane.show_class(&class);
        let mut options = fixture.cluster.controller_options(scenario.namespace());
        options.kubeconfig.clone_from(&lane.kubeconfig);
        for argument in [
            format!("--watch-namespaces={}", scenario.namespace()),
            format!(
                "--installation-id=run-{}",
                RUNS.fetch_add(1, Ordering::Relaxed)
            ),
        ] {
            options.arguments.push(argument.into());
        }
        Ok(Self {
            scenario,
            lane,
            class,
            options,
            controller: None,
            starts: 0,
        })
    }

    /// Starts the controller and waits until it has reconciled its class. Each controller has its
    /// own Lease, because its predecessor is dead and cannot release one.
    pub(crate) async fn start_controller(&mut self) -> Result<()> {
        self.starts += 1;
        let mut options = self.options.clone();
        options
            .arguments
            .push(format!("--lease-name={}-{}", self.scenario.namespace(), self.starts).into());
        let mut controller = ControllerProcess::spawn(&options)?;
        controller.wait_until_ready().await?;
        self.controller = Some(controller);
        if self.starts == 1 {
            wait::until(
                &self.scenario.classes(),
                &self.class,
                timeouts::CONVERGE,
                "Ready",
                |class| {
                    let status = class.and_then(|class| class.status.as_ref());
                    status.is_some_and(|status| is_true(&status.conditions, ConditionType::Ready))
                },
            )
            .await?;
        }
        Ok(())
    }

    pub(crate) async fn kill_controller(&mut self) -> Result<()> {
        self.controller
            .take()
            .context("the controller is not running")?
            .kill()
            .await
    }

    /// Applies a JSON merge patch to the class's spec, and waits until the controller has observed
    /// it.
    pub(crate) async fn change_class(&self, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let changed = self
            .scenario
            .classes()
            .patch(&self.class, &PatchParams::default(), &patch)
            .await?;
        wait::until(
            &self.scenario.classes(),
            &self.class,
            timeouts::CONVERGE,
            "observed",
            |class| {
                let status = class.and_then(|class| class.status.as_ref());
                status
                    .is_some_and(|status| status.observed_generation == changed.metadata.generation)
            },
        )
        .await?;
        Ok(())
    }

    pub(crate) async fn apply(&self, mut spec: Value) -> Result<Tenant> {
        merge(&mut spec, json!({"className": self.class}));
        self.scenario.apply(TENANT, spec).await
    }

    /// The existing projects whose names contain this UID.
    pub(crate) async fn projects_of(&self, uid: &str) -> Result<Vec<ProjectSummary>> {
        let mut projects = self.lane.emulator.projects().await?;
        projects.retain(|project| project.deleted_at.is_none() && project.name.contains(uid));
        Ok(projects)
    }

    /// Opens the database with nothing but the data of a Secret.
    pub(crate) async fn open(&self, secret: &BTreeMap<String, String>) -> Result<PgConnection> {
        open(secret).await
    }

    /// Deletes the Tenants and the class, waits until they are gone, and checks that no project of a
    /// Tenant is left.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        Box::pin(self.delete_all()).await
    }

    async fn delete_all(&mut self) -> Result<()> {
        let tenants = self.scenario.tenants();
        for tenant in tenants.list(&ListParams::default()).await? {
            let name = tenant.name_any();
            if tenant.metadata.deletion_timestamp.is_none() {
                self.scenario.delete(&name).await?;
            }
            self.scenario
                .wait_until_deleted_within(&name, timeouts::CREATION_VERIFIED)
                .await
                .context("at the end of the run")?;
            let left = self.projects_of(&tenant.uid().unwrap_or_default()).await?;
            ensure!(
                left.is_empty(),
                "projects without a Tenant are left: {left:?}"
            );
        }
        self.scenario
            .classes()
            .delete(&self.class, &DeleteParams::default())
            .await?;
        wait::until(
            &self.scenario.classes(),
            &self.class,
            timeouts::CONVERGE,
            "deleted",
            |class| class.is_none(),
        )
        .await?;
        self.kill_controller().await?;
        self.scenario.clean_up().await;
        Ok(())
    }

    /// Deletes what a failed run leaves, so that the next run in the lane finds an empty account.
    pub(crate) async fn clean_up(&self) {
        self.scenario.clean_up().await;
        let account = Account(&self.lane.emulator);
        let (Ok(client), Ok(projects)) = (account.client(), account.existing_projects().await)
        else {
            return;
        };
        for project in projects {
            let _ = client.projects().delete(&project).send().await;
        }
    }

    /// The Tenant and the controller's log, to find the cause of a failure.
    pub(crate) async fn report(&self) -> String {
        let tenant = match self.scenario.tenants().get_opt(TENANT).await {
            Ok(Some(mut tenant)) => {
                tenant.metadata.managed_fields = None;
                serde_yaml::to_string(&tenant).unwrap_or_default()
            }
            Ok(None) => "the Tenant does not exist".to_owned(),
            Err(error) => error.to_string(),
        };
        let log = std::fs::read_to_string(&self.options.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        format!("{tenant}\n--- last lines of the controller's log\n{tail}")
    }
}

/// The conditions without the parts that differ between runs.
pub(crate) fn conditions(tenant: &Tenant) -> Vec<String> {
    let all = [
        ConditionType::Ready,
        ConditionType::Available,
        ConditionType::ProjectReady,
        ConditionType::CredentialsReady,
        ConditionType::SchemaReady,
        ConditionType::Reconciling,
        ConditionType::Stalled,
    ];
    let status = status(tenant);
    all.into_iter()
        .filter_map(|kind| find_condition(&status?.conditions, kind))
        .map(|condition| {
            format!(
                "{}={} {}",
                condition.type_, condition.status, condition.reason
            )
        })
        .collect()
}

/// Opens the database of a Secret.
pub(crate) async fn open(secret: &BTreeMap<String, String>) -> Result<PgConnection> {
    let uri = secret.get(keys::URI).context("the Secret has no uri")?;
    let ca = secret
        .get(keys::CA_CRT)
        .context("the Secret has no ca.crt")?;
    let options = PgConnectOptions::from_str(uri)?
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert_from_pem(ca.clone().into_bytes());
    let opened = tokio::time::timeout(timeouts::COMMAND, options.connect()).await;
    Ok(opened.context("the database does not respond")??)
}
