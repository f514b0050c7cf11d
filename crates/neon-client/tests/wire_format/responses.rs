//! Responses tolerate unknown fields and values, round-trip, and do not reveal secrets in `Debug`.

use neon_client::model::{
    CreateProject, CreatedProject, Endpoint, EndpointState, ErrorBody, OperationAction,
    OperationStatus, Project, ProjectEnvelope, ProjectPage, ProjectSettings, Quota, UpdateEndpoint,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

const AT: &str = "2026-02-03T04:05:06Z";

fn listed_project(id: &str) -> Value {
    json!({
        "id": id, "platform_id": "aws", "region_id": "aws-eu-central-1", "name": "tenant-1", "provisioner": "k8s-neonvm",
        "default_endpoint_settings": {"autoscaling_limit_min_cu": 0.25, "autoscaling_limit_max_cu": 2, "suspend_timeout_seconds": 0},
        "settings": {"allowed_ips": {"ips": [], "protected_branches_only": false}, "quota": {"active_time_seconds": 3600},
                     "enable_logical_replication": false, "tomorrow": {"deep": true}},
        "pg_version": 18, "proxy_host": "eu-central-1.aws.neon.tech", "branch_logical_size_limit": 512,
        "branch_logical_size_limit_bytes": 536_870_912, "store_passwords": true, "active_time": 7, "cpu_used_sec": 3,
        "creation_source": "console", "created_at": AT, "updated_at": AT, "synthetic_storage_size": 31, "owner_id": "org-1",
        "org_id": "org-cool-sea-12345678", "tomorrow": [1, 2, 3]
    })
}

fn created() -> Value {
    json!({
        "project": listed_project("calm-sea-1"),
        "connection_uris": [{
            "connection_uri": "postgresql://neondb_owner:npg_hunter2@ep-a-1.eu-central-1.aws.neon.tech/neondb?sslmode=require",
            "connection_parameters": {"database": "neondb", "password": "npg_hunter2", "role": "neondb_owner",
                "host": "ep-a-1.eu-central-1.aws.neon.tech", "pooler_host": "ep-a-1-pooler.eu-central-1.aws.neon.tech"}
        }],
        "roles": [{"branch_id": "br-a-1", "name": "neondb_owner", "password": "npg_hunter2", "protected": false,
            "created_at": AT, "updated_at": AT}],
        "databases": [{"id": 1, "branch_id": "br-a-1", "name": "neondb", "owner_name": "neondb_owner", "created_at": AT, "updated_at": AT}],
        "operations": [{"id": "d8ac46eb-a757-42b1-9907-f78322ee394e", "project_id": "calm-sea-1", "branch_id": "br-a-1",
            "action": "brew_coffee", "status": "running", "failures_count": 0, "created_at": AT, "updated_at": AT, "total_duration_ms": 0}],
        "branch": {"id": "br-a-1", "project_id": "calm-sea-1", "name": "main", "current_state": "init", "pending_state": "ready",
            "state_changed_at": AT, "creation_source": "console", "primary": true, "default": true, "protected": false,
            "cpu_used_sec": 0, "compute_time_seconds": 0, "active_time_seconds": 0, "written_data_bytes": 0,
            "data_transfer_bytes": 0, "created_at": AT, "updated_at": AT},
        "endpoints": [endpoint()]
    })
}

fn endpoint() -> Value {
    json!({
        "host": "ep-a-1.eu-central-1.aws.neon.tech", "id": "ep-a-1", "project_id": "calm-sea-1", "branch_id": "br-a-1",
        "autoscaling_limit_min_cu": 0.25, "autoscaling_limit_max_cu": 2, "region_id": "aws-eu-central-1", "type": "read_write",
        "current_state": "dreaming", "settings": null, "pooler_enabled": false, "pooler_mode": "transaction", "disabled": false,
        "passwordless_access": true, "creation_source": "console", "created_at": AT, "updated_at": AT,
        "proxy_host": "eu-central-1.aws.neon.tech", "suspend_timeout_seconds": -1, "provisioner": "k8s-neonvm"
    })
}

#[test]
fn a_page_of_projects_with_unknown_fields_is_deserialized() {
    let page = json!({
        "projects": [listed_project("calm-sea-1"), listed_project("wild-sea-2")],
        "unavailable_project_ids": ["lost-sea-3"], "pagination": {"cursor": "wild-sea-2"}, "applications": {}
    });
    let page: ProjectPage = serde_json::from_value(page).unwrap();
    assert_eq!(page.projects.len(), 2);
    assert_eq!(page.unavailable_project_ids[0].as_str(), "lost-sea-3");
    assert_eq!(page.pagination.unwrap().cursor, "wild-sea-2");
    let settings = page.projects[0].settings.clone().unwrap();
    assert_eq!(settings.quota.unwrap().active_time_seconds, Some(3600));
}

#[test]
fn null_lists_are_empty() {
    let page: ProjectPage =
        serde_json::from_value(json!({"projects": null, "unavailable_project_ids": null})).unwrap();
    assert_eq!(page, ProjectPage::default());
    assert!(
        serde_json::from_value::<ProjectPage>(json!({})).is_err(),
        "an unrelated object is not an empty page"
    );
}

#[test]
fn a_created_project_round_trips() {
    let created: CreatedProject = serde_json::from_value(created()).unwrap();
    assert_eq!(
        created.connection_uris[0]
            .connection_parameters
            .password
            .expose_secret(),
        "npg_hunter2"
    );
    let written = serde_json::to_value(&created).unwrap();
    assert_eq!(
        written["connection_uris"],
        self::created()["connection_uris"]
    );
    assert_eq!(written["roles"], self::created()["roles"]);
    assert_eq!(written["operations"][0]["action"], "brew_coffee");
    let again: CreatedProject = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), written);
}

#[test]
fn debug_output_of_a_created_project_omits_passwords() {
    let created: CreatedProject = serde_json::from_value(created()).unwrap();
    let shown = format!("{created:?} {created:#?}");
    assert!(shown.contains("neondb_owner"), "other fields are shown");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn unknown_enum_values_round_trip() {
    let endpoint: Endpoint = serde_json::from_value(endpoint()).unwrap();
    assert_eq!(
        endpoint.current_state,
        EndpointState::Unknown("dreaming".into())
    );
    assert_eq!(
        serde_json::to_value(&endpoint).unwrap()["current_state"],
        "dreaming"
    );
    for action in OperationAction::KNOWN {
        assert_eq!(&OperationAction::from(action.as_str()), action);
    }
}

#[test]
fn an_operation_with_an_unknown_status_is_not_finished() {
    assert!(!OperationStatus::from("tomorrow").is_finished());
    assert!(OperationStatus::Error.is_finished() && !OperationStatus::Error.is_success());
    assert!(!OperationStatus::Failed.is_finished(), "Neon retries it");
}

#[test]
fn the_pooled_host_has_the_suffix_in_its_first_label() {
    let endpoint: Endpoint = serde_json::from_value(endpoint()).unwrap();
    assert_eq!(
        endpoint.pooled_host(),
        "ep-a-1-pooler.eu-central-1.aws.neon.tech"
    );
}

#[test]
fn a_request_contains_only_the_fields_that_are_set() {
    let project = CreateProject {
        settings: Some(ProjectSettings {
            quota: Some(Quota {
                logical_size_bytes: Some(1),
                ..Quota::default()
            }),
            ..ProjectSettings::default()
        }),
        ..CreateProject::named("tenant-1")
    };
    let body = serde_json::to_value(ProjectEnvelope { project: &project }).unwrap();
    assert_eq!(
        body,
        json!({"project": {"name": "tenant-1", "settings": {"quota": {"logical_size_bytes": 1}}}})
    );
    assert_eq!(
        serde_json::from_value::<ProjectEnvelope<CreateProject>>(body)
            .unwrap()
            .project,
        project
    );
    assert_eq!(
        serde_json::to_string(&UpdateEndpoint::default()).unwrap(),
        "{}"
    );
}

#[test]
fn a_project_with_only_the_required_fields_is_deserialized() {
    let project: Project = serde_json::from_value(json!({
        "id": "calm-sea-1", "name": "", "region_id": "aws-eu-central-1", "pg_version": 18, "created_at": AT, "updated_at": AT
    }))
    .unwrap();
    assert!(project.settings.is_none());
}

#[test]
fn every_field_of_an_error_body_is_optional() {
    assert_eq!(
        serde_json::from_str::<ErrorBody>("{}").unwrap(),
        ErrorBody::default()
    );
    let nulls = r#"{"code": null, "message": "said", "request_id": null}"#;
    assert_eq!(
        serde_json::from_str::<ErrorBody>(nulls).unwrap().message,
        "said"
    );
}
