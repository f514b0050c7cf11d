//! Creates and removes the demo's objects: the controller's chart, the API key, the class and three
//! Tenants.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use local_stack::chat_app::release;
use local_stack::control_plane::client_for;
use local_stack::controller::{ContainerSpec, ControllerOptions};
use local_stack::repository;
use serde_yaml::Value;

use crate::app;
use crate::cluster::{Cluster, SYSTEM_NAMESPACE, TENANTS_NAMESPACE};
use crate::command::{output, output_with_input};

/// The name of the release, the Deployment and the `ServiceAccount`.
const RELEASE: &str = "tenant-controller";
/// The Tenants in `examples/`.
pub(crate) const EXAMPLES: [&str; 3] = ["acme", "globex", "initech"];

/// Installs the chart with helm. Returns how to start the controller as a process, because nothing
/// in the cluster runs Pods: with the Pod's arguments, environment and permissions.
pub(crate) async fn install_chart(cluster: &Cluster, log: &Path) -> Result<ControllerOptions> {
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
        // The demo runs the program of the image as a process.
        "--set",
        "image.repository=tenant-controller",
    ]))
    .await?;
    wait_for_crds(cluster).await?;
    let client = client_for(cluster.kubeconfig()).await?;
    let container =
        ContainerSpec::read(&client, SYSTEM_NAMESPACE, RELEASE, cluster.folder()).await?;
    let kubeconfig = cluster
        .service_account_kubeconfig(SYSTEM_NAMESPACE, &container.service_account)
        .await?;
    Ok(ControllerOptions {
        kubeconfig,
        namespace: SYSTEM_NAMESPACE.into(),
        arguments: container.arguments.into_iter().map(Into::into).collect(),
        environment: container
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
        "crd/schemarollouts.dbpertenant.dev",
    ]))
    .await?;
    Ok(())
}

/// Applies the API key's Secret and the class `default` from `examples/`, with the emulator as its
/// Neon API.
pub(crate) async fn apply_class(
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

/// Applies the three Tenants from `examples/`.
pub(crate) async fn apply_tenants(cluster: &Cluster) -> Result<()> {
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

/// Deletes the demo's objects from the developer's cluster. The controller must be running to
/// finalize the Tenants.
pub(crate) async fn delete_all(cluster: &Cluster) -> Result<()> {
    let delete = |arguments: &[&str]| -> Command {
        let mut command = cluster.kubectl(arguments);
        command.args(["--ignore-not-found", "--wait", "--timeout=120s"]);
        command
    };
    for namespace in [TENANTS_NAMESPACE, app::TENANTS_NAMESPACE] {
        output(delete(&[
            "delete",
            "tenants.dbpertenant.dev",
            "--all",
            "--namespace",
            namespace,
        ]))
        .await?;
    }
    output(delete(&[
        "delete",
        "tenantclasses.dbpertenant.dev",
        crds::DEFAULT_CLASS,
    ]))
    .await?;
    output(delete(&["delete", "namespace", TENANTS_NAMESPACE])).await?;
    output(delete(&[
        "delete",
        "namespace",
        release::NAMESPACE,
        app::TENANTS_NAMESPACE,
    ]))
    .await?;
    output(cluster.helm(&["uninstall", RELEASE, "--namespace", SYSTEM_NAMESPACE])).await?;
    output(delete(&["delete", "namespace", SYSTEM_NAMESPACE])).await?;
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
