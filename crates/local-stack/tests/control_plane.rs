//! The control plane validates with CEL, deletes namespaces, keeps its data during an outage, and
//! ends with its owner.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use local_stack::control_plane::{ControlPlane, Options, client_for};
use serde_json::json;

const WAIT_TIMEOUT: Duration = Duration::from_mins(1);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The oldest minor release that developers may bring in `KUBEBUILDER_ASSETS`.
const MIN_KUBERNETES_MINOR: u32 = 31;

async fn wait_until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) -> Result<()> {
    let started = Instant::now();
    while !condition().await {
        if started.elapsed() > WAIT_TIMEOUT {
            bail!("timed out after {} s: {what}", WAIT_TIMEOUT.as_secs());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

async fn create_namespace(client: &Client, name: &str) -> Result<()> {
    let object = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &object)
        .await?;
    Ok(())
}

const CRD: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.dev}
spec:
  group: example.dev
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {min: {type: integer}, max: {type: integer}}
            x-kubernetes-validations: [{rule: "self.min <= self.max", message: "set min to at most max"}]
"#;

/// Runs kubectl. Returns whether it succeeded, and both of its output streams.
fn kubectl(plane: &ControlPlane, arguments: &[&str], input: &str) -> Result<(bool, String)> {
    use std::io::Write as _;
    let mut child = plane
        .kubectl()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("no standard input")?
        .write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_validates_and_stores_objects_deletes_namespaces_and_authorizes_users() -> Result<()> {
    let options = Options {
        audit: true,
        ..Options::default()
    };
    let plane = ControlPlane::start(options).await?;
    let client = plane.client().await?;
    let minor = client.apiserver_version().await?.minor;
    assert!(
        minor.parse::<u32>()? >= MIN_KUBERNETES_MINOR,
        "minor {minor}"
    );

    // The API server enforces a custom resource's CEL rule and returns the rule's message.
    let (applied, output) = kubectl(&plane, &["apply", "--server-side", "-f", "-"], CRD)?;
    assert!(applied, "{output}");
    let (established, output) = kubectl(
        &plane,
        &[
            "wait",
            "--for=condition=Established",
            "crd/widgets.example.dev",
            "--timeout=60s",
        ],
        "",
    )?;
    assert!(established, "{output}");
    create_namespace(&client, "shop").await?;
    let widget = |min: u32| {
        format!(
            "{{apiVersion: example.dev/v1, kind: Widget, metadata: {{name: w, namespace: shop}}, spec: {{min: {min}, max: 5}}}}"
        )
    };
    let (applied, output) = kubectl(&plane, &["apply", "-f", "-"], &widget(9))?;
    assert!(
        !applied && output.contains("set min to at most max"),
        "{output}"
    );
    let (applied, output) = kubectl(&plane, &["apply", "-f", "-"], &widget(2))?;
    assert!(applied, "{output}");

    // A Secret is stored unchanged.
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "shop");
    let secret = serde_json::from_value(
        json!({"metadata": {"name": "s"}, "stringData": {"password": "geheim"}}),
    )?;
    secrets.create(&PostParams::default(), &secret).await?;
    let data = secrets.get("s").await?.data.unwrap_or_default();
    assert_eq!(
        data.get("password").map(|bytes| bytes.0.as_slice()),
        Some(b"geheim".as_slice())
    );

    // A ServiceAccount's token authenticates it, and it has no permissions by default.
    let account = serde_json::from_value(json!({"metadata": {"name": "guest"}}))?;
    Api::<ServiceAccount>::namespaced(client.clone(), "shop")
        .create(&PostParams::default(), &account)
        .await?;
    let guest = client_for(&plane.service_account_kubeconfig("shop", "guest").await?).await?;
    let denied = Api::<Secret>::namespaced(guest, "shop").get("s").await;
    assert!(
        matches!(&denied, Err(kube::Error::Api(status)) if status.code == 403),
        "{denied:?}"
    );
    let audit = fs::read_to_string(plane.audit_log().context("no audit log")?)?;
    assert!(audit.contains("system:serviceaccount:shop:guest") && !audit.contains("geheim"));

    // kube-controller-manager deletes the contents of a deleted namespace.
    Api::<Namespace>::all(client.clone())
        .delete("shop", &DeleteParams::default())
        .await?;
    wait_until("the namespace is deleted", || async {
        Api::<Namespace>::all(client.clone())
            .get_opt("shop")
            .await
            .is_ok_and(|found| found.is_none())
    })
    .await?;
    assert_eq!(
        secrets
            .get_opt("s")
            .await?
            .map(|secret| secret.metadata.name),
        None
    );

    let (pids, folder) = (plane.pids(), plane.folder().to_owned());
    assert_eq!(pids.len(), 3);
    plane.stop().await;
    assert!(
        pids.iter().all(|pid| !is_running(*pid)) && !folder.exists(),
        "stop() must end all servers and remove the folder"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_can_run_at_the_same_time_and_data_survives_an_outage_of_the_api_server() -> Result<()>
{
    let (one, other) = tokio::try_join!(
        ControlPlane::start(Options::default()),
        ControlPlane::start(Options::default())
    )?;
    assert_ne!(one.url(), other.url());
    let client = one.client().await?;
    create_namespace(&client, "kept").await?;
    assert!(
        Api::<Namespace>::all(other.client().await?)
            .get_opt("kept")
            .await?
            .is_none()
    );

    one.stop_apiserver().await;
    let namespaces = Api::<Namespace>::all(client.clone());
    assert!(
        namespaces.get("kept").await.is_err(),
        "the stopped API server responds"
    );
    one.start_apiserver().await?;
    assert!(namespaces.get_opt("kept").await?.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_end_when_their_owner_is_killed() -> Result<()> {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_control-plane"))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(owner.stdout.take().context("no standard output")?).lines();
    let mut field = |name: &str| -> Result<String> {
        let line = lines.next().context("the owner exited early")??;
        Ok(line
            .strip_prefix(name)
            .with_context(|| format!("{line:?} does not begin with {name}"))?
            .to_owned())
    };
    let folder = PathBuf::from(field("KUBECONFIG=")?)
        .parent()
        .context("the kubeconfig's path has no parent")?
        .to_owned();
    let pids: Vec<u32> = field("PIDS=")?
        .split(' ')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    assert!(pids.len() == 3 && pids.iter().all(|pid| is_running(*pid)));

    owner.kill()?;
    owner.wait()?;

    wait_until("all servers have exited", || async {
        pids.iter().all(|pid| !is_running(*pid))
    })
    .await?;
    assert!(folder.exists(), "a killed owner cannot remove its folder");
    local_stack::run_folder::remove_dead()?;
    assert!(!folder.exists(), "the next run must remove the folder");
    Ok(())
}

/// Whether a process runs. Signal 0 is not delivered.
fn is_running(pid: u32) -> bool {
    Command::new("kill")
        .args(["-0", &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
