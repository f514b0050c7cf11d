//! The settings file: a flat YAML mapping from names to plain values or lists of plain values.

use std::collections::BTreeMap;
use std::path::Path;

use serde_yaml::{Mapping, Value};

use super::LoadError;

/// Largest settings or secret file, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Reads the settings file. Lists are joined with commas, as flags and variables write them.
pub(super) fn read_settings(path: &Path) -> Result<BTreeMap<String, String>, LoadError> {
    let failed = |problem: String| LoadError::File {
        path: path.to_owned(),
        problem,
    };
    let text = read_text(path).map_err(failed)?;
    let value: Value = serde_yaml::from_str(&text).map_err(|error| failed(error.to_string()))?;
    let mapping = match value {
        Value::Null => Mapping::new(),
        Value::Mapping(mapping) => mapping,
        _ => {
            return Err(failed(
                "it must contain one `name: value` pair per line".to_owned(),
            ));
        }
    };
    mapping
        .into_iter()
        .map(|(key, value)| match (key, plain(&value)) {
            (Value::String(key), Some(text)) => Ok((key, text)),
            (Value::String(key), None) => Err(failed(format!(
                "{key} must be a plain value or a list of plain values, such as `{key}: value`"
            ))),
            (key, _) => Err(failed(format!("{key:?} is not the name of a setting"))),
        })
        .collect()
}

/// Reads a file that contains one secret, without the line break that editors add at the end.
pub(super) fn read_secret(path: &Path) -> Result<String, String> {
    let text = read_text(path)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        Err("the file is empty".to_owned())
    } else {
        Ok(secret.to_owned())
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if size.len() > MAX_FILE_BYTES {
        return Err(format!(
            "the file must have at most {MAX_FILE_BYTES} bytes (got {})",
            size.len()
        ));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        Value::Sequence(values) => {
            let values: Option<Vec<String>> = values
                .iter()
                .map(|value| match value {
                    Value::Sequence(_) => None,
                    value => plain(value),
                })
                .collect();
            Some(values?.join(","))
        }
        _ => None,
    }
}
