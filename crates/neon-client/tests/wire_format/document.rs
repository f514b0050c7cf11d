//! Deserializes every response that Neon's OpenAPI document describes, with only the required
//! fields and with all fields. `NEON_EMULATOR_DOCUMENT` is the path of the document, which is not
//! part of this repository (`make test` downloads it). Without it, these tests are skipped with a
//! message.

use neon_client::{Route, model};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

const DOCUMENT_VARIABLE: &str = "NEON_EMULATOR_DOCUMENT";
/// Maximum nesting of schemas. The responses that the client deserialize have no recursive schema.
const MAX_DEPTH: u32 = 24;

#[expect(clippy::print_stderr, reason = "reports that the test was skipped")]
fn document() -> Option<Value> {
    let Some(path) = std::env::var_os(DOCUMENT_VARIABLE) else {
        eprintln!("skipped: {DOCUMENT_VARIABLE} is not set");
        return None;
    };
    let text = std::fs::read_to_string(path).unwrap();
    Some(serde_yaml::from_str(&text).unwrap())
}

/// Which optional fields are present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OptionalFields {
    Absent,
    Present,
}

struct ResponseGenerator<'a> {
    document: &'a Value,
    optional_fields: OptionalFields,
}

impl<'a> ResponseGenerator<'a> {
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(path) => {
                let schema = self.document.pointer(path.trim_start_matches('#'));
                self.resolved(schema.unwrap())
            }
            None => schema,
        }
    }

    /// Returns a value of the schema. `name` is the name of its field.
    fn value(&self, schema: &'a Value, name: &str, depth: u32) -> Value {
        assert!(depth < MAX_DEPTH, "{name} is nested too deeply");
        let schema = self.resolved(schema);
        for several in ["oneOf", "anyOf"] {
            if let Some(first) = schema[several].get(0) {
                return self.value(first, name, depth + 1);
            }
        }
        if schema["allOf"].is_array() || schema["properties"].is_object() {
            let mut fields = Map::new();
            self.fields(schema, &mut fields, depth);
            return fields.into();
        }
        if let Some(first) = schema["enum"].get(0) {
            return first.clone();
        }
        match schema["type"].as_str() {
            Some("string") => text(schema, name).into(),
            Some("integer") => schema["minimum"].as_i64().unwrap_or(1).into(),
            Some("number") => json!(0.25),
            Some("boolean") => json!(true),
            Some("array") if self.optional_fields == OptionalFields::Absent => json!([]),
            Some("array") => json!([self.value(&schema["items"], name, depth + 1)]),
            _ => json!({}),
        }
    }

    fn fields(&self, schema: &'a Value, into: &mut Map<String, Value>, depth: u32) {
        let schema = self.resolved(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.fields(part, into, depth + 1);
        }
        let required = schema["required"].as_array();
        let must = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            if self.optional_fields == OptionalFields::Present || must(name) {
                into.insert(name.clone(), self.value(schema, name, depth + 1));
            }
        }
    }

    /// Returns a success response of the route.
    fn response(&self, route: Route) -> Value {
        let method = route.method().as_str().to_lowercase();
        let operation = &self.document["paths"][route.template()][&method];
        let responses = operation["responses"].as_object();
        let responses = responses.unwrap_or_else(|| panic!("{route} is not in the document"));
        let success = ["200", "201"].iter().find_map(|code| responses.get(*code));
        let response = self.resolved(success.unwrap());
        self.value(&response["content"]["application/json"]["schema"], "", 0)
    }
}

fn text(schema: &Value, name: &str) -> &'static str {
    match schema["format"].as_str() {
        Some("date-time") => "2026-02-03T04:05:06Z",
        Some("uuid") => "d8ac46eb-a757-42b1-9907-f78322ee394e",
        _ if name.ends_with("lsn") => "0/1F86268",
        _ => "calm-sea-1",
    }
}

fn deserialize<T: DeserializeOwned>(response: Value) -> Result<(), serde_json::Error> {
    serde_json::from_value::<T>(response).map(drop)
}

/// Deserializes a response like the client does.
fn deserialize_for(route: Route, response: Value) -> Result<(), serde_json::Error> {
    match route {
        Route::CreateProject => deserialize::<model::CreatedProject>(response),
        Route::ListProjects => deserialize::<model::ProjectPage>(response),
        Route::GetProject | Route::DeleteProject => deserialize::<model::ProjectEnvelope>(response),
        Route::UpdateProject => deserialize::<model::UpdatedProject>(response),
        Route::RecoverProject => deserialize::<model::RecoveredProject>(response),
        Route::GetConnectionUri => deserialize::<model::ConnectionUri>(response),
        Route::ListOperations => deserialize::<model::OperationPage>(response),
        Route::GetOperation => deserialize::<model::OperationEnvelope>(response),
        Route::ListEndpoints | Route::ListBranchEndpoints => {
            deserialize::<model::EndpointList>(response)
        }
        Route::GetEndpoint => deserialize::<model::EndpointEnvelope>(response),
        Route::UpdateEndpoint
        | Route::CreateEndpoint
        | Route::DeleteEndpoint
        | Route::StartEndpoint
        | Route::SuspendEndpoint
        | Route::RestartEndpoint => deserialize::<model::EndpointOperations>(response),
        Route::CreateBranch => deserialize::<model::CreatedBranch>(response),
        Route::ListBranches => deserialize::<model::BranchPage>(response),
        Route::GetBranch => deserialize::<model::BranchEnvelope>(response),
        Route::UpdateBranch
        | Route::DeleteBranch
        | Route::RestoreBranch
        | Route::SetDefaultBranch => deserialize::<model::BranchOperations>(response),
        Route::FinalizeRestore => deserialize::<model::StartedOperations>(response),
        Route::CreateSnapshot => deserialize::<model::CreatedSnapshot>(response),
        Route::ListSnapshots => deserialize::<model::SnapshotList>(response),
        Route::RestoreSnapshot => deserialize::<model::RestoredSnapshot>(response),
        Route::ListDatabases => deserialize::<model::DatabaseList>(response),
        Route::GetDatabase => deserialize::<model::DatabaseEnvelope>(response),
        Route::CreateDatabase | Route::UpdateDatabase | Route::DeleteDatabase => {
            deserialize::<model::DatabaseOperations>(response)
        }
        Route::ListRoles => deserialize::<model::RoleList>(response),
        Route::GetRole => deserialize::<model::RoleEnvelope>(response),
        Route::CreateRole | Route::DeleteRole | Route::ResetRolePassword => {
            deserialize::<model::RoleOperations>(response)
        }
        Route::RevealRolePassword => deserialize::<model::RevealedPassword>(response),
        Route::ListProjectConsumption => deserialize::<model::ProjectConsumptionPage>(response),
        Route::ListBranchConsumption => deserialize::<model::BranchConsumptionPage>(response),
        Route::ListRegions => deserialize::<model::RegionList>(response),
        Route::GetAuthDetails => deserialize::<model::AuthDetails>(response),
        Route::GetCurrentUser => deserialize::<model::CurrentUser>(response),
        Route::ListOrganizations => deserialize::<model::OrganizationList>(response),
        Route::GetOrganization => deserialize::<model::Organization>(response),
    }
}

#[test]
fn every_documented_response_is_deserialized_with_all_and_with_only_required_fields() {
    let Some(document) = document() else { return };
    let mut wrong = Vec::new();
    for optional_fields in [OptionalFields::Absent, OptionalFields::Present] {
        let document = &document;
        let generator = ResponseGenerator {
            document,
            optional_fields,
        };
        for route in Route::ALL {
            let response = generator.response(*route);
            if let Err(error) = deserialize_for(*route, response.clone()) {
                wrong.push(format!("{route}, {optional_fields:?}: {error}: {response}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
