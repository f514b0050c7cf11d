//! The API's own document, and what goes over the wire checked against it.
//!
//! The document is not part of this project: whoever wants to check gets it (`make test` does, from the package registry) and names the
//! file. Then every answer that the emulator gives, and every request that it accepts, is held against it, and what does not fit is kept
//! to be asked for. A request that is refused may be wrong; one that is accepted must be one that the service would accept.

mod schema;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, StatusCode};
use serde_json::Value;

use self::schema::{Checker, Mistakes};

/// The variable that names the document's file, for programs and tests.
pub const DOCUMENT_VARIABLE: &str = "NEON_EMULATOR_DOCUMENT";
/// Exchanges with mistakes that are kept.
const KEPT_MAX: usize = 200;
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no document of an API.
    #[error("{path} is no OpenAPI document: {problem}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// The API's document.
#[derive(Debug)]
pub struct Document {
    root: Value,
}

/// An operation that the document describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its HTTP method.
    pub method: Method,
    /// Its path below the base URL, with parameters in braces.
    pub path: String,
    /// Its name: `createProject`.
    pub name: String,
}

/// One call and its answer.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a Method,
    /// The path below the base URL, as the document writes it.
    pub(crate) template: &'a str,
    pub(crate) query: &'a str,
    pub(crate) request: &'a [u8],
    pub(crate) status: StatusCode,
    pub(crate) answer: &'a [u8],
}

impl Document {
    /// Reads a document, in YAML or JSON.
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
            return Err(wrong("it has no paths".to_owned()));
        }
        Ok(Arc::new(Self { root }))
    }

    /// The operations that it describes.
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

    /// What of a call and its answer does not fit.
    pub(crate) fn check(&self, exchange: &Exchange<'_>) -> Vec<String> {
        let method = exchange.method.as_str().to_lowercase();
        let item = &self.root["paths"][exchange.template];
        let operation = &item[method.as_str()];
        if operation.is_null() {
            return vec![format!(
                "{} {}: the document does not have it",
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
                .push(format!("the document has no answer {status}"));
        };
        let content = checker.resolve(answer).get("content");
        let Some(schema) = content.map(|content| &content["application/json"]["schema"]) else {
            if !exchange.answer.is_empty() {
                mistakes.0.push("answer: it should be empty".to_owned());
            }
            return;
        };
        match serde_json::from_slice(exchange.answer) {
            Ok(value) => checker.check(schema, &value, "answer", mistakes),
            Err(_) => mistakes.0.push("answer: it is no JSON".to_owned()),
        }
    }

    fn check_body(&self, operation: &Value, body: &[u8], mistakes: &mut Mistakes) {
        let checker = self.checker();
        let described = checker.resolve(&operation["requestBody"]);
        let schema = &described["content"]["application/json"]["schema"];
        if schema.is_null() || body.is_empty() {
            if described["required"] == Value::Bool(true) {
                mistakes.0.push("request: its body is missing".to_owned());
            }
            return;
        }
        match serde_json::from_slice(body) {
            Ok(value) => checker.check(schema, &value, "request", mistakes),
            Err(_) => mistakes.0.push("request: it is no JSON".to_owned()),
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
                    .push(format!("query: the document knows no {name}"));
            }
        }
    }
}

/// What a flag in a query means, in the spellings that the service takes.
pub(crate) fn flag(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Some(true),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => Some(false),
        _ => None,
    }
}

/// What stands in a query, as the value that its schema means.
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

/// The document that exchanges are held against, and what did not fit. Clones share it.
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

    /// Whether there is anything to hold exchanges against.
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
            tracing::error!("The API's document is not kept to: {mistake}");
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT_MAX.saturating_sub(found.len());
        found.extend(mistakes.into_iter().take(room));
    }

    /// What did not fit so far.
    pub fn found(&self) -> Vec<String> {
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
