//! Checks calls against Neon's OpenAPI document.
//!
//! The document is not part of this project. Download it (`make test` gets it from the package
//! registry) and configure its path. Every response of the emulator, and every request that it
//! accepts, is then checked against the document, and deviations are recorded. Rejected requests
//! may be invalid; accepted requests must be requests that Neon would accept.

mod schema;

use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::Value;

use self::schema::{Checker, SchemaViolations};

/// The environment variable with the path of the document, for programs and tests.
pub const DOCUMENT_VARIABLE: &str = "NEON_EMULATOR_DOCUMENT";
/// Maximum number of recorded violations.
const MAX_VIOLATIONS: usize = 200;
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("failed to read {path}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not an OpenAPI document: {problem}")]
    Parse { path: PathBuf, problem: String },
}

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
    pub(crate) response: &'a [u8],
}

impl Document {
    /// Reads a document in YAML or JSON format.
    pub fn read(path: &Path) -> Result<Arc<Self>, DocumentError> {
        let text = std::fs::read_to_string(path).map_err(|source| DocumentError::Read {
            path: path.to_owned(),
            source,
        })?;
        let parse_error = |problem: String| DocumentError::Parse {
            path: path.to_owned(),
            problem,
        };
        let root: Value =
            serde_yaml::from_str(&text).map_err(|error| parse_error(error.to_string()))?;
        if !root["paths"].is_object() {
            return Err(parse_error("`paths` is missing".to_owned()));
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
        let mut violations = SchemaViolations::default();
        self.check_response(operation, exchange, &mut violations);
        if exchange.status.is_success() {
            self.check_query(item, operation, exchange.query, &mut violations);
            self.check_body(operation, exchange.request, &mut violations);
        }
        let call = format!("{} {}", exchange.method, exchange.template);
        let describe =
            |violation: String| format!("{call} ({}): {violation}", exchange.status.as_u16());
        violations.0.into_iter().map(describe).collect()
    }

    fn checker(&self) -> Checker<'_> {
        Checker { root: &self.root }
    }

    fn check_response(
        &self,
        operation: &Value,
        exchange: &Exchange<'_>,
        violations: &mut SchemaViolations,
    ) {
        let checker = self.checker();
        let responses = &operation["responses"];
        let status = exchange.status.as_str();
        let response = responses.get(status).or_else(|| responses.get("default"));
        let Some(response) = response else {
            return violations
                .0
                .push(format!("the document has no response {status}"));
        };
        let content = checker.resolve(response).get("content");
        let Some(schema) = content.map(|content| &content["application/json"]["schema"]) else {
            if !exchange.response.is_empty() {
                violations.0.push("response: should be empty".to_owned());
            }
            return;
        };
        match serde_json::from_slice(exchange.response) {
            Ok(value) => checker.check(schema, &value, "response", violations),
            Err(_) => violations.0.push("response: not JSON".to_owned()),
        }
    }

    fn check_body(&self, operation: &Value, body: &[u8], violations: &mut SchemaViolations) {
        let checker = self.checker();
        let described = checker.resolve(&operation["requestBody"]);
        let schema = &described["content"]["application/json"]["schema"];
        if schema.is_null() || body.is_empty() {
            if described["required"] == Value::Bool(true) {
                violations.0.push("request: the body is missing".to_owned());
            }
            return;
        }
        match serde_json::from_slice(body) {
            Ok(value) => checker.check(schema, &value, "request", violations),
            Err(_) => violations.0.push("request: not JSON".to_owned()),
        }
    }

    fn check_query(
        &self,
        item: &Value,
        operation: &Value,
        query: &str,
        violations: &mut SchemaViolations,
    ) {
        let checker = self.checker();
        let parameters: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
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
            let values: Vec<&str> = parameters
                .iter()
                .filter(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
                .collect();
            if values.is_empty() {
                if parameter["required"] == Value::Bool(true) {
                    violations.0.push(format!("query: {name} is missing"));
                }
                continue;
            }
            let schema = checker.resolve(&parameter["schema"]);
            let value = query_value(checker, schema, &values);
            checker.check(schema, &value, &format!("query.{name}"), violations);
        }
        for (name, _) in &parameters {
            if !described
                .iter()
                .any(|parameter| parameter["name"] == name.as_str())
            {
                violations
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
    recorded: Arc<Mutex<Vec<String>>>,
}

impl Conformance {
    pub(crate) fn new(document: Option<Arc<Document>>) -> Self {
        Self {
            document,
            recorded: Arc::default(),
        }
    }

    /// Whether there is a document to check against.
    pub fn is_enabled(&self) -> bool {
        self.document.is_some()
    }

    pub(crate) fn check(&self, exchange: &Exchange<'_>) {
        let Some(document) = &self.document else {
            return;
        };
        let violations = document.check(exchange);
        if violations.is_empty() {
            return;
        }
        for violation in &violations {
            tracing::error!(
                violation = violation.as_str(),
                "call violates the OpenAPI document"
            );
        }
        let mut recorded = self.recorded.lock();
        let room = MAX_VIOLATIONS.saturating_sub(recorded.len());
        recorded.extend(violations.into_iter().take(room));
    }

    /// All violations so far.
    pub fn violations(&self) -> Vec<String> {
        self.recorded.lock().clone()
    }
}
