//! Every answer as the API's own document describes it, at its least and at its most, is read by the client. `NEON_EMULATOR_DOCUMENT`
//! names the document's file, which is not part of this project (`make test` gets it); without it these tests say so and check
//! nothing.

use neon_client::{Route, model};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

const DOCUMENT_VARIABLE: &str = "NEON_EMULATOR_DOCUMENT";
/// Schemas within schemas; the document has no circle among the answers that the client reads.
const DEPTH_MAX: u32 = 24;

#[expect(
    clippy::print_stderr,
    reason = "who runs it is told that nothing was checked"
)]
fn document() -> Option<Value> {
    let Some(path) = std::env::var_os(DOCUMENT_VARIABLE) else {
        eprintln!("skipped: {DOCUMENT_VARIABLE} is not set");
        return None;
    };
    let text = std::fs::read_to_string(path).unwrap();
    Some(serde_yaml::from_str(&text).unwrap())
}

/// How much of what may be absent is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Least,
    Most,
}

struct Maker<'a> {
    document: &'a Value,
    extent: Extent,
}

impl<'a> Maker<'a> {
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(path) => {
                let schema = self.document.pointer(path.trim_start_matches('#'));
                self.resolved(schema.unwrap())
            }
            None => schema,
        }
    }

    /// A value of this schema. `name` is of the field that it stands in.
    fn value(&self, schema: &'a Value, name: &str, depth: u32) -> Value {
        assert!(depth < DEPTH_MAX, "{name} never ends");
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
            Some("array") if self.extent == Extent::Least => json!([]),
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
            if self.extent == Extent::Most || must(name) {
                into.insert(name.clone(), self.value(schema, name, depth + 1));
            }
        }
    }

    /// The answer of success to this route.
    fn answer(&self, route: Route) -> Value {
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

fn reads<T: DeserializeOwned>(answer: Value) -> Result<(), serde_json::Error> {
    serde_json::from_value::<T>(answer).map(drop)
}

/// Reads an answer as the client does.
fn read(route: Route, answer: Value) -> Result<(), serde_json::Error> {
    match route {
        Route::CreateProject => reads::<model::CreatedProject>(answer),
        Route::ListProjects => reads::<model::ProjectPage>(answer),
        Route::GetProject | Route::DeleteProject => reads::<model::ProjectEnvelope>(answer),
        Route::UpdateProject => reads::<model::UpdatedProject>(answer),
        Route::RecoverProject => reads::<model::RecoveredProject>(answer),
        Route::GetConnectionUri => reads::<model::ConnectionUri>(answer),
        Route::ListOperations => reads::<model::OperationPage>(answer),
        Route::GetOperation => reads::<model::OperationEnvelope>(answer),
        Route::ListEndpoints | Route::ListBranchEndpoints => reads::<model::EndpointList>(answer),
        Route::GetEndpoint => reads::<model::EndpointEnvelope>(answer),
        Route::UpdateEndpoint
        | Route::CreateEndpoint
        | Route::DeleteEndpoint
        | Route::StartEndpoint
        | Route::SuspendEndpoint
        | Route::RestartEndpoint => reads::<model::EndpointOperations>(answer),
        Route::CreateBranch => reads::<model::CreatedBranch>(answer),
        Route::ListBranches => reads::<model::BranchPage>(answer),
        Route::GetBranch => reads::<model::BranchEnvelope>(answer),
        Route::UpdateBranch
        | Route::DeleteBranch
        | Route::RestoreBranch
        | Route::SetDefaultBranch => reads::<model::BranchOperations>(answer),
        Route::ListDatabases => reads::<model::DatabaseList>(answer),
        Route::GetDatabase => reads::<model::DatabaseEnvelope>(answer),
        Route::CreateDatabase | Route::UpdateDatabase | Route::DeleteDatabase => {
            reads::<model::DatabaseOperations>(answer)
        }
        Route::ListRoles => reads::<model::RoleList>(answer),
        Route::GetRole => reads::<model::RoleEnvelope>(answer),
        Route::CreateRole | Route::DeleteRole | Route::ResetRolePassword => {
            reads::<model::RoleOperations>(answer)
        }
        Route::RevealRolePassword => reads::<model::RevealedPassword>(answer),
        Route::ListProjectConsumption => reads::<model::ProjectConsumptionPage>(answer),
        Route::ListBranchConsumption => reads::<model::BranchConsumptionPage>(answer),
        Route::ListRegions => reads::<model::RegionList>(answer),
        Route::GetCurrentUser => reads::<model::CurrentUser>(answer),
        Route::ListOrganizations => reads::<model::OrganizationList>(answer),
        Route::GetOrganization => reads::<model::Organization>(answer),
    }
}

#[test]
fn every_answer_of_the_document_is_read_with_all_its_fields_and_with_only_the_required_ones() {
    let Some(document) = document() else { return };
    let mut wrong = Vec::new();
    for extent in [Extent::Least, Extent::Most] {
        let document = &document;
        let maker = Maker { document, extent };
        for route in Route::ALL {
            let answer = maker.answer(*route);
            if let Err(error) = read(*route, answer.clone()) {
                wrong.push(format!("{route}, {extent:?}: {error}: {answer}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
