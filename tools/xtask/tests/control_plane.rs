//! The control plane is a real one: it refuses what CEL refuses, deletes namespaces, survives an outage, and is gone
//! when its owner is.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use xtask::control_plane::{ControlPlane, Options, client_for};

/// For anything that this file waits for.
const WAIT_LIMIT: Duration = Duration::from_mins(1);
const WAIT_POLL: Duration = Duration::from_millis(50);

async fn wait_until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) -> Result<()> {
    let started = Instant::now();
    while !condition().await {
        if started.elapsed() > WAIT_LIMIT {
            bail!("{what}: still not so after {} s", WAIT_LIMIT.as_secs());
        }
        tokio::time::sleep(WAIT_POLL).await;
    }
    Ok(())
}

async fn namespace(client: &Client, name: &str) -> Result<()> {
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

/// Gives what kubectl printed, both streams, and whether it succeeded.
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
async fn it_validates_stores_deletes_and_knows_who_asks() -> Result<()> {
    let plane = ControlPlane::start(Options { audit: true }).await?;
    let client = plane.client().await?;
    assert_eq!(client.apiserver_version().await?.minor, "37");

    // A custom resource with a rule: the API server itself refuses what the rule refuses, in the rule's words.
    let (applied, said) = kubectl(&plane, &["apply", "--server-side", "-f", "-"], CRD)?;
    assert!(applied, "{said}");
    let (established, said) = kubectl(
        &plane,
        &[
            "wait",
            "--for=condition=Established",
            "crd/widgets.example.dev",
            "--timeout=60s",
        ],
        "",
    )?;
    assert!(established, "{said}");
    namespace(&client, "shop").await?;
    let widget = |min: u32| {
        format!(
            "{{apiVersion: example.dev/v1, kind: Widget, metadata: {{name: w, namespace: shop}}, spec: {{min: {min}, max: 5}}}}"
        )
    };
    let (applied, said) = kubectl(&plane, &["apply", "-f", "-"], &widget(9))?;
    assert!(
        !applied && said.contains("set min to at most max"),
        "{said}"
    );
    let (applied, said) = kubectl(&plane, &["apply", "-f", "-"], &widget(2))?;
    assert!(applied, "{said}");

    // A Secret comes back as it was written.
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

    // A ServiceAccount's token is a real identity, with no rights that nobody gave it.
    let account = serde_json::from_value(json!({"metadata": {"name": "guest"}}))?;
    Api::<ServiceAccount>::namespaced(client.clone(), "shop")
        .create(&PostParams::default(), &account)
        .await?;
    let guest = client_for(&plane.service_account_kubeconfig("shop", "guest").await?).await?;
    let refused = Api::<Secret>::namespaced(guest, "shop").get("s").await;
    assert!(
        matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403),
        "{refused:?}"
    );
    let audit = fs::read_to_string(plane.audit_log().context("an audit log was asked for")?)?;
    assert!(audit.contains("system:serviceaccount:shop:guest") && !audit.contains("geheim"));

    // Deleting the namespace deletes what is in it: the controller manager's work.
    Api::<Namespace>::all(client.clone())
        .delete("shop", &DeleteParams::default())
        .await?;
    wait_until("the namespace is gone", || async {
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
        pids.iter().all(|pid| !alive(*pid)) && !folder.exists(),
        "a stop leaves nothing"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_run_side_by_side_and_data_survives_an_outage_of_the_api_server() -> Result<()> {
    let (one, other) = tokio::try_join!(
        ControlPlane::start(Options::default()),
        ControlPlane::start(Options::default())
    )?;
    assert_ne!(one.url(), other.url());
    let client = one.client().await?;
    namespace(&client, "kept").await?;
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
        "the API server is away"
    );
    one.start_apiserver().await?;
    assert!(namespaces.get_opt("kept").await?.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_outlives_an_owner_that_was_killed() -> Result<()> {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("control-plane")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(owner.stdout.take().context("no standard output")?).lines();
    let mut field = |name: &str| -> Result<String> {
        let line = lines.next().context("the owner ended early")??;
        Ok(line
            .strip_prefix(name)
            .with_context(|| format!("{line:?} is not {name}"))?
            .to_owned())
    };
    let folder = PathBuf::from(field("KUBECONFIG=")?)
        .parent()
        .context("a kubeconfig in a folder")?
        .to_owned();
    let pids: Vec<u32> = field("PIDS=")?
        .split(' ')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    assert!(pids.len() == 3 && pids.iter().all(|pid| alive(*pid)));

    owner.kill()?;
    owner.wait()?;

    wait_until("every server is gone", || async {
        pids.iter().all(|pid| !alive(*pid))
    })
    .await?;
    assert!(folder.exists(), "a killed owner removes nothing itself");
    xtask::run_folder::remove_dead()?;
    assert!(!folder.exists(), "whoever starts next removes its folder");
    Ok(())
}

/// Whether a process runs (signal 0 only asks).
fn alive(pid: u32) -> bool {
    Command::new("kill")
        .args(["-0", &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
