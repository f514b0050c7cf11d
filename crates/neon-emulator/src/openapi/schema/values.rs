//! Validates strings, numbers and sizes.

use jiff::Timestamp;
use regex_lite::Regex;
use serde_json::{Map, Value};

use super::SchemaViolations;

pub(super) fn is_of_type(value: &Value, expected: &str) -> bool {
    match expected {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

pub(super) fn check_text(
    schema: &Map<String, Value>,
    text: &str,
    at: &str,
    violations: &mut SchemaViolations,
) {
    bounds(
        schema,
        ["minLength", "maxLength"],
        text.chars().count(),
        at,
        violations,
    );
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        match Regex::new(pattern) {
            Ok(pattern) if pattern.is_match(text) => {}
            Ok(_) => violations.add(at, format!("{text:?} does not match {pattern}")),
            Err(_) => violations.add(at, format!("unsupported pattern {pattern}")),
        }
    }
    let fits = match schema.get("format").and_then(Value::as_str) {
        Some("date-time") => text.parse::<Timestamp>().is_ok(),
        Some("uuid") => uuid::Uuid::parse_str(text).is_ok(),
        Some("email") => text.contains('@'),
        Some("uri") => url::Url::parse(text).is_ok(),
        _ => true,
    };
    if !fits {
        violations.add(at, format!("{text:?} does not match its format"));
    }
}

pub(super) fn check_number(
    schema: &Map<String, Value>,
    number: &serde_json::Number,
    at: &str,
    violations: &mut SchemaViolations,
) {
    let value = number.as_f64().unwrap_or(f64::NAN);
    let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let too_small = limit("minimum").is_some_and(|least| value < least);
    let too_great = limit("maximum").is_some_and(|most| value > most);
    if too_small || too_great {
        violations.add(at, format!("{number} is out of range"));
    }
    let fits = match schema.get("format").and_then(Value::as_str) {
        Some("int32") => number
            .as_i64()
            .is_some_and(|value| i32::try_from(value).is_ok()),
        Some("int64") => number.is_i64(),
        Some("uint64") => number.is_u64(),
        _ => true,
    };
    if !fits {
        violations.add(at, format!("{number} does not match its format"));
    }
}

pub(super) fn bounds(
    schema: &Map<String, Value>,
    [least, most]: [&str; 2],
    count: usize,
    at: &str,
    violations: &mut SchemaViolations,
) {
    let limit = |keyword: &str| schema.get(keyword).and_then(Value::as_u64);
    let count = count as u64;
    if limit(least).is_some_and(|limit| count < limit)
        || limit(most).is_some_and(|limit| count > limit)
    {
        violations.add(at, format!("size {count} is out of range"));
    }
}
