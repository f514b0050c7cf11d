//! Runs the demo: starts the servers, installs both charts, and starts the controller and the chat
//! app as processes with the permissions and arguments that their charts give them. Only Neon is
//! emulated, with realistic latencies.
//!
//! The demo tests itself: psql opens each Tenant's database with its Secret and, with `--once`, a
//! client uses the chat app. The demo of rollouts checks how each of them ends. When the demo ends, it stops everything and removes its files.

use std::collections::BTreeSet;
use std::env;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use crds::Tenant;
use installer::progress::elapsed;
use kube::Api;
use kube::api::ListParams;
use local_stack::chat_app::ChatApp;
use local_stack::control_plane::client_for;
use local_stack::controller::{ControllerProcess, controller_binary};
use local_stack::postgres::Postgres;
use local_stack::program::Program;
use local_stack::run_folder::RunFolder;
use local_stack::s3::S3;
use local_stack::signals::interrupted;
use neon_emulator::{Emulator, Latency, Limits, Plan};

use crate::cluster::{Cluster, TENANTS_NAMESPACE};
use crate::output::say;
use crate::table::Table;
use crate::{app, command, manifests, rollout, smoke_test};

/// Part of the names of the demo's [`RunFolder`]s; `demo down` finds them by it.
pub(crate) const PURPOSE: &str = "demo";
/// From the apply until three Tenants are ready, which takes seconds on an idle machine.
const READY_TIMEOUT: Duration = Duration::from_mins(3);
/// The shells' exit code for a program that SIGINT ended.
const INTERRUPTED: u8 = 130;
const TABLE_POLL_INTERVAL: Duration = Duration::from_millis(150);
/// How often the demo checks that the controller and the app are running. It also limits how often
/// a program that exits at its start is restarted.
const EXIT_POLL_INTERVAL: Duration = Duration::from_secs(2);
/// How many lines of the log of an exited program the demo shows.
const RESTART_LOG_LINES: usize = 5;
/// How many lines of each log a failure report quotes.
const LOG_TAIL_LINES: usize = 25;

/// What the demo shows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Show {
    /// Three Tenants and the chat app.
    App,
    /// Schema rollouts.
    Rollouts,
}

/// Everything that runs, in the order in which it is stopped.
struct Demo {
    app: Option<ChatApp>,
    controller: Option<ControllerProcess>,
    emulator: Emulator,
    cluster: Cluster,
    postgres: Postgres,
    s3: S3,
    folder: RunFolder,
}

/// Runs the demo until it is interrupted or, with `once`, until its tests have finished. The exit
/// code is the result of the tests.
pub(crate) async fn run(show: Show, once: bool) -> Result<ExitCode> {
    let mut demo = tokio::select! {
        demo = Demo::start() => demo?,
        result = interrupted() => return result.map(|()| ExitCode::from(INTERRUPTED)),
    };
    let result = tokio::select! {
        result = demo.present(show, once) => Some(result),
        result = interrupted() => { result?; None }
    };
    match &result {
        Some(Ok(())) if !once => tokio::select! {
            interrupted = interrupted() => interrupted?,
            result = demo.restart_exited_programs() => result?,
        },
        Some(Err(error)) => {
            say(&format!("\nThe demo failed: {error:#}\n"))?;
            say(&demo.report().await)?;
        }
        _ => {}
    }
    say("\nStopping all servers ...")?;
    let started = Instant::now();
    demo.stop().await?;
    say(&format!(
        "Stopped all servers in {}.",
        elapsed(started.elapsed())
    ))?;
    Ok(match result {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(_)) => ExitCode::FAILURE,
        None => ExitCode::from(INTERRUPTED),
    })
}

impl Demo {
    async fn start() -> Result<Self> {
        let started = Instant::now();
        let folder = RunFolder::new(PURPOSE)?;
        let path = folder.path().to_owned();
        let database = async {
            let postgres = Postgres::start(&path).await?;
            let emulator = Emulator::builder()
                .postgres(postgres.uri())
                .latency(Latency::neon())
                // The plan of a new Neon account.
                .limits(Limits {
                    plan: Plan::Free,
                    ..Limits::default()
                })
                .start()
                .await?;
            anyhow::Ok((postgres, emulator))
        };
        let (cluster, (postgres, emulator), s3) =
            tokio::try_join!(Cluster::start(&path), database, S3::start(&path))?;
        let describe = |managed: bool, name: &str| {
            if managed {
                name.to_owned()
            } else {
                format!("your {name}")
            }
        };
        say(&format!(
            "Started the servers in {}: {}, {}, {}, and a Neon emulator with realistic latencies and the limits of the Free plan.",
            elapsed(started.elapsed()),
            describe(cluster.is_managed(), "Kubernetes API"),
            describe(postgres.is_managed(), "PostgreSQL with pgvector"),
            describe(s3.is_managed(), "S3 server"),
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

    /// Deploys and tests what the demo shows. Prints the next steps, unless `once` is set.
    async fn present(&mut self, show: Show, once: bool) -> Result<()> {
        self.deploy_controller().await?;
        let path = self.link_programs().await?;
        match show {
            Show::App => {
                let tenants = self.deploy_app(Path::new(&path), once).await?;
                if !once {
                    self.print_instructions(&tenants)?;
                }
            }
            Show::Rollouts => {
                rollout::run(&self.cluster, &path).await?;
                if !once {
                    let environment = self.write_environment()?;
                    say(&format!(
                        "\nRepeat the commands in another terminal:\n\n  . {}\n  cd {}\n\nPress Ctrl-C to stop the demo.",
                        environment.display(),
                        self.folder.path().display()
                    ))?;
                }
            }
        }
        Ok(())
    }

    /// Installs the controller and the class.
    async fn deploy_controller(&mut self) -> Result<()> {
        let started = Instant::now();
        let log = self.folder.path().join("controller.log");
        let options = manifests::install_chart(&self.cluster, &log).await?;
        let controller = self.controller.insert(ControllerProcess::spawn(&options)?);
        controller.wait_until_ready().await?;
        manifests::apply_class(
            &self.cluster,
            &self.emulator.api_url(),
            self.emulator.api_key(),
            self.emulator.ca_pem(),
        )
        .await?;
        say(&format!(
            "Installed the chart and started the controller in {}.",
            elapsed(started.elapsed())
        ))
    }

    /// Creates three Tenants and opens their databases with psql. Then starts the app and, with `once`,
    /// tests it.
    async fn deploy_app(&mut self, path: &Path, once: bool) -> Result<Vec<Tenant>> {
        say("Creating three Tenants:\n")?;
        let tenants = self.create_tenants().await?;
        say("")?;
        let mut databases = BTreeSet::new();
        for tenant in &tenants {
            let test = smoke_test::run(&self.cluster, tenant, path).await?;
            say(&format!("  {}", test.summary))?;
            ensure!(
                databases.insert(test.database),
                "two Tenants share a database"
            );
        }

        let started = Instant::now();
        let app = app::start(&self.cluster, &self.postgres, &self.s3, self.folder.path()).await?;
        let app = self.app.insert(app);
        say(&format!(
            "\nStarted the chat app in {}. It creates a Tenant for each workspace.",
            elapsed(started.elapsed())
        ))?;
        if once {
            app::smoke_test(app, &self.cluster, &self.postgres, path).await?;
        }
        Ok(tenants)
    }

    async fn create_tenants(&mut self) -> Result<Vec<Tenant>> {
        let tenants: Api<Tenant> = Api::namespaced(
            client_for(self.cluster.kubeconfig()).await?,
            TENANTS_NAMESPACE,
        );
        manifests::apply_tenants(&self.cluster).await?;
        let mut table = Table::new();
        loop {
            let found = tenants
                .list(&ListParams::default())
                .await
                .context("failed to list the Tenants")?
                .items;
            table.show(&found);
            if table.all_ready(manifests::EXAMPLES.len()) {
                return Ok(found);
            }
            if restart_if_exited(self.controller.as_mut())? {
                tokio::time::sleep(EXIT_POLL_INTERVAL).await;
            }
            if table.elapsed() > READY_TIMEOUT {
                bail!(
                    "not all Tenants are ready after {} s",
                    READY_TIMEOUT.as_secs()
                );
            }
            tokio::time::sleep(TABLE_POLL_INTERVAL).await;
        }
    }

    /// Restarts the controller and the app whenever they exit, as a cluster would.
    async fn restart_exited_programs(&mut self) -> Result<()> {
        loop {
            restart_if_exited(self.controller.as_mut())?;
            restart_if_exited(self.app.as_mut())?;
            tokio::time::sleep(EXIT_POLL_INTERVAL).await;
        }
    }

    /// Links the installed kubectl, helm, psql and the controller into the run's folder. Returns a PATH with them.
    async fn link_programs(&self) -> Result<String> {
        let bin = self.folder.path().join("bin");
        std::fs::create_dir_all(&bin)?;
        let psql = tokio::task::spawn_blocking(installer::psql).await??;
        let clients = self.cluster.clients();
        let controller = controller_binary()?;
        for (program, name) in [
            (&controller, "tenant-controller"),
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

    /// Writes a file that prepares a shell for the demo's cluster.
    fn write_environment(&self) -> Result<PathBuf> {
        let environment = self.folder.path().join("env");
        let text = format!(
            "export KUBECONFIG='{}' PATH=\"{}:$PATH\"\n",
            self.cluster.kubeconfig().display(),
            self.folder.path().join("bin").display()
        );
        std::fs::write(&environment, text)?;
        Ok(environment)
    }

    fn print_instructions(&self, tenants: &[Tenant]) -> Result<()> {
        let environment = self.write_environment()?;
        let kubeconfig = self.cluster.kubeconfig();
        let secret = |tenant: &Tenant| Some(tenant.status.as_ref()?.binding.as_ref()?.name.clone());
        say(&format!(
            "\nEach of the three Tenants has its own database. Try it in another terminal:\n\n  . {}\n\n  \
             kubectl get tn --all-namespaces -o wide",
            environment.display()
        ))?;
        for secret in tenants.iter().filter_map(secret).take(1) {
            say(&format!(
                "  {}",
                smoke_test::psql_command(TENANTS_NAMESPACE, &secret)
            ))?;
        }
        say(&format!(
            "  kubectl -n {TENANTS_NAMESPACE} patch tn acme --type=merge -p '{{\"spec\":{{\"compute\":{{\"maxCU\":2}}}}}}'\n  \
             kubectl -n {TENANTS_NAMESPACE} delete tn acme\n\n(KUBECONFIG={}; logs in {})",
            kubeconfig.display(),
            self.folder.path().display()
        ))?;
        let url = self
            .app
            .as_ref()
            .map(|app| app.url("/"))
            .unwrap_or_default();
        say(&format!(
            "\nThe chat app:\n\n  {url}\n\nOpen it, sign in with any name, wait for your database, upload a PDF and ask a question \
             about it.\nThe demo runs without a language model: an answer quotes the best passages with their pages, and no \
             data leaves\nthis machine. `kubectl -n {} get tn --watch` shows your Tenant.\n\nPress Ctrl-C to stop the demo.",
            app::TENANTS_NAMESPACE
        ))
    }

    /// Objects, events and logs, to find the cause of a failure.
    async fn report(&self) -> String {
        let mut parts = Vec::new();
        for arguments in [
            &[
                "get",
                "tenants.dbpertenant.dev,tenantclasses.dbpertenant.dev,schemarollouts.dbpertenant.dev",
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
            let output = command::output(self.cluster.kubectl(arguments))
                .await
                .unwrap_or_else(|error| format!("{error:#}"));
            parts.push(format!("--- kubectl {}\n{output}", arguments.join(" ")));
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
        let deleted = if self.cluster.is_managed() {
            Ok(())
        } else {
            manifests::delete_all(&self.cluster).await
        };
        if let Some(controller) = self.controller {
            controller.terminate().await;
        }
        self.emulator.shutdown().await;
        if !self.cluster.is_managed() {
            say(
                "Your cluster still has the three CustomResourceDefinitions, which helm never deletes.",
            )?;
        }
        if !self.postgres.is_managed() {
            say(
                "Your PostgreSQL still has the emulator's database (neon_emulator), those of its projects, and the app's (chat_app).",
            )?;
        }
        self.cluster.stop().await;
        self.postgres.stop().await;
        let emptied = self.s3.stop(app::BUCKET).await;
        drop(self.folder);
        emptied.context("failed to delete the demo's bucket from your S3 server")?;
        deleted.context("failed to delete all of the demo's objects from your cluster")
    }
}

/// Restarts the program if it exited, and says so. Returns whether it did.
fn restart_if_exited<D>(program: Option<&mut Program<D>>) -> Result<bool> {
    let Some(program) = program else {
        return Ok(false);
    };
    if !program.has_exited()? {
        return Ok(false);
    }
    say(&format!(
        "\nRestarting {}, which exited. The last lines of its log ({}):\n{}",
        program.description(),
        program.log_file().display(),
        program.log_tail(RESTART_LOG_LINES)
    ))?;
    program.restart()?;
    Ok(true)
}
