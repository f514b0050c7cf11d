//! Installs the controller's chart with helm, and starts PostgreSQL with the emulator.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use local_stack::control_plane::ControlPlane;
use local_stack::controller::{ContainerSpec, ControllerOptions};
use local_stack::postgres::Postgres;
use neon_emulator::Emulator;
use serde_json::{Value, json};

use super::{ClusterOptions, RELEASE, SYSTEM_NAMESPACE};
use crate::command;
use crate::emulator::{self, TestEmulator, plan_limits};
use crate::proxy::Proxy;

/// The proxies in front of the Neon API and the databases.
pub(super) type NeonAndData = Option<(Proxy, Proxy)>;

/// Starts PostgreSQL and an emulator on it.
pub(super) async fn database(
    folder: &Path,
    options: &ClusterOptions,
) -> Result<(Postgres, TestEmulator, NeonAndData)> {
    let postgres = Postgres::start(folder).await?;
    let builder = Emulator::builder().postgres(postgres.uri());
    let limits = plan_limits()?;
    let latency = match options.latency {
        Some(latency) => latency,
        None => emulator::latency()?,
    };
    let start = |builder| TestEmulator::start(builder, options.compute_suspension, latency, limits);
    if !options.proxied {
        return Ok((postgres, start(builder).await?, None));
    }
    // Connection strings contain the proxy's port, so the proxy listens before the emulator starts.
    let data = Proxy::listen().await?;
    let emulator = start(builder.advertised_data_port(data.port())).await?;
    data.set_target(emulator.data_addr().port());
    let neon = Proxy::start(emulator.api_url().parse_port()?).await?;
    Ok((postgres, emulator, Some((neon, data))))
}

/// Installs the chart with helm. Returns how to start the controller as a process, with the Pod's
/// arguments, environment and permissions.
pub(super) async fn install_chart(
    plane: &ControlPlane,
    client: &Client,
    folder: &Path,
    options: &ClusterOptions,
) -> Result<ControllerOptions> {
    let mut values = options.values.clone();
    ensure!(values.is_object(), "the chart's values must be an object");
    values["config"] = serde_json::to_value(&options.settings)?;
    // The tests run the program of the image as a process.
    values["image"] = json!({"repository": "tenant-controller"});
    let file = folder.join("values.json");
    std::fs::write(&file, values.to_string())?;
    let mut helm = plane.helm();
    helm.args(["install", RELEASE])
        .arg(local_stack::repository().join("charts/tenant-controller"))
        .args([
            "--namespace",
            SYSTEM_NAMESPACE,
            "--create-namespace",
            "--values",
        ])
        .arg(file);
    command::output(helm).await?;
    let mut wait = plane.kubectl();
    wait.args(["wait", "--for=condition=Established", "--timeout=60s"])
        .args([
            "crd/tenants.dbpertenant.dev",
            "crd/tenantclasses.dbpertenant.dev",
            "crd/schemarollouts.dbpertenant.dev",
        ]);
    command::output(wait).await?;
    let container = ContainerSpec::read(client, SYSTEM_NAMESPACE, RELEASE, folder).await?;
    let kubeconfig = plane
        .service_account_kubeconfig(SYSTEM_NAMESPACE, &container.service_account)
        .await?;
    Ok(ControllerOptions {
        arguments: container
            .arguments
            .into_iter()
            .map(OsString::from)
            .collect(),
        environment: container
            .environment
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect(),
        ..ControllerOptions::new(kubeconfig, SYSTEM_NAMESPACE, folder.join("controller.log"))
    })
}

/// Copies a kubeconfig and replaces the API server's port. `name` is part of the copy's file name.
pub(crate) fn through_port(
    kubeconfig: &Path,
    folder: &Path,
    name: &str,
    port: u16,
) -> Result<PathBuf> {
    let mut document: Value = serde_yaml::from_str(&std::fs::read_to_string(kubeconfig)?)?;
    document["clusters"][0]["cluster"]["server"] = json!(format!("https://127.0.0.1:{port}"));
    let path = folder.join(format!("{name}-proxied.kubeconfig"));
    std::fs::write(&path, document.to_string())?;
    Ok(path)
}

pub(super) trait ParsePort {
    fn parse_port(&self) -> Result<u16>;
}

impl ParsePort for String {
    /// The port of a URL such as `http://127.0.0.1:8080/path`.
    fn parse_port(&self) -> Result<u16> {
        let authority = self
            .split("//")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        let port = authority.and_then(|authority| authority.rsplit(':').next());
        port.and_then(|port| port.parse().ok())
            .with_context(|| format!("{self} has no port"))
    }
}
