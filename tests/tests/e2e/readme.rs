//! The commands of the README, as they are written, lead to a Tenant that is ready on a Free account.
//!
//! The class gets two more settings, the address of the emulator and its certificate, and the
//! controller runs as a process.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use crds::Tenant;
use kube::Api;
use kube::api::ListParams;
use local_stack::control_plane::{ControlPlane, Options};
use local_stack::controller::{ContainerSpec, ControllerOptions, ControllerProcess};
use local_stack::postgres::Postgres;
use local_stack::repository;
use local_stack::run_folder::RunFolder;
use neon_emulator::{Emulator, Latency, Limits, Plan};
use test_support::cluster::{RELEASE, SYSTEM_NAMESPACE};
use test_support::emulator::{ComputeSuspension, TestEmulator};
use test_support::scenario::is_ready;
use test_support::suite::{Trial, test_alone};
use test_support::{command, timeouts};

const SECTION: &str = "## Install it on a cluster";
const INSTALL: &str = "helm install";

pub(crate) fn tests() -> Vec<Trial> {
    vec![test_alone(
        concat!(
            module_path!(),
            "::the_commands_of_the_readme_lead_to_a_tenant_that_is_ready_on_a_free_account"
        ),
        timeouts::TEST,
        the_commands_of_the_readme_lead_to_a_tenant_that_is_ready_on_a_free_account,
    )]
}

async fn the_commands_of_the_readme_lead_to_a_tenant_that_is_ready_on_a_free_account() -> Result<()>
{
    let _ = rustls::crypto::ring::default_provider().install_default();
    let psql = tokio::task::spawn_blocking(installer::psql).await??;
    let folder = RunFolder::new("readme")?;
    let path = folder.path();
    let plane = ControlPlane::start(Options::default()).await?;
    let postgres = Postgres::start(path).await?;
    let limits = Limits {
        plan: Plan::Free,
        ..Limits::default()
    };
    let emulator = TestEmulator::start(
        Emulator::builder().postgres(postgres.uri()),
        ComputeSuspension::RealTime,
        Latency::instant(),
        limits,
    )
    .await?;
    let ca_file = path.join("ca.pem");
    std::fs::write(&ca_file, emulator.ca_pem())?;
    let (kubectl, helm) = (plane.kubectl(), plane.helm());
    for (name, program) in [
        ("kubectl", Path::new(kubectl.get_program())),
        ("helm", Path::new(helm.get_program())),
        ("psql", psql.as_path()),
    ] {
        std::os::unix::fs::symlink(program, path.join(name))?;
    }
    let run = async |script: &str| {
        let mut bash = Command::new("bash");
        bash.args(["-e", "-u", "-o", "pipefail", "-c", script])
            .current_dir(repository())
            .env("PATH", search_path(path)?)
            .env("HOME", path)
            .env("KUBECONFIG", plane.kubeconfig())
            .env("NEON_API_KEY", emulator.api_key())
            .stdin(Stdio::null());
        command::output(bash).await
    };

    let readme = std::fs::read_to_string(repository().join("README.md"))?;
    let commands = commands(&readme)?;
    let mut controller = None;
    for command in &commands {
        if !command.starts_with(INSTALL) {
            run(command).await?;
            continue;
        }
        run(&format!(
            "{command} --set class.neon.baseUrl={} --set-file class.neon.caBundle={}",
            emulator.api_url(),
            ca_file.display()
        ))
        .await?;
        controller = Some(start_controller(&plane, path).await?);
    }
    let controller = controller.with_context(|| format!("the README has no {INSTALL}"))?;
    ensure!(
        commands.last().is_some_and(|last| last.starts_with("psql")),
        "the README does not end with a connection: {commands:?}"
    );
    let tenants: Api<Tenant> = Api::namespaced(plane.client().await?, "tenants");
    let tenants = tenants.list(&ListParams::default()).await?;
    ensure!(
        tenants.items.len() == 1 && tenants.iter().all(is_ready),
        "{tenants:?}"
    );
    let projects = emulator.projects().await?;
    ensure!(projects.len() == 1, "{} projects", projects.len());
    ensure!(projects[0].connections_opened >= 2, "psql did not connect");
    controller.terminate().await;
    emulator.stop().await;
    plane.stop().await;
    postgres.stop().await;
    Ok(())
}

/// Starts the controller of the installed chart, with its arguments and permissions.
async fn start_controller(plane: &ControlPlane, folder: &Path) -> Result<ControllerProcess> {
    let client = plane.client().await?;
    let container = ContainerSpec::read(&client, SYSTEM_NAMESPACE, RELEASE, folder).await?;
    let kubeconfig = plane
        .service_account_kubeconfig(SYSTEM_NAMESPACE, &container.service_account)
        .await?;
    let mut environment: Vec<(String, OsString)> = container
        .environment
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    environment.push(("POD_NAME".to_owned(), RELEASE.into()));
    let mut controller = ControllerProcess::spawn(&ControllerOptions {
        arguments: container
            .arguments
            .into_iter()
            .map(OsString::from)
            .collect(),
        environment,
        ..ControllerOptions::new(kubeconfig, SYSTEM_NAMESPACE, folder.join("controller.log"))
    })?;
    controller.wait_until_ready().await?;
    Ok(controller)
}

/// The commands of the section's code blocks for the shell, each on one line.
fn commands(readme: &str) -> Result<Vec<String>> {
    let (_, section) = readme
        .split_once(SECTION)
        .with_context(|| format!("the README has no section {SECTION:?}"))?;
    let section = section.split("\n## ").next().unwrap_or(section);
    let blocks = section.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    let lines = blocks.map(|block| block.replace("\\\n", " "));
    Ok(lines
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.trim().is_empty())
        .collect())
}

/// The folder, before the folders with the other programs.
fn search_path(folder: &Path) -> Result<OsString> {
    let others = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&others));
    Ok(std::env::join_paths(folders)?)
}
