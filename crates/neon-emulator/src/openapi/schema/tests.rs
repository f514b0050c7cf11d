use serde_json::json;

use super::*;

fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let root = json!({
        "components": {"schemas": {"Id": {"type": "string", "pattern": "^[a-z]{1,3}$"}}},
        "schema": schema
    });
    let mut violations = SchemaViolations::default();
    Checker { root: &root }.check(&root["schema"], value, "it", &mut violations);
    violations.0
}

#[test]
fn valid_values_have_no_violations() {
    let schema = json!({"allOf": [
        {"type": "object", "required": ["id"], "properties": {"id": {"$ref": "#/components/schemas/Id"}}},
        {"type": "object", "properties": {"at": {"type": "string", "format": "date-time", "nullable": true},
                                           "n": {"type": "integer", "format": "int32", "minimum": 1}}}
    ]});
    for value in [
        json!({"id": "a"}),
        json!({"id": "abc", "at": null, "n": 7}),
        json!({"id": "a", "at": "2026-01-02T03:04:05Z"}),
    ] {
        assert_eq!(violations(&schema, &value), Vec::<String>::new(), "{value}");
    }
}

#[test]
fn every_kind_of_violation_is_reported() {
    let object = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "enum": ["x"]}}});
    let table = [
        (object.clone(), json!({}), "it: property a is missing"),
        (
            object.clone(),
            json!({"a": "x", "b": 1}),
            "it: unknown property b",
        ),
        (
            object.clone(),
            json!({"a": "y"}),
            "it.a: \"y\" is not one of the allowed values",
        ),
        (object.clone(), json!({"a": null}), "it.a: must not be null"),
        (object, json!([]), "it: must be of type object"),
        (
            json!({"type": "array", "items": {"type": "integer"}, "maxItems": 1}),
            json!([1, 2]),
            "it: size 2 is out of range",
        ),
        (
            json!({"type": "array", "items": {"type": "integer"}}),
            json!([1, "a"]),
            "it[1]: must be of type integer",
        ),
        (
            json!({"type": "number", "minimum": 0.25}),
            json!(0.1),
            "it: 0.1 is out of range",
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(3_000_000_000_u32),
            "it: 3000000000 does not match its format",
        ),
        (
            json!({"type": "string", "format": "uuid"}),
            json!("x"),
            "it: \"x\" does not match its format",
        ),
        (
            json!({"$ref": "#/components/schemas/Id"}),
            json!("abcd"),
            "it: \"abcd\" does not match ^[a-z]{1,3}$",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"a": 1}),
            "it.a: must be of type string",
        ),
        (
            json!({"type": "string", "frobnicate": 1}),
            json!("x"),
            "it: unsupported keyword frobnicate",
        ),
        (
            json!({"$ref": "#/nowhere"}),
            json!("x"),
            "it: the document has no schema",
        ),
        (
            json!({"oneOf": [{"type": "string"}, {"type": "integer"}]}),
            json!(true),
            "it: matches none of oneOf",
        ),
    ];
    for (schema, value, expected) in table {
        assert_eq!(violations(&schema, &value), [expected]);
    }
}
