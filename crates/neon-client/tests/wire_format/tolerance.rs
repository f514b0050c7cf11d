//! Answers of tomorrow: fields that the client does not know, words that it does not know, and fields that are no longer sent. What
//! is there and known is read as it came.

use std::fmt::Debug;

use neon_client::model;
use proptest::{prelude::*, sample::Index};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::samples;

/// The choices that make an answer of a sample: taken in turn, from the beginning again when they are used up.
#[derive(Debug)]
struct Choices {
    keep: Vec<bool>,
    words: Vec<String>,
    strangers: Vec<Value>,
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
    let words = prop::collection::vec("[a-z_]{1,12}", 1..8);
    let strangers = prop::collection::vec(stranger(), 1..8);
    (keep, words, strangers, any::<Index>()).prop_map(|(keep, words, strangers, start)| Choices {
        keep,
        words,
        strangers,
        at: start.index(1_000),
    })
}

/// Any JSON.
fn stranger() -> impl Strategy<Value = Value> {
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

/// The sample with some of what may be absent, and with other words.
fn thinned(sample: &Value, choices: &mut Choices) -> Value {
    match sample {
        Value::Object(fields) => {
            let mut some = Map::new();
            for (name, value) in fields {
                let at = choices.next();
                let Some(optional) = name.strip_prefix('?') else {
                    some.insert(name.clone(), thinned(value, choices));
                    continue;
                };
                if choices.keep[at % choices.keep.len()] {
                    some.insert(optional.to_owned(), thinned(value, choices));
                }
            }
            some.into()
        }
        Value::Array(values) => values.iter().map(|one| thinned(one, choices)).collect(),
        Value::String(text) if text.starts_with('*') => {
            let at = choices.next();
            let known = choices.keep[at % choices.keep.len()];
            let new = &choices.words[at % choices.words.len()];
            Value::from(if known { &text[1..] } else { new })
        }
        other => other.clone(),
    }
}

/// Maps whose names are somebody else's: a stranger among them would be theirs.
const FREE_MAPS: [&str; 2] = ["pg_settings", "pgbouncer_settings"];

/// The same with a field in every object that the client does not know.
fn with_strangers(value: &Value, choices: &mut Choices) -> Value {
    match value {
        Value::Object(fields) => {
            let mut more: Map<_, _> = fields
                .iter()
                .map(|(name, value)| {
                    let free = FREE_MAPS.contains(&name.as_str()) || name == "auth_accounts";
                    let value = if free {
                        value.clone()
                    } else {
                        with_strangers(value, choices)
                    };
                    (name.clone(), value)
                })
                .collect();
            let at = choices.next();
            let stranger = &choices.strangers[at % choices.strangers.len()];
            more.insert(format!("tomorrow_{at}"), stranger.clone());
            more.into()
        }
        Value::Array(values) => values
            .iter()
            .map(|one| with_strangers(one, choices))
            .collect(),
        other => other.clone(),
    }
}

/// Whether everything in `given` stands in `written` as it came. What was absent may be written as its default.
fn kept(given: &Value, written: &Value) -> bool {
    match (given, written) {
        (Value::Object(given), Value::Object(written)) => given.iter().all(|(name, value)| {
            written
                .get(name)
                .is_some_and(|written| kept(value, written))
        }),
        (Value::Array(given), Value::Array(written)) => {
            given.len() == written.len() && given.iter().zip(written).all(|(a, b)| kept(a, b))
        }
        (Value::Number(given), Value::Number(written)) => given.as_f64() == written.as_f64(),
        (given, written) => given == written,
    }
}

fn tolerates<T: DeserializeOwned + Serialize + Debug>(
    sample: &Value,
    mut choices: Choices,
) -> Result<(), TestCaseError> {
    let known = thinned(sample, &mut choices);
    let sent = with_strangers(&known, &mut choices);
    let read: T = serde_json::from_value(sent.clone())
        .map_err(|error| TestCaseError::fail(format!("{error}: {sent:#}")))?;
    let written = serde_json::to_value(&read).unwrap();
    prop_assert!(
        kept(&known, &written),
        "{known:#}\nwas written as\n{written:#}"
    );
    prop_assert!(!written.to_string().contains("tomorrow_"), "{written:#}");
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
    a_project_of_tomorrow_is_read: model::Project = project;
    a_creation_of_tomorrow_is_read: model::CreatedProject = created_project;
    a_page_of_projects_of_tomorrow_is_read: model::ProjectPage = project_page;
    a_branch_of_tomorrow_is_read: model::Branch = branch;
    a_new_branch_of_tomorrow_is_read: model::CreatedBranch = created_branch;
    a_page_of_branches_of_tomorrow_is_read: model::BranchPage = branch_page;
    a_compute_of_tomorrow_is_read: model::Endpoint = endpoint;
    an_operation_of_tomorrow_is_read: model::Operation = operation;
    a_page_of_operations_of_tomorrow_is_read: model::OperationPage = operation_page;
    a_role_of_tomorrow_is_read: model::RoleOperations = role_operations;
    a_database_of_tomorrow_is_read: model::DatabaseOperations = database_operations;
    consumption_of_tomorrow_is_read: model::ProjectConsumptionPage = consumption_page;
    a_user_of_tomorrow_is_read: model::CurrentUser = user;
    an_organization_of_tomorrow_is_read: model::Organization = organization;
    a_region_of_tomorrow_is_read: model::Region = region;
}
