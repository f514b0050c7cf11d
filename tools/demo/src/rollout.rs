//! Schema rollouts to 30 Tenants: a good change, one that fails in the canary, and its correction.
//!
//! Everything happens through commands in the run's folder, which the terminal shows, so that they can
//! be repeated. The demo fails if a rollout does not end as it should.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use crds::{ConditionType, RolloutPhase, SchemaRollout, Tenant, is_true};
use installer::progress::elapsed;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use local_stack::control_plane::client_for;

use crate::cluster::{Cluster, TENANTS_NAMESPACE};
use crate::command::output;
use crate::output::say;

const TENANTS: usize = 30;
/// Until all Tenants are ready, and until a rollout ends. Both take seconds on an idle machine.
const TIMEOUT: Duration = Duration::from_mins(5);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const FIRST: (&str, &str) = (
    "0001_notes.sql",
    "create table notes (id bigint primary key, text text not null);\n",
);
const GOOD: (&str, &str) = (
    "0002_title.sql",
    "alter table notes add column title text;\n",
);
/// Fails in each database, because there is no table `authors`.
const BAD: (&str, &str) = (
    "0003_author.sql",
    "alter table notes\n  -- squawk-ignore adding-foreign-key-constraint -- the table is small\n  \
     add column author bigint references authors;\n",
);
const CREATE_AUTHORS: &str = "create table authors (id bigint primary key, name text not null);\n";
/// Makes the folder `schema` the migrations of the class.
const APPLY_SCHEMA: &str = "kubectl -n tenant-system create configmap notes-schema --from-file=schema --dry-run=client -o yaml \
                            | kubectl apply --server-side -f -";
const SHOW_SCHEMAS: &str = r#"kubectl -n tenants get tn -o jsonpath='{range .items[*]}schema {.status.schema.version}, ready: {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}' | sort | uniq -c"#;

/// Shows three rollouts. `path` is a PATH with the programs.
pub(crate) async fn run(cluster: &Cluster, path: &str) -> Result<()> {
    let shell = Shell {
        cluster,
        path,
        client: client_for(cluster.kubeconfig()).await?,
    };
    shell.prepare().await?;

    say("\nA good change: one Tenant first, then 20 percent, then all others.")?;
    shell.write_migration(GOOD.0, GOOD.1)?;
    shell.run("tenant-controller lint schema --after 1").await?;
    let before = shell.newest().await?;
    shell.run(APPLY_SCHEMA).await?;
    let completed = shell
        .watch(before.as_ref(), RolloutPhase::Completed)
        .await?;
    shell.run(SHOW_SCHEMAS).await?;
    shell.check(2, TENANTS).await?;

    say(
        "\nA change that fails in a way that no linter can detect: the table `authors` does not exist. The canary stops the rollout.",
    )?;
    shell.write_migration(BAD.0, BAD.1)?;
    shell.run("tenant-controller lint schema --after 2").await?;
    shell.run(APPLY_SCHEMA).await?;
    let paused = shell.watch(Some(&completed), RolloutPhase::Paused).await?;
    shell
        .run(&format!(
            r#"kubectl get sro {} -o jsonpath='{{range .status.failures[*]}}{{.name}}: {{.message}}{{"\n"}}{{end}}'"#,
            paused.name_any()
        ))
        .await?;
    shell.run(SHOW_SCHEMAS).await?;
    shell.check(2, TENANTS - 1).await?;

    say(
        "\nThe correction: the changed migrations are a new rollout, which replaces the paused one.",
    )?;
    shell.write_migration(BAD.0, &format!("{CREATE_AUTHORS}{}", BAD.1))?;
    shell.run(APPLY_SCHEMA).await?;
    shell.watch(Some(&paused), RolloutPhase::Completed).await?;
    shell.run(SHOW_SCHEMAS).await?;
    shell.check(3, TENANTS).await?;
    shell.run("kubectl get sro").await
}

/// Runs commands in the run's folder, and shows them.
struct Shell<'a> {
    cluster: &'a Cluster,
    path: &'a str,
    client: Client,
}

impl Shell<'_> {
    async fn run(&self, command: &str) -> Result<()> {
        say(&format!("\n$ {command}"))?;
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .current_dir(self.cluster.folder())
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .env("PATH", self.path);
        say(output(shell).await?.trim_end())
    }

    fn write_migration(&self, name: &str, sql: &str) -> Result<()> {
        let file = self.cluster.folder().join("schema").join(name);
        fs::write(file, sql)?;
        say(&format!("\n$ cat schema/{name}\n{}", sql.trim_end()))
    }

    /// Creates the class's migrations and the Tenants, and waits until they are ready.
    async fn prepare(&self) -> Result<()> {
        let folder = self.cluster.folder();
        fs::create_dir(folder.join("schema"))?;
        self.write_migration(FIRST.0, FIRST.1)?;
        self.run(APPLY_SCHEMA).await?;
        self.run(
            "kubectl patch tenantclass default --type=merge --patch '{\"spec\":{\
             \"migrations\":{\"source\":\"ConfigMap\",\"configMap\":{\"name\":\"notes-schema\"}},\
             \"rollout\":{\"waves\":[{\"percent\":20}],\"soakSeconds\":2}}}'",
        )
        .await?;
        let tenants: Vec<String> = (1..=TENANTS)
            .map(|number| {
                format!(
                    "---\napiVersion: dbpertenant.dev/v1alpha1\nkind: Tenant\n\
                     metadata: {{name: customer-{number:02}, namespace: {TENANTS_NAMESPACE}}}\nspec: {{}}\n"
                )
            })
            .collect();
        fs::write(folder.join("tenants.yaml"), tenants.concat())?;
        self.run(&format!("kubectl create namespace {TENANTS_NAMESPACE}"))
            .await?;
        self.run("kubectl apply -f tenants.yaml | tail -n 1")
            .await?;
        let started = Instant::now();
        self.wait("all Tenants to be ready", async || {
            Ok((self.ready_at(1).await? == TENANTS).then_some(()))
        })
        .await?;
        say(&format!(
            "\n{TENANTS} Tenants, each with a database of its own, are ready after {}.",
            elapsed(started.elapsed())
        ))
    }

    /// The number of Tenants that are ready with this schema.
    async fn ready_at(&self, version: i64) -> Result<usize> {
        let tenants: Api<Tenant> = Api::namespaced(self.client.clone(), TENANTS_NAMESPACE);
        let tenants = tenants.list(&ListParams::default()).await?;
        let ready = tenants.iter().filter(|tenant| {
            tenant.status.as_ref().is_some_and(|status| {
                let schema = status.schema.as_ref().and_then(|schema| schema.version);
                schema == Some(version) && is_true(&status.conditions, ConditionType::Ready)
            })
        });
        Ok(ready.count())
    }

    async fn check(&self, version: i64, expected: usize) -> Result<()> {
        let ready = self.ready_at(version).await?;
        ensure!(
            ready == expected,
            "{ready} Tenants are ready with version {version}, instead of {expected}"
        );
        Ok(())
    }

    async fn newest(&self) -> Result<Option<SchemaRollout>> {
        let rollouts: Api<SchemaRollout> = Api::all(self.client.clone());
        let rollouts = rollouts.list(&ListParams::default()).await?;
        Ok(rollouts
            .into_iter()
            .max_by_key(|rollout| rollout.spec.revision))
    }

    /// Shows the progress of the next rollout until it has this phase.
    async fn watch(
        &self,
        before: Option<&SchemaRollout>,
        phase: RolloutPhase,
    ) -> Result<SchemaRollout> {
        say("\n$ kubectl get sro --watch")?;
        say(&row([
            "NAME", "PHASE", "WAVE", "UPDATED", "TOTAL", "FAILED", "TIME",
        ]))?;
        let started = Instant::now();
        let last = before.map_or(0, |rollout| rollout.spec.revision);
        let mut shown = String::new();
        self.wait("the rollout to end", async || {
            let Some(newest) = self.newest().await? else {
                return Ok(None);
            };
            let Some(status) = &newest.status else {
                return Ok(None);
            };
            if newest.spec.revision <= last || status.phase.is_none() {
                return Ok(None);
            }
            let columns = |time: &str| {
                row([
                    &newest.name_any(),
                    &status
                        .phase
                        .map_or_else(String::new, |phase| format!("{phase:?}")),
                    &status.wave.unwrap_or_default().to_string(),
                    &status.updated.to_string(),
                    &status.total.to_string(),
                    &status.failed.to_string(),
                    time,
                ])
            };
            if columns("") != shown {
                shown = columns("");
                say(&columns(&elapsed(started.elapsed())))?;
            }
            match status.phase {
                // The controller reports why it pauses before it sets `spec.paused`.
                Some(RolloutPhase::Paused) if !newest.spec.paused => Ok(None),
                Some(found) if found == phase => Ok(Some(newest)),
                Some(RolloutPhase::Paused | RolloutPhase::Completed) => {
                    bail!(
                        "the rollout ended as {:?}, instead of {phase:?}",
                        status.phase
                    )
                }
                _ => Ok(None),
            }
        })
        .await
    }

    async fn wait<T>(
        &self,
        what: &str,
        mut condition: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let started = Instant::now();
        loop {
            if let Some(found) = condition().await? {
                return Ok(found);
            }
            ensure!(
                started.elapsed() < TIMEOUT,
                "waited for {what} for {} s",
                TIMEOUT.as_secs()
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// A line of the table of rollouts.
fn row([name, phase, wave, updated, total, failed, time]: [&str; 7]) -> String {
    format!("{name:<22} {phase:<12} {wave:<5} {updated:<8} {total:<6} {failed:<7} {time}")
}
