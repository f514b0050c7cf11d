//! Settles what public sources about Neon leave open, with one project (two on plans that allow every
//! suspend timeout), and reports each fact as expected or not.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use neon_client::ids::ProjectId;
use neon_client::model::Operation;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::connections::connect;
use crate::life::{NAME_PREFIX, Service};

/// Maximum time until a project accepts connections or changes.
pub(crate) const READY_DEADLINE: Duration = Duration::from_mins(6);
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Parts of the names of fields whose values are not reported.
const SECRET_FIELD_PARTS: [&str; 6] = ["password", "uri", "email", "login", "token", "owner"];
/// Fields of listed projects that the controller compares or reports.
const LISTED_FIELDS: [&str; 7] = [
    "name",
    "settings",
    "default_endpoint_settings",
    "history_retention_seconds",
    "active_time",
    "cpu_used_sec",
    "synthetic_storage_size",
];

/// An assumption about Neon, and what was observed.
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) expected: &'static str,
    pub(crate) observed: String,
    pub(crate) as_expected: bool,
    pub(crate) body: Value,
}

/// The facts as a page of Markdown, without secrets.
pub(crate) fn report(facts: &[Fact]) -> String {
    let mut page = "# Neon as observed\n".to_owned();
    for fact in facts {
        let verdict = if fact.as_expected {
            "as expected"
        } else {
            "NOT as expected"
        };
        let _ = write!(
            page,
            "\n## {}: {verdict}\n\nExpected: {}\nObserved: {}\n\n```json\n{:#}\n```\n",
            fact.name,
            fact.expected,
            fact.observed,
            without_secrets(fact.body.clone())
        );
    }
    page
}

fn without_secrets(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for (name, field) in fields {
                *field = if SECRET_FIELD_PARTS.iter().any(|part| name.contains(part)) {
                    Value::from("(removed)")
                } else {
                    without_secrets(field.take())
                };
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = without_secrets(item.take());
            }
        }
        _ => {}
    }
    value
}

impl Service {
    /// Creates a project, observes it, and deletes it, even after a failure. `pause` waits for this
    /// long.
    pub(crate) async fn facts(
        &self,
        pause: &impl AsyncFn(Duration) -> Result<()>,
    ) -> Result<Vec<Fact>> {
        let mut facts = vec![self.suspend_timeout().await?];
        let started = Instant::now();
        let (status, created) = self
            .raw(Method::POST, "/projects", Some(self.project(json!({}))))
            .await?;
        ensure!(status == 201, "failed to create a project: {status}");
        let id = created["project"]["id"].as_str().context("no project id")?;
        let path = format!("/projects/{id}");
        let observed = self
            .observe(&path, &created, started, pause, &mut facts)
            .await;
        let deleted = self.delete_when_unlocked(&path).await;
        observed?;
        deleted?;
        Ok(facts)
    }

    async fn observe(
        &self,
        path: &str,
        created: &Value,
        started: Instant,
        pause: &impl AsyncFn(Duration) -> Result<()>,
        facts: &mut Vec<Fact>,
    ) -> Result<()> {
        let rename = json!({"project": {"name": created["project"]["name"]}});
        let (status, body) = self.raw(Method::PATCH, path, Some(rename)).await?;
        facts.push(Fact {
            name: "A change of a new project",
            expected: "423 while its operations run, or 200 if they have ended",
            observed: status.to_string(),
            as_expected: [200, 423].contains(&status),
            body,
        });
        let uri = created["connection_uris"][0]["connection_uri"]
            .as_str()
            .context("no URI")?;
        facts.push(connect("The first connection to a new project", uri, started).await?);

        let list = format!("/projects?search={}", path.trim_start_matches("/projects/"));
        let (_, listed) = self.raw(Method::GET, &list, None).await?;
        let item = &listed["projects"][0];
        let missing: Vec<_> = LISTED_FIELDS
            .iter()
            .filter(|field| item.get(**field).is_none())
            .collect();
        facts.push(Fact {
            name: "A listed project",
            expected: "has the settings and the usage",
            observed: format!("missing: {missing:?}"),
            as_expected: missing.is_empty(),
            body: item.clone(),
        });
        let moved = item["updated_at"] != created["project"]["updated_at"];
        facts.push(Fact {
            name: "`updated_at` of a project after a connection",
            expected: "has moved",
            observed: if moved { "moved" } else { "did not move" }.to_owned(),
            as_expected: moved,
            body: json!([created["project"]["updated_at"], item["updated_at"]]),
        });

        facts.extend(self.refusals(path, created).await?);
        facts.extend(self.branches(path).await?);
        facts.extend(self.activity(path, uri, pause).await?);
        let (resets, uri) = self.password_reset(path, created, uri).await?;
        facts.extend(resets);
        facts.extend(self.restore(path, created, &uri).await?);

        self.delete_when_unlocked(path).await?;
        let (status, body) = self.raw(Method::DELETE, path, None).await?;
        facts.push(Fact {
            name: "A second deletion of a project",
            expected: "200 with empty fields, 404 or 410",
            observed: status.to_string(),
            as_expected: [200, 404, 410].contains(&status),
            body,
        });
        let (status, body) = self
            .raw(Method::POST, &format!("{path}/recover"), None)
            .await?;
        facts.push(Fact {
            name: "The recovery of a project",
            expected: "200",
            observed: status.to_string(),
            as_expected: status == 200,
            body,
        });
        facts.push(
            connect(
                "The first connection to a recovered project",
                &uri,
                Instant::now(),
            )
            .await?,
        );
        Ok(())
    }

    /// Whether the plan allows the suspend timeout that is in effect anyway.
    async fn suspend_timeout(&self) -> Result<Fact> {
        let body = self.project(json!({"suspend_timeout_seconds": 300}));
        let (status, body) = self.raw(Method::POST, "/projects", Some(body)).await?;
        if let Some(id) = body["project"]["id"].as_str() {
            self.delete_when_unlocked(&format!("/projects/{id}"))
                .await?;
        }
        Ok(Fact {
            name: "A creation with the default suspend timeout",
            expected: "412 on Free and Launch, 201 on other plans",
            observed: status.to_string(),
            as_expected: [201, 412].contains(&status),
            body,
        })
    }

    fn project(&self, default_endpoint_settings: Value) -> Value {
        let mut project = json!({"name": format!("{NAME_PREFIX}{}", Uuid::new_v4().simple())});
        if default_endpoint_settings != json!({}) {
            project["default_endpoint_settings"] = default_endpoint_settings;
        }
        if let Some(organization) = self.org_id() {
            project["org_id"] = Value::from(organization);
        }
        json!({"project": project})
    }

    pub(crate) async fn delete_when_unlocked(&self, path: &str) -> Result<()> {
        match self.unlocked(Method::DELETE, path, None).await?.0 {
            200 | 202 | 204 | 404 | 410 => Ok(()),
            status => anyhow::bail!("failed to delete {path}: {status}"),
        }
    }

    /// Repeats a call while operations of the project are running, or while the service cannot answer.
    pub(crate) async fn unlocked(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value)> {
        let limit = Instant::now() + READY_DEADLINE;
        loop {
            let (status, answer) = self.raw(method.clone(), path, body.clone()).await?;
            if !matches!(status, 423 | 429 | 500..) || Instant::now() >= limit {
                return Ok((status, answer));
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until the operations in the response to a change have ended.
    pub(crate) async fn settled(&self, path: &str, changed: &Value) -> Result<()> {
        let id: ProjectId = path.trim_start_matches("/projects/").parse()?;
        let operations: Vec<Operation> =
            serde_json::from_value(changed["operations"].clone()).unwrap_or_default();
        let work = operations.iter().map(|operation| operation.id);
        let wait = self.neon.operations(&id).wait(work);
        wait.timeout(READY_DEADLINE).done().await?;
        Ok(())
    }
}
