//! `dev demo`: three Tenants on this machine, from nothing to psql, and the chat app on top: it ends with a URL.
//!
//! Real servers, the charts as helm installs them, controller and app with the rights and arguments that their charts give
//! them. Only Neon itself is not real: the emulator answers in its place, at its speed. The demo proves itself (each database is
//! opened with what its Secret says; with `--once` somebody signs up, brings a PDF and asks it), and ends without a trace.

mod app;
mod cluster;
mod proof;
mod run;
mod stage;
mod table;

use std::collections::BTreeSet;
use std::env;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use crds::Tenant;
use kube::Api;
use kube::api::ListParams;
use neon_emulator::{Emulator, Latency};

use self::cluster::Cluster;
use self::table::Table;
use crate::chat_app::ChatApp;
use crate::control_plane::client_for;
use crate::controller::ControllerProcess;
use crate::install::{self, variable};
use crate::postgres::{DATABASE_URL, Postgres};
use crate::progress::elapsed;
use crate::run_folder::RunFolder;
use crate::s3::{S3, S3_ENDPOINT};
use crate::signals::interrupted;

/// What [`RunFolder`]s of demos are named by, so that `dev down` finds them.
pub const PURPOSE: &str = "demo";
/// The variable that names a cluster of the developer's own.
const KUBECONFIG: &str = "KUBECONFIG";
/// Where the controller lives.
const SYSTEM_NAMESPACE: &str = "tenant-system";
/// Where the Tenants are.
const TENANTS_NAMESPACE: &str = "tenants";
/// From apply to three Tenants ready; some seconds when the machine is idle.
const READY_LIMIT: Duration = Duration::from_mins(3);
/// The exit code of a demo that was interrupted before it had proved itself, as shells give it.
const INTERRUPTED: u8 = 130;
/// How often the Tenants are looked at.
const TABLE_POLL: Duration = Duration::from_millis(150);
/// How much of each log a failing demo shows.
const LOG_TAIL_LINES: usize = 25;

/// Everything that runs. In the order in which it must go.
struct Demo {
    app: Option<ChatApp>,
    controller: Option<ControllerProcess>,
    emulator: Emulator,
    cluster: Cluster,
    postgres: Postgres,
    s3: S3,
    folder: RunFolder,
}

/// Runs it. With `once` it is taken down as soon as it has proved itself, and the verdict is the exit code.
pub async fn run(once: bool) -> Result<ExitCode> {
    let mut demo = tokio::select! {
        demo = Demo::start() => demo?,
        result = interrupted() => return result.map(|()| ExitCode::from(INTERRUPTED)),
    };
    let verdict = tokio::select! {
        verdict = demo.prove(once) => Some(verdict),
        result = interrupted() => { result?; None }
    };
    match &verdict {
        Some(Ok(tenants)) if !once => {
            demo.invite(tenants)?;
            interrupted().await?;
        }
        Some(Err(error)) => {
            say(&format!("\nThe demo failed: {error:#}\n"))?;
            say(&demo.report().await)?;
        }
        _ => {}
    }
    say("\nTaking everything down ...")?;
    let started = Instant::now();
    demo.stop().await?;
    say(&format!(
        "Everything is gone ({}).",
        elapsed(started.elapsed())
    ))?;
    Ok(match verdict {
        Some(Ok(_)) => ExitCode::SUCCESS,
        Some(Err(_)) => ExitCode::FAILURE,
        None => ExitCode::from(INTERRUPTED),
    })
}

impl Demo {
    async fn start() -> Result<Self> {
        // Installs first, one after the other: two at once would fight for the processor and for the terminal.
        tokio::task::spawn_blocking(install_what_is_missing).await??;
        let started = Instant::now();
        let folder = RunFolder::new(PURPOSE)?;
        let path = folder.path().to_owned();
        let database = async {
            let postgres = Postgres::start(&path).await?;
            let emulator = Emulator::builder()
                .postgres(postgres.uri())
                .latency(Latency::neon())
                .start()
                .await?;
            anyhow::Ok((postgres, emulator))
        };
        let (cluster, (postgres, emulator), s3) =
            tokio::try_join!(Cluster::start(&path), database, S3::start(&path))?;
        let whose = |ours: bool, name: &str| {
            if ours {
                name.to_owned()
            } else {
                format!("your {name}")
            }
        };
        say(&format!(
            "Servers are up after {}: {}, {}, {}, and a Neon emulator at Neon's pace.",
            elapsed(started.elapsed()),
            whose(cluster.is_ours(), "Kubernetes API"),
            whose(postgres.is_ours(), "PostgreSQL with pgvector"),
            whose(s3.is_ours(), "S3 server"),
        ))?;
        Ok(Self {
            app: None,
            controller: None,
            emulator,
            cluster,
            postgres,
            s3,
            folder,
        })
    }

    /// Chart, controller, class, three Tenants; and each of their databases, opened by psql. Then the app, and with `once`
    /// somebody who uses it.
    async fn prove(&mut self, once: bool) -> Result<Vec<Tenant>> {
        let started = Instant::now();
        let options =
            stage::install_chart(&self.cluster, &self.folder.path().join("controller.log")).await?;
        let controller = self.controller.insert(ControllerProcess::spawn(&options)?);
        controller.wait_until_ready().await?;
        stage::apply_class(
            &self.cluster,
            &self.emulator.api_url(),
            self.emulator.api_key(),
            self.emulator.ca_pem(),
        )
        .await?;
        say(&format!(
            "The chart is installed and its controller runs after {}. Applying three Tenants:\n",
            elapsed(started.elapsed())
        ))?;

        let tenants = self.wait_for_tenants().await?;
        say("")?;
        let path = self.programs().await?;
        let mut databases = BTreeSet::new();
        for tenant in &tenants {
            let proof = proof::prove(&self.cluster, tenant, Path::new(&path)).await?;
            say(&format!("  {}", proof.text))?;
            if !databases.insert(proof.database) {
                bail!("two Tenants share a database");
            }
        }

        let started = Instant::now();
        let app = app::start(&self.cluster, &self.postgres, &self.s3, self.folder.path()).await?;
        let app = self.app.insert(app);
        say(&format!(
            "\nThe chat app runs after {}, beside the controller and knowing nothing of it but its Tenants.",
            elapsed(started.elapsed())
        ))?;
        if once {
            app::prove(app, &self.cluster, &self.postgres, Path::new(&path)).await?;
        }
        Ok(tenants)
    }

    async fn wait_for_tenants(&mut self) -> Result<Vec<Tenant>> {
        let tenants: Api<Tenant> = Api::namespaced(
            client_for(self.cluster.kubeconfig()).await?,
            TENANTS_NAMESPACE,
        );
        stage::apply_tenants(&self.cluster).await?;
        let mut table = Table::new();
        loop {
            let found = tenants
                .list(&ListParams::default())
                .await
                .context("the Tenants cannot be listed")?
                .items;
            table.show(&found);
            if table.all_ready(stage::EXAMPLES.len()) {
                return Ok(found);
            }
            if let Some(controller) = &mut self.controller
                && controller.ended()?
            {
                bail!("the controller ended");
            }
            if table.elapsed() > READY_LIMIT {
                bail!(
                    "not every Tenant is ready after {} s",
                    READY_LIMIT.as_secs()
                );
            }
            tokio::time::sleep(TABLE_POLL).await;
        }
    }

    /// A PATH on which kubectl, helm and psql are the ones that were installed.
    async fn programs(&self) -> Result<String> {
        let bin = self.folder.path().join("bin");
        std::fs::create_dir_all(&bin)?;
        let psql = tokio::task::spawn_blocking(install::psql).await??;
        let clients = self.cluster.clients();
        for (program, name) in [
            (&clients.kubectl, "kubectl"),
            (&clients.helm, "helm"),
            (&psql, "psql"),
        ] {
            symlink(std::path::absolute(program)?, bin.join(name))?;
        }
        Ok(format!(
            "{}:{}",
            bin.display(),
            env::var("PATH").unwrap_or_default()
        ))
    }

    fn invite(&self, tenants: &[Tenant]) -> Result<()> {
        let environment = self.folder.path().join("env");
        let bin = self.folder.path().join("bin");
        let kubeconfig = self.cluster.kubeconfig();
        std::fs::write(
            &environment,
            format!(
                "export KUBECONFIG='{}' PATH=\"{}:$PATH\"\n",
                kubeconfig.display(),
                bin.display()
            ),
        )?;
        let secret = |tenant: &Tenant| Some(tenant.status.as_ref()?.binding.as_ref()?.name.clone());
        say(&format!(
            "\nThree tenants, three databases. In another terminal:\n\n  . {}\n\n  kubectl get tn --all-namespaces -o wide",
            environment.display()
        ))?;
        for secret in tenants.iter().filter_map(secret).take(1) {
            say(&format!(
                "  {}",
                proof::psql_line(TENANTS_NAMESPACE, &secret)
            ))?;
        }
        say(&format!(
            "  kubectl -n {TENANTS_NAMESPACE} patch tn acme --type=merge -p '{{\"spec\":{{\"compute\":{{\"maxCU\":2}}}}}}'\n  kubectl -n {TENANTS_NAMESPACE} delete tn acme\n\n(KUBECONFIG={}; logs in {})",
            kubeconfig.display(),
            self.folder.path().display()
        ))?;
        let url = self
            .app
            .as_ref()
            .map(|app| app.url("/"))
            .unwrap_or_default();
        say(&format!(
            "\nThe chat app:\n\n  {url}\n\nOpen it, sign in by any name, watch your database come up, drop in a PDF and ask it something. Answers are the\nbest passages with their pages: no model writes, and nothing leaves this machine. Your Tenant appears in\n`kubectl -n {} get tn --watch`.\n\nCtrl-C takes everything down.",
            app::TENANTS
        ))
    }

    /// What somebody needs who wants to know why it failed.
    async fn report(&self) -> String {
        let mut parts = Vec::new();
        for arguments in [
            &[
                "get",
                "tenants.dbpertenant.dev,tenantclasses.dbpertenant.dev",
                "--all-namespaces",
                "--output=yaml",
            ][..],
            &[
                "get",
                "events",
                "--all-namespaces",
                "--sort-by=.metadata.creationTimestamp",
            ],
        ] {
            let said = run::output(self.cluster.kubectl(arguments))
                .await
                .unwrap_or_else(|error| format!("{error:#}"));
            parts.push(format!("--- kubectl {}\n{said}", arguments.join(" ")));
        }
        if let Some(controller) = &self.controller {
            parts.push(format!(
                "--- controller ({})\n{}",
                controller.log_file().display(),
                controller.log_tail(LOG_TAIL_LINES)
            ));
        }
        parts.extend(self.app.as_ref().map(app::log_tail));
        parts.push(self.cluster.log_tails(LOG_TAIL_LINES));
        parts.join("\n")
    }

    async fn stop(self) -> Result<()> {
        if let Some(app) = self.app {
            app.terminate().await;
        }
        let cleared = if self.cluster.is_ours() {
            Ok(())
        } else {
            stage::clear(&self.cluster).await
        };
        if let Some(controller) = self.controller {
            controller.terminate().await;
        }
        self.emulator.shutdown().await;
        if !self.cluster.is_ours() {
            say(
                "Your cluster keeps the two CustomResourceDefinitions, as helm always leaves them.",
            )?;
        }
        if !self.postgres.is_ours() {
            say(
                "Your PostgreSQL keeps the emulator's database (neon_emulator), those of its projects, and the app's (chat_app).",
            )?;
        }
        self.cluster.stop().await;
        self.postgres.stop().await;
        let emptied = self.s3.stop(app::BUCKET).await;
        drop(self.folder);
        emptied.context("the bucket of the demo is still on your S3 server")?;
        cleared.context("what the demo put into your cluster could not all be taken out")
    }
}

/// All that is not the developer's own.
fn install_what_is_missing() -> Result<()> {
    install::clients()?;
    install::psql()?;
    if variable(DATABASE_URL).is_none() {
        install::postgres_bin()?;
    }
    install::local_model()?;
    if variable(S3_ENDPOINT).is_none() {
        install::versitygw()?;
    }
    if variable(KUBECONFIG).is_none() {
        install::control_plane()?;
    }
    Ok(())
}

/// Results go to standard output, progress to standard error.
fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}
