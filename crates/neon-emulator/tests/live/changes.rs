//! What a reset of a password and a restore change.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, Executor as _, PgConnection};
use tokio::time::{Instant, sleep};

use crate::connections::{attempt, connect};
use crate::facts::{Fact, POLL_INTERVAL};
use crate::life::Service;

/// How long a session may survive a reset of its password.
const CUT_WITHIN: Duration = Duration::from_secs(30);

impl Service {
    /// Resets the password of the project's role. Returns the new connection string as well.
    pub(crate) async fn password_reset(
        &self,
        path: &str,
        created: &Value,
        uri: &str,
    ) -> Result<(Vec<Fact>, String)> {
        let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
        let branch = text(&created["branch"]["id"])?;
        let role = text(&created["roles"][0]["name"])?;
        let parameters = &created["connection_uris"][0]["connection_parameters"];
        let old_password = text(&parameters["password"])?;
        let mut session = PgConnection::connect(uri).await?;
        let reset = format!("{path}/branches/{branch}/roles/{role}/reset_password");
        let (status, body) = self.unlocked(Method::POST, &reset, None).await?;
        ensure!(status == 200, "failed to reset the password: {status}");
        self.settled(path, &body).await?;

        let started = Instant::now();
        let mut cut = false;
        while !cut && started.elapsed() < CUT_WITHIN {
            cut = session.execute("select 1").await.is_err();
            if !cut {
                sleep(POLL_INTERVAL).await;
            }
        }
        let old = attempt(uri).await.err().unwrap_or_default();
        let uri = uri.replace(&old_password, &text(&body["role"]["password"])?);
        let accepted = connect(
            "The first connection after a reset of the password",
            &uri,
            started,
        );
        let facts = vec![
            Fact {
                name: "A session during a reset of its password",
                expected: "ends",
                observed: if cut { "ended" } else { "went on" }.to_owned(),
                as_expected: cut,
                body,
            },
            Fact {
                name: "The password from before a reset",
                expected: "28P01",
                as_expected: old.starts_with("28P01"),
                observed: old,
                body: Value::Null,
            },
            accepted.await?,
        ];
        Ok((facts, uri))
    }

    /// Restores a snapshot of the project's branch.
    pub(crate) async fn restore(
        &self,
        path: &str,
        created: &Value,
        uri: &str,
    ) -> Result<Vec<Fact>> {
        let branch = created["branch"]["id"].as_str().context("no branch id")?;
        execute(uri, "create table numbers as select 1 as number").await?;
        let create = format!("{path}/branches/{branch}/snapshot?name=live");
        let (status, body) = self.unlocked(Method::POST, &create, None).await?;
        let mut facts = vec![Fact {
            name: "A snapshot of the root branch",
            expected: "a success on every plan",
            observed: status.to_string(),
            as_expected: (200..300).contains(&status),
            body: body.clone(),
        }];
        let Some(snapshot) = body["snapshot"]["id"].as_str() else {
            return Ok(facts);
        };
        self.settled(path, &body).await?;
        execute(uri, "insert into numbers values (2)").await?;

        let restore = format!("{path}/snapshots/{snapshot}/restore");
        let finalize = json!({"finalize_restore": true});
        let (status, body) = self
            .unlocked(Method::POST, &restore, Some(finalize))
            .await?;
        facts.push(Fact {
            name: "The restore of a snapshot",
            expected: "a success",
            observed: status.to_string(),
            as_expected: (200..300).contains(&status),
            body: body.clone(),
        });
        if !(200..300).contains(&status) {
            return Ok(facts);
        }
        self.settled(path, &body).await?;
        let (_, endpoints) = self
            .unlocked(Method::GET, &format!("{path}/endpoints"), None)
            .await?;
        let host = &created["endpoints"][0]["host"];
        let endpoint = endpoints["endpoints"]
            .as_array()
            .and_then(|endpoints| endpoints.iter().find(|endpoint| endpoint["host"] == *host));
        let moved = endpoint.is_some_and(|endpoint| endpoint["branch_id"] != branch);
        facts.push(Fact {
            name: "The compute after a finalized restore",
            expected: "has the same host and is on another branch",
            observed: format!("same host: {}, another branch: {moved}", endpoint.is_some()),
            as_expected: moved,
            body: endpoints.clone(),
        });
        let connected = connect("The first connection after a restore", uri, Instant::now());
        facts.push(connected.await?);
        let mut session = PgConnection::connect(uri).await?;
        let rows: i64 = sqlx::query_scalar("select count(*) from numbers")
            .fetch_one(&mut session)
            .await?;
        session.close().await?;
        facts.push(Fact {
            name: "The contents after a restore",
            expected: "1 row",
            observed: format!("{rows} rows"),
            as_expected: rows == 1,
            body: Value::Null,
        });
        Ok(facts)
    }
}

async fn execute(uri: &str, sql: &'static str) -> Result<()> {
    let mut session = PgConnection::connect(uri).await?;
    session.execute(sql).await?;
    session.close().await?;
    Ok(())
}
