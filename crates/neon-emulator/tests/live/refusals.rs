//! Which settings the account's plan refuses. Those that it accepts are reset.

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};

use crate::facts::Fact;
use crate::life::Service;

/// A change of a setting, and what resets it.
struct Change {
    name: &'static str,
    expected: &'static str,
    /// The statuses that are expected.
    statuses: fn(u16) -> bool,
    path: String,
    body: Value,
    reset: Option<Value>,
}

fn is_refused(status: u16) -> bool {
    (400..423).contains(&status)
}

/// The changes to try.
fn changes(path: &str, endpoint: String, branch: String, history: &Value) -> Vec<Change> {
    let project = |fields: Value| json!({"project": fields});
    let sizes = |size: f64| {
        let defaults = json!({"autoscaling_limit_min_cu": size, "autoscaling_limit_max_cu": size});
        project(json!({"default_endpoint_settings": defaults}))
    };
    vec![
        Change {
            name: "A history of one day",
            expected: "400 on Free, 200 on other plans",
            statuses: |status| [200, 400].contains(&status),
            path: path.to_owned(),
            body: project(json!({"history_retention_seconds": 86_400})),
            reset: Some(project(json!({"history_retention_seconds": history}))),
        },
        Change {
            name: "A history of 31 days",
            expected: "400",
            statuses: |status| status == 400,
            path: path.to_owned(),
            body: project(json!({"history_retention_seconds": 2_678_400})),
            reset: None,
        },
        Change {
            name: "New computes of 3 CU",
            expected: "4xx on Free, 200 on other plans",
            statuses: |status| status == 200 || is_refused(status),
            path: path.to_owned(),
            body: sizes(3.0),
            reset: Some(sizes(0.25)),
        },
        Change {
            name: "New computes of 17 CU",
            expected: "4xx, because this size does not exist",
            statuses: is_refused,
            path: path.to_owned(),
            body: sizes(17.0),
            reset: None,
        },
        Change {
            name: "The default suspend timeout of a compute",
            expected: "412 on Free and Launch, 200 on other plans",
            statuses: |status| [200, 412].contains(&status),
            path: endpoint,
            body: json!({"endpoint": {"suspend_timeout_seconds": 300}}),
            reset: None,
        },
        Change {
            name: "A protected branch",
            expected: "422 on Free, 200 on other plans",
            statuses: |status| [200, 422].contains(&status),
            path: branch,
            body: json!({"branch": {"protected": true}}),
            reset: Some(json!({"branch": {"protected": false}})),
        },
        Change {
            name: "An empty list of allowed addresses",
            expected: "200, or 4xx on plans without allowed addresses",
            statuses: |status| status == 200 || is_refused(status),
            path: path.to_owned(),
            body: project(
                json!({"settings": {"allowed_ips": {"ips": [], "protected_branches_only": false}}}),
            ),
            reset: None,
        },
        Change {
            name: "A quota of zero",
            expected: "200",
            statuses: |status| status == 200,
            path: path.to_owned(),
            body: project(json!({"settings": {"quota": {"active_time_seconds": 0}}})),
            reset: None,
        },
        Change {
            name: "Empty settings of new computes",
            expected: "200",
            statuses: |status| status == 200,
            path: path.to_owned(),
            body: project(json!({"default_endpoint_settings": {}})),
            reset: None,
        },
    ]
}

impl Service {
    pub(crate) async fn refusals(&self, path: &str, created: &Value) -> Result<Vec<Fact>> {
        let id = |kind: &Value| kind["id"].as_str().map(str::to_owned).context("no id");
        let endpoint = format!("{path}/endpoints/{}", id(&created["endpoints"][0])?);
        let branch = format!("{path}/branches/{}", id(&created["branch"])?);
        let history = &created["project"]["history_retention_seconds"];
        let mut facts = Vec::new();
        for change in changes(path, endpoint, branch, history) {
            let (status, body) = self
                .unlocked(Method::PATCH, &change.path, Some(change.body))
                .await?;
            if let Some(reset) = change.reset.filter(|_| status == 200) {
                self.unlocked(Method::PATCH, &change.path, Some(reset))
                    .await?;
            }
            facts.push(Fact {
                name: change.name,
                expected: change.expected,
                observed: status.to_string(),
                as_expected: (change.statuses)(status),
                body,
            });
        }
        Ok(facts)
    }
}
