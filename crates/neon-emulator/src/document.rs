//! Checks calls against Neon's OpenAPI document.
//!
//! The document is not part of this project. Download it (`make test` gets it from the package
//! registry) and configure its path. Every response of the emulator, and every request that it
//! accepts, is then checked against the document, and deviations are recorded. Rejected requests
//! may be invalid; accepted requests must be requests that Neon would accept.

mod schema;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, StatusCode};
use serde_json::Value;

use self::schema::{Checker, Mistakes};

/// The environment variable with the path of the document, for programs and tests.
pub const DOCUMENT_VARIABLE: &str = "NEON_EMULATOR_DOCUMENT";
/// Maximum number of recorded violations.
const KEPT_MAX: usize = 200;
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("failed to read {path}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not an OpenAPI document: {problem}")]
    Parse {
        path: PathBuf,
        problem: String,
    },
}

/// Neon's OpenAPI document.
#[derive(Debug)]
pub struct Document {
    root: Value,
}

/// An operation of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub method: Method,
    /// The path below the base URL, with parameters in braces.
    pub path: String,
    /// The operation ID, such as `createProject`.
    pub name: String,
}

/// A call and its response.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a Method,
    /// The path below the base URL, as the document contains it.
    pub(crate) template: &'a str,
    pub(crate) query: &'a str,
    pub(crate) request: &'a [u8],
    pub(crate) status: StatusCode,
    pub(crate) answer: &'a [u8],
}

impl Document {
    /// Reads a document in YAML or JSON format.
    pub fn read(path: &Path) -> Result<Arc<Self>, DocumentError> {
        let text = std::fs::read_to_string(path).map_err(|source| DocumentError::Read {
            path: path.to_owned(),
            source,
        })?;
        let wrong = |problem: String| DocumentError::Parse {
            path: path.to_owned(),
            problem,
        };
        let root: Value = serde_yaml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if !root["paths"].is_object() {
            return Err(wrong("`paths` is missing".to_owned()));
        }
        Ok(Arc::new(Self { root }))
    }

    /// All operations of the document.
    pub fn operations(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for (path, item) in self.root["paths"].as_object().into_iter().flatten() {
            for method in METHODS {
                let name = item[method]["operationId"].as_str();
                if let (Some(name), Ok(method)) = (name, method.to_uppercase().parse()) {
                    operations.push(Operation {
                        method,
                        path: path.clone(),
                        name: name.to_owned(),
                    });
                }
            }
        }
        operations
    }

    /// Returns the violations of a call and its response.
    pub(crate) fn check(&self, exchange: &Exchange<'_>) -> Vec<String> {
        let method = exchange.method.as_str().to_lowercase();
        let item = &self.root["paths"][exchange.template];
        let operation = &item[method.as_str()];
        if operation.is_null() {
            return vec![format!(
                "{} {}: not in the document",
                exchange.method, exchange.template
            )];
        }
        let mut mistakes = Mistakes::default();
        self.check_answer(operation, exchange, &mut mistakes);
        if exchange.status.is_success() {
            self.check_query(item, operation, exchange.query, &mut mistakes);
            self.check_body(operation, exchange.request, &mut mistakes);
        }
        let call = format!("{} {}", exchange.method, exchange.template);
        let told = |mistake: String| format!("{call} ({}): {mistake}", exchange.status.as_u16());
        mistakes.0.into_iter().map(told).collect()
    }

    fn checker(&self) -> Checker<'_> {
        Checker { root: &self.root }
    }

    fn check_answer(&self, operation: &Value, exchange: &Exchange<'_>, mistakes: &mut Mistakes) {
        let checker = self.checker();
        let answers = &operation["responses"];
        let status = exchange.status.as_str();
        let answer = answers.get(status).or_else(|| answers.get("default"));
        let Some(answer) = answer else {
            return mistakes
                .0
                .push(format!("the document has no response {status}"));
        };
        let content = checker.resolve(answer).get("content");
        let Some(schema) = content.map(|content| &content["application/json"]["schema"]) else {
            if !exchange.answer.is_empty() {
                mistakes.0.push("response: should be empty".to_owned());
            }
            return;
        };
        match serde_json::from_slice(exchange.answer) {
            Ok(value) => checker.check(schema, &value, "response", mistakes),
            Err(_) => mistakes.0.push("response: not JSON".to_owned()),
        }
    }

    fn check_body(&self, operation: &Value, body: &[u8], mistakes: &mut Mistakes) {
        let checker = self.checker();
        let described = checker.resolve(&operation["requestBody"]);
        let schema = &described["content"]["application/json"]["schema"];
        if schema.is_null() || body.is_empty() {
            if described["required"] == Value::Bool(true) {
                mistakes.0.push("request: the body is missing".to_owned());
            }
            return;
        }
        match serde_json::from_slice(body) {
            Ok(value) => checker.check(schema, &value, "request", mistakes),
            Err(_) => mistakes.0.push("request: not JSON".to_owned()),
        }
    }

    fn check_query(&self, item: &Value, operation: &Value, query: &str, mistakes: &mut Mistakes) {
        let checker = self.checker();
        let given: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let lists = [&item["parameters"], &operation["parameters"]];
        let described: Vec<&Value> = lists
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
            .map(|parameter| checker.resolve(parameter))
            .filter(|parameter| parameter["in"] == "query")
            .collect();
        for parameter in &described {
            let name = parameter["name"].as_str().unwrap_or_default();
            let values: Vec<&str> = given
                .iter()
                .filter(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
                .collect();
            if values.is_empty() {
                if parameter["required"] == Value::Bool(true) {
                    mistakes.0.push(format!("query: {name} is missing"));
                }
                continue;
            }
            let schema = checker.resolve(&parameter["schema"]);
            let value = query_value(checker, schema, &values);
            checker.check(schema, &value, &format!("query.{name}"), mistakes);
        }
        for (name, _) in &given {
            if !described
                .iter()
                .any(|parameter| parameter["name"] == name.as_str())
            {
                mistakes
                    .0
                    .push(format!("query: unknown parameter {name}"));
            }
        }
    }
}

/// Parses a boolean query parameter in any spelling that Neon accepts.
pub(crate) fn flag(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Some(true),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => Some(false),
        _ => None,
    }
}

/// The value of a query parameter, according to its schema.
fn query_value(checker: Checker<'_>, schema: &Value, values: &[&str]) -> Value {
    if schema["type"] == "array" {
        let item = checker.resolve(&schema["items"]);
        return values
            .iter()
            .map(|value| scalar(item, value))
            .collect::<Value>();
    }
    scalar(schema, values.first().copied().unwrap_or_default())
}

fn scalar(schema: &Value, text: &str) -> Value {
    match schema["type"].as_str() {
        Some("boolean") => flag(text).map_or_else(|| text.into(), Value::Bool),
        Some("integer" | "number") => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        _ => text.into(),
    }
}

/// The document that calls are checked against, and the violations so far. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Conformance {
    document: Option<Arc<Document>>,
    found: Arc<Mutex<Vec<String>>>,
}

impl Conformance {
    pub(crate) fn new(document: Option<Arc<Document>>) -> Self {
        Self {
            document,
            found: Arc::default(),
        }
    }

    /// Whether there is a document to check against.
    pub fn is_checked(&self) -> bool {
        self.document.is_some()
    }

    pub(crate) fn check(&self, exchange: &Exchange<'_>) {
        let Some(document) = &self.document else {
            return;
        };
        let mistakes = document.check(exchange);
        if mistakes.is_empty() {
            return;
        }
        for mistake in &mistakes {
            tracing::error!(violation = mistake.as_str(), "call violates the OpenAPI document");
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT_MAX.saturating_sub(found.len());
        found.extend(mistakes.into_iter().take(room));
    }

    /// All violations so far.
    pub fn found(&self) -> Vec<String> {
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
