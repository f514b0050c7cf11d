//! The shape of responses: the fields and their JSON types. Two implementations of the same API
//! have the same shape.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

/// Replaces a field name that is an ID.
const ID: &str = "{id}";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum JsonType {
    Null,
    Boolean,
    Number,
    Text,
    Empty,
}

impl fmt::Display for JsonType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::Text => "text",
            Self::Empty => "empty",
        })
    }
}

/// All fields of the responses, with their JSON types.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    fields: BTreeMap<String, BTreeSet<JsonType>>,
    /// Rejected calls, whose responses are unknown.
    rejected: BTreeSet<String>,
}

impl Shape {
    /// Adds the response to a call. Field names that are in `ids` are treated as equal.
    pub(crate) fn add(&mut self, call: &str, answer: &Value, ids: &[&str]) {
        match answer {
            Value::Object(object) if !object.is_empty() => {
                for (name, value) in object {
                    let name = if ids.contains(&name.as_str()) {
                        ID
                    } else {
                        name
                    };
                    self.add(&format!("{call} .{name}"), value, ids);
                }
            }
            Value::Array(values) if !values.is_empty() => {
                for value in values {
                    self.add(&format!("{call}[]"), value, ids);
                }
            }
            leaf => {
                let json_type = match leaf {
                    Value::Null => JsonType::Null,
                    Value::Bool(_) => JsonType::Boolean,
                    Value::Number(_) => JsonType::Number,
                    Value::String(_) => JsonType::Text,
                    Value::Object(_) | Value::Array(_) => JsonType::Empty,
                };
                self.fields
                    .entry(call.to_owned())
                    .or_default()
                    .insert(json_type);
            }
        }
    }

    pub(crate) fn record_rejection(&mut self, call: &str) {
        self.rejected.insert(call.to_owned());
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether this field is unknown, because the call was rejected or because its parent was
    /// empty.
    fn is_unknown(&self, field: &str) -> bool {
        let is_rejected = |call: &String| field.starts_with(&format!("{call} "));
        self.rejected.iter().any(is_rejected)
            || self.fields.iter().any(|(parent, types)| {
                let within = field.strip_prefix(parent.as_str());
                let below =
                    within.is_some_and(|rest| rest.starts_with(" .") || rest.starts_with("[]"));
                below
                    && types
                        .iter()
                        .all(|json_type| matches!(json_type, JsonType::Null | JsonType::Empty))
            })
    }

    fn has_below(&self, parent: &str) -> bool {
        self.fields.keys().any(|field| {
            let within = field.strip_prefix(parent);
            within.is_some_and(|rest| rest.starts_with(" .") || rest.starts_with("[]"))
        })
    }
}

/// The differences between the service and an emulator.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Fields of the service that the emulator lacks.
    pub(crate) missing: Vec<String>,
    /// Fields of the emulator that the service lacks.
    pub(crate) invented: Vec<String>,
    pub(crate) different_types: Vec<String>,
}

impl Difference {
    pub(crate) fn between(service: &Shape, emulator: &Shape) -> Self {
        let only = |one: &Shape, other: &Shape| -> Vec<String> {
            let fields = one.fields.keys().filter(|field| {
                !other.fields.contains_key(*field)
                    && !other.is_unknown(field)
                    // An empty list or object on one side, and a non-empty one on the other.
                    && !other.has_below(field)
            });
            fields.cloned().collect()
        };
        let different_types = service.fields.iter().filter_map(|(field, service_types)| {
            let emulator_types = emulator.fields.get(field)?;
            let without_null = |types: &BTreeSet<JsonType>| -> BTreeSet<JsonType> {
                types
                    .iter()
                    .copied()
                    .filter(|json_type| *json_type != JsonType::Null)
                    .collect()
            };
            let (service_types, emulator_types) =
                (without_null(service_types), without_null(emulator_types));
            let differ = !service_types.is_empty()
                && !emulator_types.is_empty()
                && service_types.is_disjoint(&emulator_types);
            let names = |types: BTreeSet<JsonType>| -> Vec<String> {
                types.iter().map(JsonType::to_string).collect()
            };
            differ.then(|| {
                let (service_types, emulator_types) = (
                    names(service_types).join(" or "),
                    names(emulator_types).join(" or "),
                );
                format!("{field}: {service_types} in the service, {emulator_types} in the emulator")
            })
        });
        Self {
            missing: only(service, emulator),
            invented: only(emulator, service),
            different_types: different_types.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(answer: &Value) -> Shape {
        let mut shape = Shape::default();
        shape.add("GET /x", answer, &["p-1", "p-2"]);
        shape
    }

    fn between(service: &Value, emulator: &Value) -> Difference {
        Difference::between(&shape(service), &shape(emulator))
    }

    #[test]
    fn responses_of_the_same_shape_do_not_differ() {
        let service =
            json!({"a": 1, "list": [{"b": "x"}, {"b": null}], "by_id": {"p-1": {"c": true}}});
        let emulator = json!({"a": 0.5, "list": [{"b": "y"}], "by_id": {"p-2": {"c": false}}});
        assert_eq!(between(&service, &emulator), Difference::default());
    }

    #[test]
    fn missing_and_invented_fields_and_different_types_are_reported() {
        let difference = between(
            &json!({"a": 1, "b": {"new": 1}}),
            &json!({"a": "1", "b": {"old": 1}}),
        );
        assert_eq!(difference.missing, ["GET /x .b .new"]);
        assert_eq!(difference.invented, ["GET /x .b .old"]);
        assert_eq!(
            difference.different_types,
            ["GET /x .a: number in the service, text in the emulator"]
        );
    }

    #[test]
    fn empty_and_rejected_responses_do_not_differ() {
        for nothing in [json!([]), json!(null)] {
            let full = json!({"list": [{"a": 1}]});
            assert_eq!(
                between(&json!({"list": nothing}), &full),
                Difference::default()
            );
            assert_eq!(
                between(&full, &json!({"list": nothing})),
                Difference::default()
            );
        }
        let mut rejected = Shape::default();
        rejected.record_rejection("GET /x");
        let full = shape(&json!({"a": 1}));
        assert_eq!(Difference::between(&rejected, &full), Difference::default());
    }
}
