//! The command lines of the three servers. Each difference to a production cluster has its reason
//! here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use installer::ControlPlaneBinaries;

use super::certificates::Certificates;

/// The cluster addresses of Services. Nothing routes them here.
const SERVICE_RANGE: &str = "10.0.0.0/24";
/// The issuer and default audience of `ServiceAccount` tokens.
const ISSUER: &str = "https://kubernetes.default.svc";
/// The controllers that tests and the demo need. Without a scheduler and a kubelet the others only
/// use processor time.
const CONTROLLERS: &str = "namespace-controller,garbage-collector-controller,serviceaccount-controller,\
root-ca-certificate-publisher-controller,clusterrole-aggregation-controller,resourcequota-controller";
/// Logs the user of every request and the body of writes, but never the contents of Secrets.
const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
  {"level": "None", "users": ["system:apiserver"]},
  {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets", "serviceaccounts/token"]}]},
  {"level": "Request", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
  {"level": "Metadata"}
]}"#;

/// etcd listens on a socket in the run's folder. A socket needs no free port, and other users of
/// this machine cannot read the cluster's Secrets through it.
pub(super) fn etcd(binaries: &ControlPlaneBinaries, folder: &Path) -> Command {
    let clients = etcd_url(folder);
    let mut command = Command::new(&binaries.etcd);
    command
        .arg("--data-dir")
        .arg(etcd_data(folder))
        // The data is deleted after the run, so writes need not wait for the disk.
        .arg("--unsafe-no-fsync")
        .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
        // A single-member cluster never connects to the peer address.
        .args(["--listen-peer-urls", "http://127.0.0.1:0", "--initial-advertise-peer-urls", "http://127.0.0.1:0"])
        .args(["--initial-cluster", "default=http://127.0.0.1:0"])
        // Tests with many objects would exceed the default of 2 GiB.
        .arg(format!("--quota-backend-bytes={}", 8_u64 << 30))
        .args(["--log-level", "warn"])
        .current_dir(folder);
    command
}

pub(super) fn etcd_data(folder: &Path) -> PathBuf {
    folder.join("etcd")
}

fn etcd_url(folder: &Path) -> String {
    format!("unix://{}", folder.join("etcd.sock").display())
}

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
        // A single API server on loopback needs no Endpoints object.
        .arg("--endpoint-reconciler-type=none")
        // The server must stop immediately: tests simulate outages, and users wait after Ctrl-C.
        .args(["--shutdown-delay-duration=0s", "--shutdown-watch-termination-grace-period=0s"])
        .args(["--profiling=false", "--delete-collection-workers=4"])
        .current_dir(folder);
    Ok(command)
}

pub(super) fn kube_controller_manager(
    program: &Path,
    folder: &Path,
    certificates: &Certificates,
    kubeconfig: &Path,
) -> Command {
    let mut command = Command::new(program);
    command
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--root-ca-file={}", certificates.ca.display()))
        .arg(format!("--service-account-private-key-file={}", certificates.service_account_key.display()))
        .arg(format!("--controllers={CONTROLLERS}"))
        .args(["--use-service-account-credentials=true", "--leader-elect=false"])
        // Nothing queries its port.
        .arg("--secure-port=0")
        // The default limits are too low for tests that delete hundreds of objects and wait for
        // them.
        .args(["--kube-api-qps=200", "--kube-api-burst=400", "--profiling=false"])
        .current_dir(folder);
    command
}

pub(super) fn audit_log(folder: &Path) -> PathBuf {
    folder.join("audit.log")
}
