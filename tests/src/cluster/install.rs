//! The chart as helm installs it, and the database with the emulator over it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use neon_emulator::{Emulator, Limits};
use serde_json::{Value, json};
use xtask::control_plane::ControlPlane;
use xtask::controller::{ControllerOptions, Rendered};
use xtask::postgres::Postgres;

use super::{ClusterOptions, RELEASE, SYSTEM_NAMESPACE};
use crate::command;
use crate::emulator::Watched;
use crate::proxy::Proxy;

/// The proxies before the Neon API and before the databases.
pub(super) type NeonAndData = Option<(Proxy, Proxy)>;

/// PostgreSQL with the emulator over it.
pub(super) async fn database(
    folder: &Path,
    options: &ClusterOptions,
) -> Result<(Postgres, Watched, NeonAndData)> {
    let postgres = Postgres::start(folder).await?;
    let builder = Emulator::builder().postgres(postgres.uri());
    let start = |builder| {
        Watched::start(
            builder,
            options.computes,
            options.latency,
            Limits::default(),
        )
    };
    if !options.proxied {
        return Ok((postgres, start(builder).await?, None));
    }
    // The port that connection strings name has to be known before the port behind it is.
    let data = Proxy::listen().await?;
    let emulator = start(builder.advertised_data_port(data.port())).await?;
    data.lead_to(emulator.data_addr().port());
    let neon = Proxy::start(emulator.api_url().parse_port()?).await?;
    Ok((postgres, emulator, Some((neon, data))))
}

/// Installs the chart with helm, and says how its controller is started: with the arguments, the environment and the
/// rights that it would have as a Pod.
pub(super) async fn install_chart(
    plane: &ControlPlane,
    client: &Client,
    folder: &Path,
    options: &ClusterOptions,
) -> Result<ControllerOptions> {
    let mut values = options.values.clone();
    ensure!(values.is_object(), "the chart's values are no object");
    values["config"] = serde_json::to_value(&options.settings)?;
    let file = folder.join("values.json");
    std::fs::write(&file, values.to_string())?;
    let mut helm = plane.helm();
    helm.args(["install", RELEASE])
        .arg(repository().join("charts/tenant-controller"))
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
        ]);
    command::output(wait).await?;
    let rendered = Rendered::read(client, SYSTEM_NAMESPACE, RELEASE, folder).await?;
    let kubeconfig = plane
        .service_account_kubeconfig(SYSTEM_NAMESPACE, &rendered.service_account)
        .await?;
    Ok(ControllerOptions {
        arguments: rendered.arguments.into_iter().map(OsString::from).collect(),
        environment: rendered
            .environment
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect(),
        ..ControllerOptions::new(kubeconfig, SYSTEM_NAMESPACE, folder.join("controller.log"))
    })
}

/// The same kubeconfig, for `whom`, with another port of the API server.
pub(crate) fn through(kubeconfig: &Path, folder: &Path, whom: &str, port: u16) -> Result<PathBuf> {
    let mut document: Value = serde_yaml::from_str(&std::fs::read_to_string(kubeconfig)?)?;
    document["clusters"][0]["cluster"]["server"] = json!(format!("https://127.0.0.1:{port}"));
    let path = folder.join(format!("{whom}-proxied.kubeconfig"));
    std::fs::write(&path, document.to_string())?;
    Ok(path)
}

/// Where the sources lie that these tests were built from: the chart is taken from there.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
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
            .with_context(|| format!("{self} names no port"))
    }
}
