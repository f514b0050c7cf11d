//! Responses with unknown fields, unknown enum values and missing optional fields. Known values
//! round-trip.

use std::fmt::Debug;

use neon_client::model;
use proptest::{prelude::*, sample::Index};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::samples;

/// Random choices that turn a sample into a response. They are used in order and repeated when they
/// are used up.
#[derive(Debug)]
struct Choices {
    keep: Vec<bool>,
    enum_values: Vec<String>,
    unknown_values: Vec<Value>,
    at: usize,
}

impl Choices {
    fn next(&mut self) -> usize {
        self.at += 1;
        self.at
    }
}

fn choices() -> impl Strategy<Value = Choices> {
    let keep = prop::collection::vec(any::<bool>(), 1..61);
    let enum_values = prop::collection::vec("[a-z_]{1,12}", 1..8);
    let unknown_values = prop::collection::vec(any_json(), 1..8);
    (keep, enum_values, unknown_values, any::<Index>()).prop_map(
        |(keep, enum_values, unknown_values, start)| Choices {
            keep,
            enum_values,
            unknown_values,
            at: start.index(1_000),
        },
    )
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Omits some optional fields and replaces some enum values.
fn vary(sample: &Value, choices: &mut Choices) -> Value {
    match sample {
        Value::Object(fields) => {
            let mut some = Map::new();
            for (name, value) in fields {
                let at = choices.next();
                let Some(optional) = name.strip_prefix('?') else {
                    some.insert(name.clone(), vary(value, choices));
                    continue;
                };
                if choices.keep[at % choices.keep.len()] {
                    some.insert(optional.to_owned(), vary(value, choices));
                }
            }
            some.into()
        }
        Value::Array(values) => values.iter().map(|one| vary(one, choices)).collect(),
        Value::String(text) if text.starts_with('*') => {
            let at = choices.next();
            let known = choices.keep[at % choices.keep.len()];
            let new = &choices.enum_values[at % choices.enum_values.len()];
            Value::from(if known { &text[1..] } else { new })
        }
        other => other.clone(),
    }
}

/// Maps with arbitrary keys. An unknown field would be a valid entry.
const FREE_MAPS: [&str; 2] = ["pg_settings", "pgbouncer_settings"];

/// Adds an unknown field to every object.
fn with_unknown_fields(value: &Value, choices: &mut Choices) -> Value {
    match value {
        Value::Object(fields) => {
            let mut more: Map<_, _> = fields
                .iter()
                .map(|(name, value)| {
                    let free = FREE_MAPS.contains(&name.as_str()) || name == "auth_accounts";
                    let value = if free {
                        value.clone()
                    } else {
                        with_unknown_fields(value, choices)
                    };
                    (name.clone(), value)
                })
                .collect();
            let at = choices.next();
            let any_json = &choices.unknown_values[at % choices.unknown_values.len()];
            more.insert(format!("unknown_{at}"), any_json.clone());
            more.into()
        }
        Value::Array(values) => values
            .iter()
            .map(|one| with_unknown_fields(one, choices))
            .collect(),
        other => other.clone(),
    }
}

/// Whether `written` contains everything in `given`. Absent fields may be written as defaults.
fn is_preserved(given: &Value, written: &Value) -> bool {
    match (given, written) {
        (Value::Object(given), Value::Object(written)) => given.iter().all(|(name, value)| {
            written
                .get(name)
                .is_some_and(|written| is_preserved(value, written))
        }),
        (Value::Array(given), Value::Array(written)) => {
            given.len() == written.len()
                && given.iter().zip(written).all(|(a, b)| is_preserved(a, b))
        }
        (Value::Number(given), Value::Number(written)) => given.as_f64() == written.as_f64(),
        (given, written) => given == written,
    }
}

fn tolerates<T: DeserializeOwned + Serialize + Debug>(
    sample: &Value,
    mut choices: Choices,
) -> Result<(), TestCaseError> {
    let known = vary(sample, &mut choices);
    let sent = with_unknown_fields(&known, &mut choices);
    let read: T = serde_json::from_value(sent.clone())
        .map_err(|error| TestCaseError::fail(format!("{error}: {sent:#}")))?;
    let written = serde_json::to_value(&read).unwrap();
    prop_assert!(
        is_preserved(&known, &written),
        "{known:#}\nwas serialized as\n{written:#}"
    );
    prop_assert!(!written.to_string().contains("unknown_"), "{written:#}");
    Ok(())
}

macro_rules! tolerant {
    ($($name:ident: $type:ty = $sample:ident;)+) => {
        proptest! {
            $(
                #[test]
                fn $name(choices in choices()) {
                    tolerates::<$type>(&samples::$sample(), choices)?;
                }
            )+
        }
    };
}

tolerant! {
    a_project_tolerates_unknown_data: model::Project = project;
    a_created_project_tolerates_unknown_data: model::CreatedProject = created_project;
    a_page_of_projects_tolerates_unknown_data: model::ProjectPage = project_page;
    a_branch_tolerates_unknown_data: model::Branch = branch;
    a_created_branch_tolerates_unknown_data: model::CreatedBranch = created_branch;
    a_created_snapshot_tolerates_unknown_data: model::CreatedSnapshot = created_snapshot;
    a_list_of_snapshots_tolerates_unknown_data: model::SnapshotList = snapshot_list;
    a_restored_snapshot_tolerates_unknown_data: model::RestoredSnapshot = restored_snapshot;
    a_page_of_branches_tolerates_unknown_data: model::BranchPage = branch_page;
    a_compute_tolerates_unknown_data: model::Endpoint = endpoint;
    an_operation_tolerates_unknown_data: model::Operation = operation;
    a_page_of_operations_tolerates_unknown_data: model::OperationPage = operation_page;
    a_role_tolerates_unknown_data: model::RoleOperations = role_operations;
    a_database_tolerates_unknown_data: model::DatabaseOperations = database_operations;
    consumption_tolerates_unknown_data: model::ProjectConsumptionPage = consumption_page;
    a_user_tolerates_unknown_data: model::CurrentUser = user;
    an_organization_tolerates_unknown_data: model::Organization = organization;
    a_region_tolerates_unknown_data: model::Region = region;
}
