use serde_json::json;

use super::*;

fn mistakes(schema: &Value, value: &Value) -> Vec<String> {
    let root = json!({
        "components": {"schemas": {"Id": {"type": "string", "pattern": "^[a-z]{1,3}$"}}},
        "schema": schema
    });
    let mut mistakes = Mistakes::default();
    Checker { root: &root }.check(&root["schema"], value, "it", &mut mistakes);
    mistakes.0
}

#[test]
fn what_fits_has_no_mistakes() {
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
        assert_eq!(mistakes(&schema, &value), Vec::<String>::new(), "{value}");
    }
}

#[test]
fn every_way_not_to_fit_is_found_and_named() {
    let object = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "enum": ["x"]}}});
    let table = [
        (object.clone(), json!({}), "it: a is missing"),
        (
            object.clone(),
            json!({"a": "x", "b": 1}),
            "it: the document knows no property b",
        ),
        (
            object.clone(),
            json!({"a": "y"}),
            "it.a: \"y\" is none of the words that the document has",
        ),
        (object.clone(), json!({"a": null}), "it.a: it is null"),
        (object, json!([]), "it: it is not of type object"),
        (
            json!({"type": "array", "items": {"type": "integer"}, "maxItems": 1}),
            json!([1, 2]),
            "it: it has 2, which is out of bounds",
        ),
        (
            json!({"type": "array", "items": {"type": "integer"}}),
            json!([1, "a"]),
            "it[1]: it is not of type integer",
        ),
        (
            json!({"type": "number", "minimum": 0.25}),
            json!(0.1),
            "it: 0.1 is out of bounds",
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(3_000_000_000_u32),
            "it: 3000000000 is not of its format",
        ),
        (
            json!({"type": "string", "format": "uuid"}),
            json!("x"),
            "it: \"x\" is not of its format",
        ),
        (
            json!({"$ref": "#/components/schemas/Id"}),
            json!("abcd"),
            "it: \"abcd\" does not fit ^[a-z]{1,3}$",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"a": 1}),
            "it.a: it is not of type string",
        ),
        (
            json!({"type": "string", "frobnicate": 1}),
            json!("x"),
            "it: the keyword frobnicate is not understood",
        ),
        (
            json!({"$ref": "#/nowhere"}),
            json!("x"),
            "it: the document has no schema for it",
        ),
        (
            json!({"oneOf": [{"type": "string"}, {"type": "integer"}]}),
            json!(true),
            "it: it fits none of oneOf",
        ),
    ];
    for (schema, value, expected) in table {
        assert_eq!(mistakes(&schema, &value), [expected]);
    }
}
