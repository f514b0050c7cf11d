//! What a scrape reads after things happened.

use std::sync::Arc;

use super::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn everything_that_happens_shows_under_its_name_and_labels() {
    let metrics = Metrics::new();
    metrics.reconciled(ReconcileOutcome::Stalled, Reason::ClassNotFound, 20 * MS);
    metrics.step("CreateProject", StepOutcome::Done);
    metrics.neon_request("get_project", "success", 70 * MS);
    metrics.neon_call("get_project", "locked", 70 * MS);
    metrics.neon_waited("housekeeping", 300 * MS);
    metrics.neon_slowed("get_project");
    metrics.kube_call("apply tenant status", "conflict", 5 * MS);
    metrics.kube_request("patch", "tenants/status", RequestOutcome::Conflict);
    metrics.set_orphaned_projects("default", 2);
    metrics.migrated(MigrationOutcome::UpToDate, 40 * MS);
    metrics.became_ready(Duration::from_secs(3));
    metrics.set_leader(true);
    let text = metrics.encode().expect("text");
    for line in [
        r#"tenant_controller_reconciles_total{outcome="Stalled",reason="ClassNotFound"} 1"#,
        "tenant_controller_reconcile_seconds_count 1",
        r#"tenant_controller_steps_total{step="CreateProject",outcome="Done"} 1"#,
        r#"tenant_controller_neon_requests_total{route="get_project",outcome="success"} 1"#,
        r#"tenant_controller_neon_calls_total{route="get_project",outcome="locked"} 1"#,
        r#"tenant_controller_neon_wait_seconds_bucket{le="0.5",priority="housekeeping"} 1"#,
        r#"tenant_controller_neon_slowed_total{route="get_project"} 1"#,
        r#"tenant_controller_kube_calls_total{call="apply tenant status",outcome="conflict"} 1"#,
        r#"tenant_controller_kube_requests_total{verb="patch",resource="tenants/status",outcome="Conflict"} 1"#,
        r#"tenant_controller_orphaned_projects{class="default"} 2"#,
        r#"tenant_controller_migrations_total{outcome="UpToDate"} 1"#,
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
fn phases_without_a_tenant_show_as_zero() {
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
fn a_class_that_is_gone_is_not_reported_any_more() {
    let metrics = Metrics::new();
    metrics.set_orphaned_projects("old", 1);
    metrics.forget_class("old");
    assert!(!metrics.encode().expect("text").contains(r#"class="old""#));
}

#[test]
fn gauges_that_are_counted_are_counted_when_they_are_read() {
    let metrics = Arc::new(Metrics::new());
    metrics.before_read(|m| m.set_tenants([(Phase::Deleting, 7)]));
    assert!(
        metrics
            .encode()
            .expect("text")
            .contains(r#"{phase="Deleting"} 7"#)
    );
}

#[test]
fn the_first_scrape_has_a_help_text_for_every_family() {
    let text = Metrics::new().encode().expect("text");
    let types = text.lines().filter(|l| l.starts_with("# TYPE")).count();
    let helps = text.lines().filter(|l| l.starts_with("# HELP")).count();
    assert!(types > 3, "{text}");
    assert_eq!(types, helps);
}
