//! A sample of each response with every field that the client knows. A field name that starts with
//! `?` is optional; a string that starts with `*` is an enum value that may be unknown.

use serde_json::{Value, json};

const AT: &str = "2026-02-03T04:05:06Z";

fn units(min: f64, max: f64) -> Value {
    json!({"?autoscaling_limit_min_cu": min, "?autoscaling_limit_max_cu": max, "?suspend_timeout_seconds": -1,
           "?pg_settings": {"work_mem": "4MB"}, "?pgbouncer_settings": {"default_pool_size": 7}})
}

fn project_settings() -> Value {
    json!({
        "?quota": {"?active_time_seconds": 3_600, "?compute_time_seconds": 900, "?written_data_bytes": 7, "?data_transfer_bytes": 8,
                   "?logical_size_bytes": 0},
        "?allowed_ips": {"?ips": ["10.0.0.0/8", "1.1.1.1-1.1.1.9"], "?protected_branches_only": false},
        "?enable_logical_replication": true,
        "?maintenance_window": {"weekdays": [1, 7], "start_time": "01:00", "end_time": "02:00"},
        "?block_public_connections": false, "?block_vpc_connections": true, "?audit_log_level": "base", "?hipaa": false,
        "?preload_libraries": {"?use_defaults": true, "?enabled_libraries": ["timescaledb"]}
    })
}

pub(crate) fn project() -> Value {
    json!({
        "id": "calm-sea-1", "name": "tenant-1", "region_id": "aws-eu-central-1", "?platform_id": "aws", "pg_version": 18,
        "created_at": AT, "updated_at": AT, "?org_id": "org-cool-sea-1", "?org_name": "Cool", "?owner_id": "org-cool-sea-1",
        "?owner": {"?email": "a@b.example", "?name": "A", "?branches_limit": -1, "?subscription_type": "scale"},
        "?settings": project_settings(), "?default_endpoint_settings": units(0.25, 8.0), "?history_retention_seconds": 86_400,
        "?store_passwords": true, "?proxy_host": "eu-central-1.aws.neon.tech", "?provisioner": "k8s-neonvm",
        "?creation_source": "console", "?branch_logical_size_limit": 512, "?branch_logical_size_limit_bytes": 536_870_912,
        "?synthetic_storage_size": 31, "?active_time": 7, "?cpu_used_sec": 3, "?active_time_seconds": 7,
        "?compute_time_seconds": 3, "?written_data_bytes": 5, "?data_transfer_bytes": 6, "?data_storage_bytes_hour": 9,
        "?consumption_period_start": AT, "?consumption_period_end": AT, "?quota_reset_at": AT, "?compute_last_active_at": AT,
        "?maintenance_starts_at": AT, "?maintenance_scheduled_for": AT, "?deleted_at": AT, "?recoverable_until": AT
    })
}

pub(crate) fn branch() -> Value {
    json!({
        "id": "br-a-1", "project_id": "calm-sea-1", "?parent_id": "br-b-2", "?parent_lsn": "0/1F86268", "?parent_timestamp": AT,
        "name": "main", "current_state": "*ready", "?pending_state": "*init", "?state_changed_at": AT, "?logical_size": 7,
        "?creation_source": "console", "?primary": true, "?default": true, "?protected": false, "?cpu_used_sec": 1,
        "?compute_time_seconds": 1, "?active_time_seconds": 2, "?written_data_bytes": 3, "?data_transfer_bytes": 4,
        "created_at": AT, "updated_at": AT, "?init_source": "parent-data", "?expires_at": AT, "?ttl_interval_seconds": 60,
        "?last_reset_at": AT, "?restored_from": "br-c-3",
        "?recovery": {"deleted_at": AT, "recoverable_until": AT, "deletion_method": "ttl"}
    })
}

pub(crate) fn endpoint() -> Value {
    json!({
        "id": "ep-a-1", "?name": "reports", "project_id": "calm-sea-1", "branch_id": "br-a-1", "?region_id": "aws-eu-central-1",
        "host": "ep-a-1.eu-central-1.aws.neon.tech", "?proxy_host": "eu-central-1.aws.neon.tech", "type": "*read_write",
        "autoscaling_limit_min_cu": 0.25, "autoscaling_limit_max_cu": 2, "?suspend_timeout_seconds": 300,
        "current_state": "*active", "?pending_state": "*idle", "?disabled": false, "?passwordless_access": true,
        "?pooler_enabled": false, "?pooler_mode": "*transaction",
        "?settings": {"?pg_settings": {"work_mem": "4MB"}, "?pgbouncer_settings": {}, "?preload_libraries": {"?use_defaults": true}},
        "?provisioner": "k8s-neonvm", "?creation_source": "console", "created_at": AT, "updated_at": AT, "?last_active": AT,
        "?started_at": AT, "?suspended_at": AT, "?compute_release_version": "17"
    })
}

pub(crate) fn operation() -> Value {
    json!({
        "id": "d8ac46eb-a757-42b1-9907-f78322ee394e", "project_id": "calm-sea-1", "?branch_id": "br-a-1", "?endpoint_id": "ep-a-1",
        "action": "*start_compute", "status": "*running", "?error": "the compute did not start", "?failures_count": 1, "?retry_at": AT,
        "created_at": AT, "updated_at": AT, "?total_duration_ms": 12
    })
}

fn role() -> Value {
    json!({"branch_id": "br-a-1", "name": "neondb_owner", "?password": "npg_hunter2", "?protected": false,
           "?authentication_method": "password", "created_at": AT, "updated_at": AT})
}

fn database() -> Value {
    json!({"id": 1, "branch_id": "br-a-1", "name": "neondb", "owner_name": "neondb_owner", "created_at": AT, "updated_at": AT})
}

fn connection() -> Value {
    json!({
        "connection_uri": "postgresql://neondb_owner:npg_hunter2@ep-a-1.eu-central-1.aws.neon.tech/neondb",
        "connection_parameters": {"database": "neondb", "password": "npg_hunter2", "role": "neondb_owner",
            "host": "ep-a-1.eu-central-1.aws.neon.tech", "pooler_host": "ep-a-1-pooler.eu-central-1.aws.neon.tech"}
    })
}

pub(crate) fn created_project() -> Value {
    json!({"project": project(), "?connection_uris": [connection()], "?roles": [role()], "?databases": [database()],
           "?operations": [operation()], "branch": branch(), "?endpoints": [endpoint()]})
}

pub(crate) fn created_branch() -> Value {
    json!({"branch": branch(), "?endpoints": [endpoint()], "?operations": [operation()], "?roles": [role()],
           "?databases": [database()], "?connection_uris": [connection()]})
}

pub(crate) fn project_page() -> Value {
    json!({"projects": [project(), project()], "?unavailable_project_ids": ["lost-sea-3"], "?pagination": {"cursor": "c"}})
}

fn snapshot() -> Value {
    json!({"id": "snap-a-1", "name": "before", "?source_branch_id": "br-a-1", "?expires_at": AT, "?manual": true})
}

pub(crate) fn created_snapshot() -> Value {
    json!({"snapshot": snapshot(), "?operations": [operation()]})
}

pub(crate) fn snapshot_list() -> Value {
    json!({"snapshots": [snapshot()]})
}

pub(crate) fn restored_snapshot() -> Value {
    json!({"branch": branch(), "?endpoints": [endpoint()], "?operations": [operation()]})
}

pub(crate) fn branch_page() -> Value {
    json!({"branches": [branch()], "?pagination": {"?next": "n", "?sort_by": "name", "?sort_order": "asc"}})
}

pub(crate) fn operation_page() -> Value {
    json!({"operations": [operation()], "?pagination": {"cursor": "c"}})
}

pub(crate) fn role_operations() -> Value {
    json!({"role": role(), "?operations": [operation()]})
}

pub(crate) fn database_operations() -> Value {
    json!({"database": database(), "?operations": [operation()]})
}

pub(crate) fn consumption_page() -> Value {
    let metrics = json!([{"metric_name": "*compute_unit_seconds", "value": 7}]);
    let frame = json!({"?timeframe_start": AT, "?timeframe_end": AT, "?metrics": metrics});
    let period = json!({"period_id": "d8ac46eb-a757-42b1-9907-f78322ee394e", "?period_plan": "scale", "period_start": AT,
                        "?period_end": AT, "consumption": [frame]});
    json!({"projects": [{"project_id": "calm-sea-1", "periods": [period]}], "?pagination": {"cursor": "c"}})
}

pub(crate) fn user() -> Value {
    json!({"id": "u-1", "email": "a@b.example", "?login": "a", "?name": "A", "?last_name": "B", "?image": "", "?plan": "scale",
           "?projects_limit": -1, "?branches_limit": 10, "?max_autoscaling_limit": 8.5, "?active_seconds_limit": -1,
           "?compute_seconds_limit": 3, "?auth_accounts": [{"provider": "github"}]})
}

pub(crate) fn organization() -> Value {
    json!({"id": "org-cool-sea-1", "?name": "Cool", "?handle": "cool", "?plan": "scale", "?managed_by": "console",
           "created_at": AT, "updated_at": AT})
}

pub(crate) fn region() -> Value {
    json!({"region_id": "aws-us-east-2", "?name": "US East", "?default": true, "?geo_lat": "39.96", "?geo_long": "-83"})
}
