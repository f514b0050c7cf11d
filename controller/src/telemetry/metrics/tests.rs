//! The text that a scrape returns.

use std::sync::Arc;

use super::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn every_recorded_event_appears_with_its_name_and_labels() {
    let metrics = Metrics::new();
    metrics.record_reconcile(ReconcileOutcome::Stalled, Reason::ClassNotFound, 20 * MS);
    metrics.record_step("create_project", StepOutcome::Done);
    metrics.record_neon_request("get_project", "success", 70 * MS);
    metrics.record_neon_call("get_project", "locked", 70 * MS);
    metrics.record_neon_quota_wait("background", 300 * MS);
    metrics.record_neon_rate_limited("get_project");
    metrics.record_kubernetes_request("patch", "tenants/status", RequestOutcome::Conflict, 5 * MS);
    metrics.set_orphaned_projects("default", 2);
    metrics.record_migration(MigrationOutcome::UpToDate, 40 * MS);
    metrics.record_time_to_ready(Duration::from_secs(3));
    metrics.set_leader(true);
    let text = metrics.encode().expect("text");
    for line in [
        r#"tenant_controller_reconciles_total{outcome="stalled",reason="ClassNotFound"} 1"#,
        "tenant_controller_reconcile_duration_seconds_count 1",
        r#"tenant_controller_steps_total{step="create_project",outcome="done"} 1"#,
        r#"tenant_controller_neon_requests_total{route="get_project",outcome="success"} 1"#,
        r#"tenant_controller_neon_calls_total{route="get_project",outcome="locked"} 1"#,
        r#"tenant_controller_neon_quota_wait_seconds_bucket{le="0.5",priority="background"} 1"#,
        r#"tenant_controller_neon_rate_limited_total{route="get_project"} 1"#,
        r#"tenant_controller_kubernetes_requests_total{verb="patch",resource="tenants/status",outcome="conflict"} 1"#,
        r#"tenant_controller_kubernetes_request_duration_seconds_count{verb="patch",resource="tenants/status"} 1"#,
        r#"tenant_controller_orphaned_projects{class="default"} 2"#,
        r#"tenant_controller_migrations_total{outcome="up_to_date"} 1"#,
        "tenant_controller_time_to_ready_seconds_sum 3.0",
        "tenant_controller_leader 1",
        concat!(
            r#"tenant_controller_build_info{version=""#,
            env!("CARGO_PKG_VERSION"),
            r#""} 1"#
        ),
        "# EOF",
    ] {
        assert!(text.lines().any(|l| l == line), "missing: {line}\n{text}");
    }
}

#[test]
fn phases_without_tenants_are_reported_as_zero() {
    let metrics = Metrics::new();
    metrics.set_tenants([(Phase::Ready, 3), (Phase::Stalled, 1), (Phase::Ready, 1)]);
    let text = metrics.encode().expect("text");
    assert!(
        text.contains(r#"tenant_controller_tenants{phase="Ready"} 4"#),
        "{text}"
    );
    assert!(text.contains(r#"tenant_controller_tenants{phase="Pending"} 0"#));
    metrics.set_tenants([]);
    let text = metrics.encode().expect("text");
    assert!(text.contains(r#"tenant_controller_tenants{phase="Ready"} 0"#));
}

#[test]
fn a_deleted_class_is_no_longer_reported() {
    let metrics = Metrics::new();
    metrics.set_orphaned_projects("old", 1);
    metrics.remove_class("old");
    assert!(!metrics.encode().expect("text").contains(r#"class="old""#));
}

#[test]
fn scrape_hooks_run_before_every_scrape() {
    let metrics = Arc::new(Metrics::new());
    metrics.on_scrape(|m| m.set_tenants([(Phase::Deleting, 7)]));
    assert!(
        metrics
            .encode()
            .expect("text")
            .contains(r#"{phase="Deleting"} 7"#)
    );
}

#[test]
fn every_metric_has_a_help_text() {
    let text = Metrics::new().encode().expect("text");
    let types = text.lines().filter(|l| l.starts_with("# TYPE")).count();
    let helps = text.lines().filter(|l| l.starts_with("# HELP")).count();
    assert!(types > 3, "{text}");
    assert_eq!(types, helps);
}
