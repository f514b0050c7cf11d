//! Validates values against OpenAPI 3.0 schemas, for the subset of JSON Schema that the document
//! uses.
//!
//! The validation is stricter than the standard in two ways. A property that no schema of an object
//! names is a violation, because the document should be complete. An unknown keyword is a violation
//! too, so that nothing goes unchecked when the document starts to use a new one.

mod values;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use self::values::{bounds, check_number, check_text, is_of_type};

/// Keywords that do not restrict values.
const ANNOTATIONS: &[&str] = &[
    "default",
    "deprecated",
    "description",
    "discriminator",
    "example",
    "examples",
    "externalDocs",
    "title",
    "readOnly",
    "writeOnly",
];

const CHECKED: &[&str] = &[
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "nullable",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
];

/// Maximum nesting of schemas, to stop at recursive references.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone, Copy)]
pub(in crate::openapi) struct Checker<'a> {
    pub(in crate::openapi) root: &'a Value,
}

/// Violations, each with its location.
#[derive(Debug, Default)]
pub(in crate::openapi) struct SchemaViolations(pub(in crate::openapi) Vec<String>);

impl SchemaViolations {
    fn add(&mut self, at: &str, what: impl AsRef<str>) {
        self.0.push(format!("{at}: {}", what.as_ref()));
    }
}

impl<'a> Checker<'a> {
    /// Follows references. Other objects resolve to themselves.
    pub(in crate::openapi) fn resolve(self, mut object: &'a Value) -> &'a Value {
        for _ in 0..MAX_DEPTH {
            let Some(path) = object.get("$ref").and_then(Value::as_str) else {
                return object;
            };
            let Some(found) = path
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer))
            else {
                return &Value::Null;
            };
            object = found;
        }
        &Value::Null
    }

    /// Checks the value at location `at`.
    pub(in crate::openapi) fn check(
        self,
        schema: &'a Value,
        value: &Value,
        at: &str,
        violations: &mut SchemaViolations,
    ) {
        self.check_within(schema, value, at, violations, true, MAX_DEPTH);
    }

    fn check_within(
        self,
        schema: &'a Value,
        value: &Value,
        at: &str,
        violations: &mut SchemaViolations,
        whole: bool,
        depth: usize,
    ) {
        let Some(schema) = self.resolve(schema).as_object() else {
            return violations.add(at, "the document has no schema");
        };
        let Some(depth) = depth.checked_sub(1) else {
            return violations.add(at, "the schema is nested too deeply");
        };
        for keyword in schema.keys() {
            let known = ANNOTATIONS.contains(&keyword.as_str())
                || CHECKED.contains(&keyword.as_str())
                || keyword.starts_with("x-");
            if !known {
                violations.add(at, format!("unsupported keyword {keyword}"));
            }
        }
        if value.is_null() {
            if schema.get("nullable") != Some(&Value::Bool(true)) {
                violations.add(at, "must not be null");
            }
            return;
        }
        for part in list(schema, "allOf") {
            self.check_within(part, value, at, violations, false, depth);
        }
        for keyword in ["oneOf", "anyOf"] {
            let choices = list(schema, keyword);
            let fits = |choice: &'a Value| {
                let mut tried = SchemaViolations::default();
                self.check_within(choice, value, at, &mut tried, true, depth);
                tried.0.is_empty()
            };
            if !choices.is_empty() && !choices.iter().any(fits) {
                violations.add(at, format!("matches none of {keyword}"));
            }
        }
        if let Some(expected) = schema.get("type").and_then(Value::as_str)
            && !is_of_type(value, expected)
        {
            return violations.add(at, format!("must be of type {expected}"));
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array)
            && !words.contains(value)
        {
            violations.add(at, format!("{value} is not one of the allowed values"));
        }
        match value {
            Value::String(text) => check_text(schema, text, at, violations),
            Value::Number(number) => check_number(schema, number, at, violations),
            Value::Array(values) => {
                bounds(
                    schema,
                    ["minItems", "maxItems"],
                    values.len(),
                    at,
                    violations,
                );
                if let Some(items) = schema.get("items") {
                    for (index, value) in values.iter().enumerate() {
                        let at = format!("{at}[{index}]");
                        self.check_within(items, value, &at, violations, true, depth);
                    }
                }
            }
            Value::Object(object) => {
                self.check_object(schema, object, at, violations, whole, depth);
            }
            _ => {}
        }
    }

    fn check_object(
        self,
        schema: &'a Map<String, Value>,
        object: &Map<String, Value>,
        at: &str,
        violations: &mut SchemaViolations,
        whole: bool,
        depth: usize,
    ) {
        bounds(
            schema,
            ["minProperties", "maxProperties"],
            object.len(),
            at,
            violations,
        );
        for name in list(schema, "required").iter().filter_map(Value::as_str) {
            if !object.contains_key(name) {
                violations.add(at, format!("property {name} is missing"));
            }
        }
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                if let Some(value) = object.get(name) {
                    let at = format!("{at}.{name}");
                    self.check_within(property, value, &at, violations, true, depth);
                }
            }
        }
        // Only the schema that contains an `allOf` knows all allowed properties.
        let mut known = KnownProperties::default();
        if whole {
            self.names(schema, &mut known, depth);
        }
        if let Some(rest) = schema
            .get("additionalProperties")
            .filter(|rest| rest.is_object())
        {
            let named = schema.get("properties").and_then(Value::as_object);
            for (name, value) in object {
                if named.is_none_or(|named| !named.contains_key(name)) {
                    let at = format!("{at}.{name}");
                    self.check_within(rest, value, &at, violations, true, depth);
                }
            }
        } else if whole && !known.open {
            for name in object
                .keys()
                .filter(|name| !known.names.contains(name.as_str()))
            {
                violations.add(at, format!("unknown property {name}"));
            }
        }
    }

    /// Collects the property names of a schema and its parts.
    fn names(self, schema: &'a Map<String, Value>, known: &mut KnownProperties<'a>, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else {
            return;
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        known.names.extend(
            properties
                .into_iter()
                .flatten()
                .map(|(name, _)| name.as_str()),
        );
        let parts: Vec<&Value> = ["allOf", "oneOf", "anyOf"]
            .iter()
            .flat_map(|keyword| list(schema, keyword))
            .collect();
        known.open |= match schema.get("additionalProperties") {
            Some(Value::Bool(open)) => *open,
            Some(_) => true,
            // An object schema without any restriction allows all properties.
            None => properties.is_none() && parts.is_empty(),
        };
        for part in parts {
            if let Some(part) = self.resolve(part).as_object() {
                self.names(part, known, depth);
            }
        }
    }
}

/// The properties that an object may have.
#[derive(Default)]
struct KnownProperties<'a> {
    names: BTreeSet<&'a str>,
    /// Any property is allowed.
    open: bool,
}

fn list<'a>(schema: &'a Map<String, Value>, keyword: &str) -> &'a [Value] {
    schema
        .get(keyword)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;
