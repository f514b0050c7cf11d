//! What the demo puts into its cluster: the chart, the account's key, the class, and three Tenants.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_yaml::Value;

use super::cluster::Cluster;
use super::run::{output, output_with_input};
use super::{SYSTEM_NAMESPACE, TENANTS_NAMESPACE, app};
use crate::chat_app::release;
use crate::control_plane::client_for;
use crate::controller::{ControllerOptions, Rendered};
use crate::repository;

/// The name of the release, of its Deployment and of its `ServiceAccount`.
const RELEASE: &str = "tenant-controller";
/// The Tenants of `examples/`.
pub(super) const EXAMPLES: [&str; 3] = ["acme", "globex", "initech"];

/// Installs the chart with helm, and says how its controller is started: with the arguments, the environment and the
/// rights that it would have as a Pod. (There is nothing here that runs Pods.)
pub(super) async fn install_chart(cluster: &Cluster, log: &Path) -> Result<ControllerOptions> {
    let chart = repository().join("charts/tenant-controller");
    let chart = chart
        .to_str()
        .context("the repository's path is not UTF-8")?;
    output(cluster.helm(&[
        "install",
        RELEASE,
        chart,
        "--namespace",
        SYSTEM_NAMESPACE,
        "--create-namespace",
    ]))
    .await?;
    wait_for_crds(cluster).await?;
    let client = client_for(cluster.kubeconfig()).await?;
    let rendered = Rendered::read(&client, SYSTEM_NAMESPACE, RELEASE, cluster.folder()).await?;
    let kubeconfig = cluster
        .service_account_kubeconfig(SYSTEM_NAMESPACE, &rendered.service_account)
        .await?;
    Ok(ControllerOptions {
        kubeconfig,
        namespace: SYSTEM_NAMESPACE.into(),
        arguments: rendered.arguments.into_iter().map(Into::into).collect(),
        environment: rendered
            .environment
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect(),
        log: log.to_owned(),
    })
}

async fn wait_for_crds(cluster: &Cluster) -> Result<()> {
    output(cluster.kubectl(&[
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd/tenants.dbpertenant.dev",
        "crd/tenantclasses.dbpertenant.dev",
    ]))
    .await?;
    Ok(())
}

/// The account: the key's Secret, and the class `default` of `examples/`, led to the emulator.
pub(super) async fn apply_class(
    cluster: &Cluster,
    api_url: &str,
    api_key: &str,
    ca: &str,
) -> Result<()> {
    let file = repository().join("examples/tenantclass.yaml");
    let mut class: Value = serde_yaml::from_str(&std::fs::read_to_string(&file)?)?;
    let neon = &mut class["spec"]["neon"];
    ensure!(neon.is_mapping(), "{} has no spec.neon", file.display());
    neon["baseUrl"] = api_url.into();
    neon["caBundle"] = ca.into();
    let secret = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": neon["apiKeySecretRef"]["name"], "namespace": SYSTEM_NAMESPACE},
        "stringData": {(neon["apiKeySecretRef"]["key"].as_str().unwrap_or("api-key")): api_key},
    });
    apply(cluster, secret.to_string()).await?;
    apply(cluster, serde_yaml::to_string(&class)?).await
}

/// The three Tenants, as anybody would apply them.
pub(super) async fn apply_tenants(cluster: &Cluster) -> Result<()> {
    output(cluster.kubectl(&["create", "namespace", TENANTS_NAMESPACE])).await?;
    let mut command = cluster.kubectl(&["--namespace", TENANTS_NAMESPACE, "apply"]);
    for name in EXAMPLES {
        command
            .arg("--filename")
            .arg(repository().join(format!("examples/{name}.yaml")));
    }
    output(command).await?;
    Ok(())
}

/// Takes out of a cluster that is not ours what the demo put there; the controller still runs, and lets the Tenants go.
pub(super) async fn clear(cluster: &Cluster) -> Result<()> {
    let gone = |arguments: &[&str]| -> Command {
        let mut command = cluster.kubectl(arguments);
        command.args(["--ignore-not-found", "--wait", "--timeout=120s"]);
        command
    };
    for namespace in [TENANTS_NAMESPACE, app::TENANTS] {
        output(gone(&[
            "delete",
            "tenants.dbpertenant.dev",
            "--all",
            "--namespace",
            namespace,
        ]))
        .await?;
    }
    output(gone(&[
        "delete",
        "tenantclasses.dbpertenant.dev",
        crds::DEFAULT_CLASS,
    ]))
    .await?;
    output(gone(&["delete", "namespace", TENANTS_NAMESPACE])).await?;
    output(gone(&[
        "delete",
        "namespace",
        release::NAMESPACE,
        app::TENANTS,
    ]))
    .await?;
    output(cluster.helm(&["uninstall", RELEASE, "--namespace", SYSTEM_NAMESPACE])).await?;
    output(gone(&["delete", "namespace", SYSTEM_NAMESPACE])).await?;
    Ok(())
}

async fn apply(cluster: &Cluster, document: String) -> Result<()> {
    output_with_input(
        cluster.kubectl(&["apply", "--server-side", "--filename", "-"]),
        document,
    )
    .await?;
    Ok(())
}
