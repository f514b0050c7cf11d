//! How soon new endpoints accept connections.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use crate::facts::{Fact, POLL_INTERVAL, READY_DEADLINE};
use crate::life::Service;

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
const BRANCHES: [(&str, bool); 2] = [
    ("The first connection to a new branch, at once", false),
    (
        "The first connection to a new branch, after its operations",
        true,
    ),
];

impl Service {
    /// Connects to two new branches: to one as soon as it is created, and to the other when its
    /// operations have ended. Deletes both.
    pub(crate) async fn branches(&self, path: &str) -> Result<Vec<Fact>> {
        let mut facts = Vec::new();
        for (name, polls) in BRANCHES {
            let branch = json!({"branch": {}, "endpoints": [{"type": "read_write"}]});
            let (status, created) = self
                .unlocked(Method::POST, &format!("{path}/branches"), Some(branch))
                .await?;
            ensure!(status == 201, "failed to create a branch: {status}");
            if polls {
                self.settled(path, &created).await?;
            }
            let uri = created["connection_uris"][0]["connection_uri"].as_str();
            let connected = connect(name, uri.context("no URI")?, Instant::now()).await;
            let id = created["branch"]["id"].as_str().context("no branch id")?;
            self.delete_when_unlocked(&format!("{path}/branches/{id}"))
                .await?;
            facts.push(connected?);
        }
        Ok(facts)
    }
}

/// Connects as soon as possible, and reports how long that took and how it failed before.
pub(crate) async fn connect(name: &'static str, uri: &str, started: Instant) -> Result<Fact> {
    let mut failures: Vec<String> = Vec::new();
    while let Err(failure) = attempt(uri).await {
        if failures.last() != Some(&failure) {
            failures.push(failure);
        }
        ensure!(
            started.elapsed() < READY_DEADLINE,
            "no connection in time: {failures:?}"
        );
        sleep(POLL_INTERVAL).await;
    }
    let took = started.elapsed().as_secs_f64();
    Ok(Fact {
        name,
        expected: "accepted within 30 s",
        observed: format!("accepted after {took:.1} s"),
        as_expected: took < 30.0,
        body: json!({"failures": failures}),
    })
}

/// Connects once. Returns how it failed.
pub(crate) async fn attempt(uri: &str) -> Result<(), String> {
    match timeout(ATTEMPT_TIMEOUT, PgConnection::connect(uri)).await {
        Ok(Ok(connection)) => {
            // The connection was accepted, whatever its end is.
            let _ = connection.close().await;
            Ok(())
        }
        Ok(Err(sqlx::Error::Database(error))) => Err(format!(
            "{}: {}",
            error.code().unwrap_or_default(),
            error.message()
        )),
        Ok(Err(_)) => Err("no connection".to_owned()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}
