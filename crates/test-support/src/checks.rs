//! Checks that must hold for a whole cluster after the last test: the API server denied no request
//! of the controller, no password appears in a place that people can read, every exchange with Neon
//! conformed to the OpenAPI document, and connections had to start suspended computes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use crds::{Tenant, TenantClass};
use k8s_openapi::api::core::v1::Event as CoreEvent;
use kube::Api;
use kube::api::ListParams;
use local_stack::chat_app::release::NAMESPACE;
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::SYSTEM_NAMESPACE;
use crate::emulator::ComputeSuspension;
use crate::report::say;
use crate::{Cluster, Site};

/// How many findings an error lists.
const MAX_LISTED_FINDINGS: usize = 10;
/// With at least this many connections, one of them must have met a suspended compute. A single
/// test opens fewer, and on a busy machine all of them may meet running computes.
const MIN_CONNECTIONS_FOR_COLD_START: u64 = 100;
/// Shorter secrets could occur by chance.
const MIN_SECRET_BYTES: usize = 8;
/// Phrases of uploaded files and of questions; see [`crate::sample_files::document_about`].
const CONTENT: [&str; 3] = ["secret number", "Nothing else on this page", "herons.pdf"];

/// Runs all checks of a cluster.
pub async fn check_cluster(cluster: &Cluster) -> Result<()> {
    let denied = denied_requests(cluster)?;
    ensure!(
        denied.is_empty(),
        "the chart grants too few permissions; the API server denied:\n{}",
        list(&denied)
    );
    let leaked = find_leaked_secrets(cluster).await?;
    ensure!(leaked.is_empty(), "leaked secrets:\n{}", list(&leaked));
    cluster.emulator().check_conformance()?;
    check_cold_starts(cluster).await
}

/// Checks that some of many connections started a suspended compute.
async fn check_cold_starts(cluster: &Cluster) -> Result<()> {
    let counts = cluster.connection_counts().await?;
    ensure!(
        cluster.compute_suspension() == ComputeSuspension::RealTime
            || counts.cold_starts > 0
            || counts.connections < MIN_CONNECTIONS_FOR_COLD_START,
        "none of {} connections started a suspended compute, so cold starts were not tested",
        counts.connections
    );
    say(&format!(
        "{} connections to databases, {} cold starts",
        counts.connections, counts.cold_starts
    ));
    Ok(())
}

fn list(findings: &[String]) -> String {
    let mut text = findings
        .iter()
        .take(MAX_LISTED_FINDINGS)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    if findings.len() > MAX_LISTED_FINDINGS {
        let more = findings.len() - MAX_LISTED_FINDINGS;
        text.push_str("\nand ");
        text.push_str(&more.to_string());
        text.push_str(" more");
    }
    text
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditEvent {
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

/// Runs all checks of a site: those of its cluster, that the API server denied no request of the
/// app, and that the app's logs contain no password and no text of uploaded files or questions.
pub async fn check_site(site: &Site) -> Result<()> {
    check_cluster(site.cluster()).await?;
    let denied = denied_to(site.cluster(), NAMESPACE)?;
    ensure!(
        denied.is_empty(),
        "the app's chart grants too few permissions; the API server denied:\n{}",
        list(&denied)
    );
    let mut hidden = all_secrets(site.cluster()).await?;
    hidden.extend(site.secrets());
    hidden.extend(CONTENT.map(str::to_owned));
    for log in site.logs() {
        let text = read_lossy(&log)?;
        ensure!(
            !text.is_empty(),
            "the log {} is empty, so this check proves nothing",
            log.display()
        );
        let leaked = find_secrets(&hidden, [(log.display().to_string(), text.as_str())]);
        ensure!(
            leaked.is_empty(),
            "the app's log contains secrets or content:\n{}",
            list(&leaked)
        );
    }
    Ok(())
}

/// A request to the API server.
#[derive(Debug)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `patch` ...
    pub verb: String,
    /// Without query parameters.
    pub path: String,
    /// Whether the API server denied it.
    pub denied: bool,
}

/// All requests of this cluster's controllers so far, from the API server's audit log.
pub fn requests(cluster: &Cluster) -> Result<Vec<Request>> {
    requests_of(cluster, SYSTEM_NAMESPACE)
}

/// All requests of a namespace's `ServiceAccounts` so far.
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
        // The last line may be incomplete.
        let Ok(request) = serde_json::from_str::<AuditEvent>(&line) else {
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
                denied: request.annotations["authorization.k8s.io/decision"] == "forbid",
            });
        }
    }
    ensure!(
        !requests.is_empty(),
        "the audit log contains no request of {namespace}, so this check proves nothing"
    );
    Ok(requests)
}

/// The controllers' denied requests, without duplicates.
pub fn denied_requests(cluster: &Cluster) -> Result<Vec<String>> {
    denied_to(cluster, SYSTEM_NAMESPACE)
}

fn denied_to(cluster: &Cluster, namespace: &str) -> Result<Vec<String>> {
    let denied = requests_of(cluster, namespace)?
        .into_iter()
        .filter(|request| request.denied);
    let once: BTreeSet<String> = denied
        .map(|request| format!("{} {}", request.verb, request.path))
        .collect();
    Ok(once.into_iter().collect())
}

/// Secrets that must not leak: every password that an emulator issued, and the account's API key.
pub async fn all_secrets(cluster: &Cluster) -> Result<Vec<String>> {
    let mut secrets = cluster.issued_passwords().await?;
    secrets.push(cluster.emulator().api_key().to_owned());
    secrets.retain(|secret| secret.len() >= MIN_SECRET_BYTES);
    Ok(secrets)
}

/// The lines of the texts that contain a secret, with the secret itself redacted.
pub fn find_secrets<'a>(
    secrets: &[String],
    texts: impl IntoIterator<Item = (String, &'a str)>,
) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in texts {
        for (number, line) in text.lines().enumerate() {
            for secret in secrets {
                if line.contains(secret.as_str()) {
                    found.push(format!(
                        "{name}, line {}: {}",
                        number + 1,
                        line.replace(secret.as_str(), "<password>")
                    ));
                }
            }
        }
    }
    found
}

/// Searches Tenants, classes, events, and the controllers' logs and metrics for secrets.
pub async fn find_leaked_secrets(cluster: &Cluster) -> Result<Vec<String>> {
    let secrets = all_secrets(cluster).await?;
    let mut found = Vec::new();
    for (name, text) in [
        ("Tenants", listed::<Tenant>(cluster).await?),
        ("TenantClasses", listed::<TenantClass>(cluster).await?),
        ("events", listed::<CoreEvent>(cluster).await?),
        ("metrics", cluster.metrics().await?),
    ] {
        found.extend(find_secrets(&secrets, [(name.to_owned(), text.as_str())]));
    }
    for log in cluster.logs()? {
        let text = read_lossy(&log)?;
        ensure!(
            !text.is_empty(),
            "the log {} is empty, so this check proves nothing",
            log.display()
        );
        found.extend(find_secrets(
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
    fn a_secret_is_found_in_any_line_and_redacted() {
        let secrets = ["hunter2-hunter2".to_owned()];
        let texts = [
            (
                "a".to_owned(),
                "nothing\nuri=postgresql://o:hunter2-hunter2@h",
            ),
            ("b".to_owned(), "hunter2"),
        ];
        assert_eq!(
            find_secrets(&secrets, texts),
            ["a, line 2: uri=postgresql://o:<password>@h"]
        );
    }
}
