//! A JSON schema of the settings file, for editors and for the `config` value of the charts.

use std::any::TypeId;
use std::time::Duration;

use clap::{Arg, ArgAction, Command};
use serde_json::{Value, json};

use super::sources::{SECRET_FILE, is_secret, is_setting, name};
use super::values::DURATION_PATTERN;

/// The JSON schema of a program's settings file: an object with one property for each setting,
/// and no others. Settings that are secrets appear as the file that holds them (`<name>-file`).
pub fn file_schema<P: clap::Parser>() -> Value {
    let command = P::command();
    let leaves: Vec<&Command> = if command.has_subcommands() {
        command.get_subcommands().collect()
    } else {
        vec![&command]
    };
    let properties: serde_json::Map<String, Value> = leaves
        .iter()
        .flat_map(|command| command.get_arguments())
        .filter(|arg| is_setting(arg))
        .map(property)
        .collect();
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

/// A chart's `values.schema.json` with this schema for its value `config`. `reserved` are the
/// settings that the chart sets from other values.
pub fn chart_schema(
    chart: &str,
    mut file_schema: Value,
    reserved: &[&str],
) -> serde_json::Result<String> {
    let mut chart: Value = serde_json::from_str(chart)?;
    if let Some(settings) = file_schema["properties"].as_object_mut() {
        settings.retain(|name, _| !reserved.contains(&name.as_str()));
    }
    chart["properties"]["config"] = file_schema;
    Ok(serde_json::to_string_pretty(&chart)? + "\n")
}

fn property(arg: &Arg) -> (String, Value) {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    if is_secret(arg) {
        let key = format!("{}{SECRET_FILE}", name(arg));
        let help = format!("Path of a file with this secret: {help}");
        return (key, json!({"type": "string", "description": help}));
    }
    let mut schema = value_schema(arg);
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".to_owned(), help.into());
    }
    (name(arg).to_owned(), schema)
}

fn value_schema(arg: &Arg) -> Value {
    let possible: Vec<String> = arg
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    let kind = arg.get_value_parser().type_id();
    let is = |types: &[TypeId]| types.iter().any(|id| kind == *id);
    if !arg.get_action().takes_values() || is(&[TypeId::of::<bool>()]) {
        json!({"type": "boolean"})
    } else if !possible.is_empty() {
        json!({"enum": possible})
    } else if is(&[TypeId::of::<Duration>()]) {
        json!({"type": "string", "pattern": DURATION_PATTERN})
    } else if is(&[
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<std::num::NonZeroU32>(),
        TypeId::of::<std::num::NonZeroUsize>(),
    ]) {
        json!({"type": "integer"})
    } else if is(&[TypeId::of::<super::Ratio>()]) {
        json!({"type": "number", "minimum": 0, "maximum": 1})
    } else if matches!(arg.get_action(), ArgAction::Append) || arg.get_value_delimiter().is_some() {
        json!({"type": ["string", "array"]})
    } else {
        json!({"type": ["string", "array", "number"]})
    }
}
