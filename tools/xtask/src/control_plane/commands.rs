//! The command lines of the three servers: all that differs from a production cluster stands here, with its reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::certificates::Certificates;
use crate::install::ControlPlaneBinaries;

/// Cluster addresses of Services; nothing routes them here.
const SERVICE_RANGE: &str = "10.0.0.0/24";
/// Who issues `ServiceAccount` tokens, and whom they are for when nobody says otherwise.
const ISSUER: &str = "https://kubernetes.default.svc";
/// What tests and the demo rely on. Without a scheduler and a kubelet the others would only use up processor time.
const CONTROLLERS: &str = "namespace-controller,garbage-collector-controller,serviceaccount-controller,\
root-ca-certificate-publisher-controller,clusterrole-aggregation-controller,resourcequota-controller";
/// Every request with who made it, and what was written; reads without their contents, and Secrets never.
const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
  {"level": "None", "users": ["system:apiserver"]},
  {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets", "serviceaccounts/token"]}]},
  {"level": "Request", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
  {"level": "Metadata"}
]}"#;

/// The store. Its clients come over a socket in the run's folder: no port to race for, and no other user of this
/// machine can read the cluster's Secrets from it.
pub(super) fn etcd(binaries: &ControlPlaneBinaries, folder: &Path) -> Command {
    let clients = etcd_url(folder);
    let mut command = Command::new(&binaries.etcd);
    command
        .arg("--data-dir")
        .arg(folder.join("etcd"))
        // The data is gone with the run: there is no need to wait for the disk.
        .arg("--unsafe-no-fsync")
        .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
        // A cluster of one: the peers' address is never dialled.
        .args(["--listen-peer-urls", "http://127.0.0.1:0", "--initial-advertise-peer-urls", "http://127.0.0.1:0"])
        .args(["--initial-cluster", "default=http://127.0.0.1:0"])
        // Tests that write many objects must not fill the default 2 GiB.
        .arg(format!("--quota-backend-bytes={}", 8_u64 << 30))
        .args(["--log-level", "warn"])
        .current_dir(folder);
    command
}

fn etcd_url(folder: &Path) -> String {
    format!("unix://{}", folder.join("etcd.sock").display())
}

/// The API server on a port of its own.
pub(super) fn kube_apiserver(
    binaries: &ControlPlaneBinaries,
    folder: &Path,
    certificates: &Certificates,
    port: u16,
    audit_log: Option<&Path>,
) -> Result<Command> {
    let mut command = Command::new(&binaries.kube_apiserver);
    let mut flag = |name: &str, value: &Path| {
        command.arg(format!("--{name}={}", value.display()));
    };
    flag("tls-cert-file", &certificates.serving.certificate);
    flag("tls-private-key-file", &certificates.serving.key);
    flag("client-ca-file", &certificates.ca);
    flag(
        "service-account-key-file",
        &certificates.service_account_public_key,
    );
    flag(
        "service-account-signing-key-file",
        &certificates.service_account_key,
    );
    flag("cert-dir", &folder.join("certificates"));
    if let Some(log) = audit_log {
        let policy = folder.join("audit-policy.json");
        fs::write(&policy, AUDIT_POLICY)?;
        flag("audit-policy-file", &policy);
        flag("audit-log-path", log);
    }
    command
        .arg(format!("--etcd-servers={}", etcd_url(folder)))
        .arg(format!("--secure-port={port}"))
        .arg(format!("--service-account-issuer={ISSUER}"))
        .arg(format!("--service-cluster-ip-range={SERVICE_RANGE}"))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .args(["--authorization-mode=Node,RBAC", "--anonymous-auth=true"])
        // A single server on loopback has no endpoints to keep.
        .arg("--endpoint-reconciler-type=none")
        // A stopped server must be gone at once: outages are tested, and people wait for Ctrl-C.
        .args(["--shutdown-delay-duration=0s", "--shutdown-watch-termination-grace-period=0s"])
        .args(["--profiling=false", "--delete-collection-workers=4"])
        .current_dir(folder);
    Ok(command)
}

/// Garbage collection by owner, deletion of namespaces, default `ServiceAccounts`.
pub(super) fn kube_controller_manager(
    binaries: &ControlPlaneBinaries,
    folder: &Path,
    certificates: &Certificates,
    kubeconfig: &Path,
) -> Command {
    let mut command = Command::new(&binaries.kube_controller_manager);
    command
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--root-ca-file={}", certificates.ca.display()))
        .arg(format!("--service-account-private-key-file={}", certificates.service_account_key.display()))
        .arg(format!("--controllers={CONTROLLERS}"))
        .args(["--use-service-account-credentials=true", "--leader-elect=false"])
        // Nothing asks it anything: no port.
        .arg("--secure-port=0")
        // The defaults suit a small control plane; here a test deletes hundreds of objects and waits for the end.
        .args(["--kube-api-qps=200", "--kube-api-burst=400", "--profiling=false"])
        .current_dir(folder);
    command
}

/// Where the audit log is, if there is one.
pub(super) fn audit_log(folder: &Path) -> PathBuf {
    folder.join("audit.log")
}
