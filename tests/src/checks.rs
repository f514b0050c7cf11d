//! What must hold of a cluster whatever the tests did with it: the controller was never refused anything, no password stands
//! where people can read it, whatever went between the controller and Neon fits the API's document, and computes slept.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use crds::{Tenant, TenantClass};
use k8s_openapi::api::core::v1::Event as CoreEvent;
use kube::Api;
use kube::api::ListParams;
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::SYSTEM_NAMESPACE;
use crate::emulator::Computes;
use crate::{Cluster, Site, suite};
use xtask::chat_app::release::NAMESPACE;

/// How many findings an error lists.
const FINDINGS_MAX: usize = 10;
/// Connections of which one at least must have found its compute asleep. A single test may have met none.
const CONNECTIONS_MANY: u64 = 20;
/// Shorter texts could stand anywhere by chance.
const PASSWORD_BYTES_MIN: usize = 8;

/// All checks, after the last test.
pub async fn whole(cluster: &Cluster) -> Result<()> {
    let refused = refused_requests(cluster)?;
    ensure!(
        refused.is_empty(),
        "the chart's rights do not suffice; the API server refused:\n{}",
        list(&refused)
    );
    let shown = places_with_passwords(cluster).await?;
    ensure!(shown.is_empty(), "passwords are shown:\n{}", list(&shown));
    cluster.emulator().kept_to_the_document()?;
    computes_slept(cluster).await
}

/// Among many connections there are some that had to wake somebody, where computes fall asleep.
async fn computes_slept(cluster: &Cluster) -> Result<()> {
    let tally = cluster.tally().await?;
    ensure!(
        cluster.computes() == Computes::StayAwake
            || tally.cold_starts > 0
            || tally.connections < CONNECTIONS_MANY,
        "none of {} connections found its compute asleep: cold starts were not tested",
        tally.connections
    );
    suite::say(&format!(
        "{} connections to databases, {} cold starts",
        tally.connections, tally.cold_starts
    ));
    Ok(())
}

fn list(findings: &[String]) -> String {
    let mut text = findings
        .iter()
        .take(FINDINGS_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    if findings.len() > FINDINGS_MAX {
        let more = findings.len() - FINDINGS_MAX;
        text.push_str("\nand ");
        text.push_str(&more.to_string());
        text.push_str(" more");
    }
    text
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Audited {
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    #[serde(default)]
    annotations: Value,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

/// What must hold of a site whatever the tests did with it: the cluster's own checks; the app was never refused anything
/// either; and its logs hold no password and not a word of what people brought or asked.
pub async fn site(site: &Site) -> Result<()> {
    whole(site.cluster()).await?;
    let refused = refused_to(site.cluster(), NAMESPACE)?;
    ensure!(
        refused.is_empty(),
        "the app's rights do not suffice; the API server refused:\n{}",
        list(&refused)
    );
    let mut hidden = secrets(site.cluster()).await?;
    hidden.extend(site.secrets());
    hidden.extend(CONTENT.map(str::to_owned));
    for log in site.logs() {
        let text = read_lossy(&log)?;
        ensure!(
            !text.is_empty(),
            "the log {} is empty: nothing was proven",
            log.display()
        );
        let shown = holding(&hidden, [(log.display().to_string(), text.as_str())]);
        ensure!(
            shown.is_empty(),
            "the app's log shows what it must not:\n{}",
            list(&shown)
        );
    }
    Ok(())
}

/// Words of the files that tests bring and of what they ask: [`crate::files::about`].
const CONTENT: [&str; 3] = ["secret number", "Nothing else on this page", "herons.pdf"];

/// A request of the controller.
#[derive(Debug)]
pub struct Request {
    /// What it asked for: `get`, `list`, `watch`, `create`, `patch` ...
    pub verb: String,
    /// Of what, without parameters.
    pub path: String,
    /// Whether its rights did not allow that.
    pub refused: bool,
}

/// Every request that controllers of this cluster made so far, from the API server's audit log.
pub fn requests(cluster: &Cluster) -> Result<Vec<Request>> {
    requests_of(cluster, SYSTEM_NAMESPACE)
}

/// Every request that `ServiceAccounts` of a namespace made so far.
fn requests_of(cluster: &Cluster, namespace: &str) -> Result<Vec<Request>> {
    let log = cluster
        .plane()
        .audit_log()
        .context("the control plane keeps no audit log")?;
    let account = format!("system:serviceaccount:{namespace}:");
    let mut requests = Vec::new();
    for line in BufReader::new(File::open(log)?).lines() {
        let line = line?;
        if !line.contains(&account) {
            continue;
        }
        // The last line may be half written.
        let Ok(request) = serde_json::from_str::<Audited>(&line) else {
            continue;
        };
        if request.user.username.starts_with(&account) {
            requests.push(Request {
                verb: request.verb,
                path: request
                    .request_uri
                    .split('?')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                refused: request.annotations["authorization.k8s.io/decision"] == "forbid",
            });
        }
    }
    ensure!(
        !requests.is_empty(),
        "the audit log knows no request of {namespace}: nothing was proven"
    );
    Ok(requests)
}

/// Requests of the controller that its rights did not allow, once each.
pub fn refused_requests(cluster: &Cluster) -> Result<Vec<String>> {
    refused_to(cluster, SYSTEM_NAMESPACE)
}

fn refused_to(cluster: &Cluster, namespace: &str) -> Result<Vec<String>> {
    let refused = requests_of(cluster, namespace)?
        .into_iter()
        .filter(|request| request.refused);
    let once: BTreeSet<String> = refused
        .map(|request| format!("{} {}", request.verb, request.path))
        .collect();
    Ok(once.into_iter().collect())
}

/// What must not be shown: every password that the emulator ever gave, and the account's key.
pub async fn secrets(cluster: &Cluster) -> Result<Vec<String>> {
    let mut secrets = cluster.issued_passwords().await?;
    secrets.push(cluster.emulator().api_key().to_owned());
    secrets.retain(|secret| secret.len() >= PASSWORD_BYTES_MIN);
    Ok(secrets)
}

/// Which texts hold one of the secrets; the secrets themselves are not repeated.
pub fn holding<'a>(
    secrets: &[String],
    texts: impl IntoIterator<Item = (String, &'a str)>,
) -> Vec<String> {
    let mut found = Vec::new();
    for (place, text) in texts {
        for (number, line) in text.lines().enumerate() {
            for secret in secrets {
                if line.contains(secret.as_str()) {
                    found.push(format!(
                        "{place}, line {}: {}",
                        number + 1,
                        line.replace(secret.as_str(), "<password>")
                    ));
                }
            }
        }
    }
    found
}

/// Everywhere that people look: Tenants, classes, events, the controllers' logs and metrics.
pub async fn places_with_passwords(cluster: &Cluster) -> Result<Vec<String>> {
    let secrets = secrets(cluster).await?;
    let mut found = Vec::new();
    for (place, text) in [
        ("Tenants", listed::<Tenant>(cluster).await?),
        ("TenantClasses", listed::<TenantClass>(cluster).await?),
        ("events", listed::<CoreEvent>(cluster).await?),
        ("metrics", cluster.metrics().await?),
    ] {
        found.extend(holding(&secrets, [(place.to_owned(), text.as_str())]));
    }
    for log in cluster.logs()? {
        let text = read_lossy(&log)?;
        if text.is_empty() {
            bail!("the log {} is empty: nothing was proven", log.display());
        }
        found.extend(holding(
            &secrets,
            [(log.display().to_string(), text.as_str())],
        ));
    }
    Ok(found)
}

fn read_lossy(path: &Path) -> Result<String> {
    Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
}

async fn listed<K>(cluster: &Cluster) -> Result<String>
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + serde::Serialize,
{
    let all = Api::<K>::all(cluster.client())
        .list(&ListParams::default())
        .await?;
    Ok(serde_yaml::to_string(&all.items)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_wherever_it_stands_and_not_repeated() {
        let secrets = ["hunter2-hunter2".to_owned()];
        let texts = [
            (
                "a".to_owned(),
                "nothing\nuri=postgresql://o:hunter2-hunter2@h",
            ),
            ("b".to_owned(), "hunter2"),
        ];
        assert_eq!(
            holding(&secrets, texts),
            ["a, line 2: uri=postgresql://o:<password>@h"]
        );
    }
}
