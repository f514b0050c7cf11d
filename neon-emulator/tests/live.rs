//! The service itself against what this workspace says of it: `make test-live` with a `NEON_API_KEY`. One project is made, looked at
//! and removed, and the shapes of the answers are compared with the emulator's. Without the key it says that it was skipped.

#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "what fails here fails the test, and who runs it is told what it did"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use neon::Neon;
use neon::ids::ProjectId;
use neon::model::CreateProject;
use neon_emulator::Emulator;
use serde_json::Value;

/// The organization that the key's projects belong to, where it is needed.
const ORG_VARIABLE: &str = "NEON_ORG_ID";
const KEY_VARIABLE: &str = "NEON_API_KEY";
/// What is looked at, below the project.
const PATHS: [&str; 5] = [
    "",
    "/branches",
    "/endpoints",
    "/operations?limit=5",
    "/branches/count",
];
const READY_DEADLINE: Duration = Duration::from_mins(2);

/// Where an API is, and how it is asked.
struct Api {
    url: String,
    key: String,
    http: reqwest::Client,
}

impl Api {
    fn new(url: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            key: key.into(),
            http: reqwest::Client::new(),
        }
    }

    fn neon(&self) -> Neon {
        let builder = Neon::builder()
            .api_key(self.key.clone().into())
            .base_url(self.url.parse().expect("a URL"));
        builder.build().expect("a client")
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.url));
        let response = request.bearer_auth(&self.key).send().await;
        response
            .and_then(reqwest::Response::error_for_status)
            .expect("an answer")
            .json()
            .await
            .expect("JSON")
    }

    /// Makes a project, collects the fields of all answers about it, and removes it.
    async fn shapes(&self, project: CreateProject) -> BTreeSet<String> {
        let neon = self.neon();
        let created = neon
            .projects()
            .create(project)
            .send()
            .await
            .expect("creates");
        let id = created.project.id.clone();
        let ids: Vec<_> = created
            .operations
            .iter()
            .map(|operation| operation.id)
            .collect();
        let ready = neon
            .operations(&id)
            .wait(ids)
            .deadline(READY_DEADLINE)
            .done()
            .await;
        let looked = self.look(&id).await;
        // Removed before anything is judged, so that nothing is left behind.
        neon.projects().delete(&id).send().await.expect("deletes");
        ready.expect("it becomes ready");
        looked
    }

    async fn look(&self, id: &ProjectId) -> BTreeSet<String> {
        let mut fields = BTreeSet::new();
        for path in PATHS {
            let answer = self.get(&format!("/projects/{id}{path}")).await;
            collect(&answer, path, &mut fields);
        }
        fields
    }
}

/// The names of all fields, with where they stand and of what kind they are.
fn collect(value: &Value, at: &str, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                collect(value, &format!("{at}.{name}"), fields);
            }
        }
        Value::Array(values) => {
            for value in values {
                collect(value, &format!("{at}[]"), fields);
            }
        }
        Value::Null => {}
        Value::Bool(_) => drop(fields.insert(format!("{at}: boolean"))),
        Value::Number(_) => drop(fields.insert(format!("{at}: number"))),
        Value::String(_) => drop(fields.insert(format!("{at}: string"))),
    }
}

#[tokio::test]
async fn the_service_answers_with_every_field_that_the_emulator_has() {
    let Ok(key) = std::env::var(KEY_VARIABLE) else {
        eprintln!("skipped: {KEY_VARIABLE} is not set");
        return;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut project = CreateProject::named("emulator-conformance");
    project.org_id = std::env::var(ORG_VARIABLE)
        .ok()
        .map(|id| id.parse().expect("an organization's id"));

    let emulator = Emulator::start().await.expect("the emulator starts");
    let ours = Api::new(emulator.api_url(), emulator.api_key())
        .shapes(project.clone())
        .await;
    let theirs = Api::new(neon::BASE_URL, key).shapes(project).await;
    emulator.shutdown().await;

    for field in theirs.difference(&ours) {
        eprintln!("only the service has {field}");
    }
    // Fields that appear only with time or use, or that an account without an organization has not.
    let invented: Vec<_> = ours
        .difference(&theirs)
        .filter(|field| {
            !["_at", "org_", "maintenance", "last_active"]
                .iter()
                .any(|part| field.contains(part))
        })
        .collect();
    assert_eq!(
        invented,
        Vec::<&String>::new(),
        "only the emulator has these"
    );
}
