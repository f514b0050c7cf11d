//! One run: a namespace, a class and a controller that sees nothing else.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use crds::{ConditionType, Tenant, find_condition, is_true, keys};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use neon_emulator::ProjectSummary;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use tests::case::{merge, status};
use tests::neon::Account;
use tests::{Case, limits, wait};
use xtask::controller::{ControllerOptions, ControllerProcess};

use crate::stage::{Place, Stage};

/// The one Tenant of a run.
pub(crate) const TENANT: &str = "acme";
/// Lines of the controller's log that a failure quotes.
const LOG_LINES: usize = 40;

pub(crate) struct Run {
    pub(crate) case: Case,
    pub(crate) place: Place,
    pub(crate) class: String,
    options: ControllerOptions,
    controller: Option<ControllerProcess>,
    lives: usize,
}

impl Run {
    /// A run in a free lane.
    pub(crate) async fn begin(stage: &Arc<Stage>, label: &str) -> Result<Self> {
        static RUNS: AtomicUsize = AtomicUsize::new(1);
        let place = stage.place().await?;
        let case = Case::new(Arc::clone(&stage.cluster), label).await?;
        let url = format!("http://127.0.0.1:{}/api/v2", place.neon.port());
        let class = case
            .class(json!({"neon": {"baseUrl": url, "caBundle": place.emulator.ca_pem()}}))
            .await?;
        place.show_class(&class);
        let mut options = stage.cluster.controller_options(case.namespace());
        options.kubeconfig.clone_from(&place.kubeconfig);
        for argument in [
            format!("--watch-namespaces={}", case.namespace()),
            format!(
                "--installation-id=run-{}",
                RUNS.fetch_add(1, Ordering::Relaxed)
            ),
        ] {
            options.arguments.push(argument.into());
        }
        Ok(Self {
            case,
            place,
            class,
            options,
            controller: None,
            lives: 0,
        })
    }

    /// Starts the controller, and waits until it has taken in its class. The one before is dead, so this one need not wait
    /// for its Lease.
    pub(crate) async fn start_controller(&mut self) -> Result<()> {
        self.lives += 1;
        let mut options = self.options.clone();
        options
            .arguments
            .push(format!("--lease-name={}-{}", self.case.namespace(), self.lives).into());
        let mut controller = ControllerProcess::spawn(&options)?;
        controller.wait_until_ready().await?;
        self.controller = Some(controller);
        if self.lives == 1 {
            wait::until(
                &self.case.all_classes(),
                &self.class,
                limits::CONVERGE,
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

    /// Ends the controller as a power cut would.
    pub(crate) async fn kill_controller(&mut self) -> Result<()> {
        self.controller
            .take()
            .context("no controller runs")?
            .kill()
            .await
    }

    /// Changes the class by a JSON merge patch of its spec, and waits until the controller has taken that in.
    pub(crate) async fn change_class(&self, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let changed = self
            .case
            .all_classes()
            .patch(&self.class, &PatchParams::default(), &patch)
            .await?;
        wait::until(
            &self.case.all_classes(),
            &self.class,
            limits::CONVERGE,
            "looked at",
            |class| {
                let status = class.and_then(|class| class.status.as_ref());
                status
                    .is_some_and(|status| status.observed_generation == changed.metadata.generation)
            },
        )
        .await?;
        Ok(())
    }

    /// Applies the Tenant.
    pub(crate) async fn apply(&self, mut spec: Value) -> Result<Tenant> {
        merge(&mut spec, json!({"className": self.class}));
        self.case.apply(TENANT, spec).await
    }

    /// Projects that are not deleted and bear the mark of this UID.
    pub(crate) async fn marked(&self, uid: &str) -> Result<Vec<ProjectSummary>> {
        let mut projects = self.place.emulator.projects().await?;
        projects.retain(|project| project.deleted_at.is_none() && project.name.contains(uid));
        Ok(projects)
    }

    /// The database, opened with what the Secret says and nothing else.
    pub(crate) async fn open(&self, secret: &BTreeMap<String, String>) -> Result<PgConnection> {
        open(secret).await
    }

    /// Takes the Tenant and the class away and sees both go; nothing of the Tenant's stays in the account.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        Box::pin(self.take_away()).await
    }

    async fn take_away(&mut self) -> Result<()> {
        let tenants = self.case.tenants();
        if let Some(tenant) = tenants.get_opt(TENANT).await? {
            if tenant.metadata.deletion_timestamp.is_none() {
                tenants.delete(TENANT, &DeleteParams::default()).await?;
            }
            self.case
                .gone_within(TENANT, limits::SETTLE)
                .await
                .context("at the end of the run")?;
            let left = self.marked(&tenant.uid().unwrap_or_default()).await?;
            ensure!(
                left.is_empty(),
                "projects without a Tenant are left: {left:?}"
            );
        }
        self.case
            .all_classes()
            .delete(&self.class, &DeleteParams::default())
            .await?;
        wait::until(
            &self.case.all_classes(),
            &self.class,
            limits::CONVERGE,
            "gone",
            |class| class.is_none(),
        )
        .await?;
        self.kill_controller().await?;
        self.case.abandon().await;
        Ok(())
    }

    /// Takes away what a failed run leaves, so that the next one in the lane finds an empty account.
    pub(crate) async fn abandon(&self) {
        self.case.abandon().await;
        let account = Account(&self.place.emulator);
        let (Ok(client), Ok(living)) = (account.client(), account.living().await) else {
            return;
        };
        for project in living {
            let _ = client.projects().delete(&project).send().await;
        }
    }

    /// What somebody needs who wants to know why the run failed.
    pub(crate) async fn report(&self) -> String {
        let tenant = match self.case.tenants().get_opt(TENANT).await {
            Ok(Some(mut tenant)) => {
                tenant.metadata.managed_fields = None;
                serde_yaml::to_string(&tenant).unwrap_or_default()
            }
            Ok(None) => "the Tenant is gone".to_owned(),
            Err(error) => error.to_string(),
        };
        let log = std::fs::read_to_string(&self.options.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        format!("{tenant}\n--- the controller's log at its end\n{tail}")
    }
}

/// The conditions, with what makes them differ from one run to the next left out.
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

/// The database behind a Secret.
pub(crate) async fn open(secret: &BTreeMap<String, String>) -> Result<PgConnection> {
    let uri = secret.get(keys::URI).context("the Secret has no uri")?;
    let ca = secret
        .get(keys::CA_CRT)
        .context("the Secret has no ca.crt")?;
    let options = PgConnectOptions::from_str(uri)?
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert_from_pem(ca.clone().into_bytes());
    let opened = tokio::time::timeout(limits::COMMAND, options.connect()).await;
    Ok(opened.context("the database does not answer")??)
}
