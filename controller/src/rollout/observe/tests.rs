use crds::Tenant;
use serde_json::{Value, json};

use super::*;

fn rollout(spec: &Value) -> SchemaRollout {
    let mut object = json!({
        "apiVersion": "dbpertenant.dev/v1alpha1",
        "kind": "SchemaRollout",
        "metadata": { "name": "r2", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": {
            "className": "default", "revision": 2,
            "target": { "version": 2, "digest": "new", "versions": [1, 2] },
        },
        "status": { "startedAt": "2026-01-01T00:00:00Z" },
    });
    let fields = object["spec"].as_object_mut().unwrap();
    fields.extend(spec.as_object().unwrap().clone());
    serde_json::from_value(object).unwrap()
}

fn tenant(changes: Value) -> Arc<CachedTenant> {
    let mut object = json!({
        "apiVersion": "dbpertenant.dev/v1alpha1",
        "kind": "Tenant",
        "metadata": {
            "name": "one", "namespace": "acme", "uid": "00000000-0000-0000-0000-000000000001",
            "creationTimestamp": "2025-01-01T00:00:00Z",
        },
        "spec": { "className": "default" },
        "status": {
            "project": { "id": "p", "region": "r", "name": "n" },
            "schema": { "version": 1, "target": 1, "checksum": "old", "projectId": "p" },
        },
    });
    merge(&mut object, changes);
    let tenant: Tenant = serde_json::from_value(object).unwrap();
    Arc::new(CachedTenant::try_from(tenant).unwrap())
}

fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, value) in changes {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, changes) => *into = changes,
    }
}

/// Conditions of a Tenant that is not ready since then.
fn conditions(reason: &str, schema_reason: &str, stalled: bool, since: &str) -> Value {
    let condition = |kind: &str, status: &str, reason: &str| json!({ "type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": since });
    json!([
        condition("Ready", "False", reason),
        condition("SchemaReady", "False", schema_reason),
        condition("Stalled", if stalled { "True" } else { "False" }, reason),
    ])
}

/// The state of a Tenant with these changes, 20 minutes after the start of the rollout.
fn state_of(changes: Value, spec: &Value) -> Option<MemberState> {
    let now = "2026-01-01T00:20:00Z".parse().unwrap();
    let members = members(
        [tenant(changes)].into_iter(),
        &rollout(spec),
        &|_| false,
        now,
    );
    members.first().map(|member| member.state)
}

#[test]
fn a_rollout_waits_for_tenants_that_a_change_of_the_class_stalls() {
    for reason in ["ClassLimitExceeded", "NamespaceNotAllowed"] {
        for (since, expected) in [
            ("2025-12-31T23:59:00Z", MemberState::Skipped),
            ("2026-01-01T00:10:00Z", MemberState::Pending),
        ] {
            let stalled = conditions(reason, "Waiting", true, since);
            let changes = json!({"status": {"conditions": stalled}});
            assert_eq!(state_of(changes, &json!({})), Some(expected), "{reason}");
        }
    }
}

#[test]
fn each_tenant_has_a_state() {
    let begun = |conditions: Value| json!({"status": {"schema": {"rollout": "r2"}, "conditions": conditions}});
    let now = "2026-01-01T00:19:00Z";
    let long_ago = "2025-06-01T00:00:00Z";
    for (changes, expected) in [
        (json!({}), Some(MemberState::Pending)),
        (
            json!({"status": {"schema": {"checksum": "new"}}}),
            Some(MemberState::Updated),
        ),
        (
            json!({"spec": {"suspend": true}}),
            Some(MemberState::Skipped),
        ),
        (json!({"metadata": {"deletionTimestamp": now}}), None),
        // A database that has not been migrated, or that of another project.
        (json!({"status": {"schema": null}}), None),
        (json!({"status": {"schema": {"projectId": "other"}}}), None),
        // The class applied no migrations so far.
        (
            json!({"status": {"schema": {"version": null, "target": null, "checksum": null}}}),
            Some(MemberState::Pending),
        ),
        // The first migrations of such a database have begun, or have failed.
        (
            json!({"status": {"schema": {"version": null, "target": 2, "checksum": null, "rollout": "r2"}}}),
            Some(MemberState::Pending),
        ),
        (
            json!({"status": {
                "schema": {"version": null, "target": 2, "checksum": null, "rollout": "r2"},
                "conditions": conditions("MigrationFailed", "MigrationFailed", true, now),
            }}),
            Some(MemberState::Failed),
        ),
        (
            begun(conditions("MigrationFailed", "MigrationFailed", true, now)),
            Some(MemberState::Failed),
        ),
        // The migration of an earlier rollout failed.
        (
            json!({"status": {"schema": {"rollout": "r1"},
                "conditions": conditions("MigrationFailed", "MigrationFailed", true, now)}}),
            Some(MemberState::Pending),
        ),
        (
            begun(conditions("ComputeMissing", "Waiting", true, now)),
            Some(MemberState::Skipped),
        ),
        // All Tenants of the account wait for it.
        (
            begun(conditions("AccountMismatch", "Waiting", true, now)),
            Some(MemberState::Pending),
        ),
        (
            json!({"status": {"conditions": conditions("ApiKeyInvalid", "Waiting", true, long_ago)}}),
            Some(MemberState::Pending),
        ),
        (
            begun(conditions("Migrating", "Migrating", false, now)),
            Some(MemberState::Pending),
        ),
        // Not ready since before the rollout, which started 20 minutes ago.
        (
            begun(conditions(
                "DatabaseUnreachable",
                "DatabaseUnreachable",
                false,
                long_ago,
            )),
            Some(MemberState::Failed),
        ),
        (
            json!({"status": {"conditions": conditions("OperationsRunning", "Waiting", false, long_ago)}}),
            Some(MemberState::Pending),
        ),
    ] {
        assert_eq!(state_of(changes.clone(), &json!({})), expected, "{changes}");
    }
    let patient = json!({"rollout": {"progressDeadlineSeconds": 3_600}});
    let slow = begun(conditions("Migrating", "Migrating", false, long_ago));
    assert_eq!(state_of(slow, &patient), Some(MemberState::Pending));
    // A Tenant that failed is being retried.
    let now = "2026-01-01T00:20:00Z".parse().unwrap();
    let mut failed = rollout(&json!({}));
    failed.status.get_or_insert_default().failures = vec![crds::RolloutFailure {
        namespace: "acme".to_owned(),
        name: "one".to_owned(),
        reason: String::new(),
        message: String::new(),
    }];
    let retried = begun(conditions(
        "Migrating",
        "Migrating",
        false,
        "2026-01-01T00:19:00Z",
    ));
    let members = members([tenant(retried)].into_iter(), &failed, &|_| false, now);
    assert_eq!(members[0].state, MemberState::Failed);
    let skip = json!({"skip": [{"namespace": "acme", "name": "one"}]});
    assert_eq!(state_of(json!({}), &skip), Some(MemberState::Skipped));
}

#[test]
fn a_tenant_that_was_not_ready_when_the_rollout_was_continued_may_be_retried() {
    let now = "2026-01-01T00:20:00Z".parse().unwrap();
    let mut continued = rollout(&json!({}));
    let mut member = |attempted_by: &str, since: &str, continued_at: Option<&str>| {
        let mut changes = json!({"status": {"schema": {"rollout": attempted_by}}});
        changes["status"]["conditions"] = conditions("Migrating", "Migrating", false, since);
        let reconciling = continued_at.map(|time| {
            json!([{
                "type": "Reconciling", "status": "True", "reason": "RollingOut", "message": "",
                "lastTransitionTime": time,
            }])
        });
        continued.status.as_mut().unwrap().conditions =
            serde_json::from_value(reconciling.unwrap_or_else(|| json!([]))).unwrap();
        let found = members([tenant(changes)].into_iter(), &continued, &|_| false, now);
        (found[0].begun, found[0].maybe_retried)
    };
    let (early, late) = ("2026-01-01T00:11:00Z", "2026-01-01T00:13:00Z");
    let at = Some("2026-01-01T00:12:00Z");
    assert_eq!(member("r2", early, at), (true, true));
    assert_eq!(member("r2", late, at), (true, false));
    assert_eq!(member("r1", early, at), (false, false));
    // The rollout is paused.
    assert_eq!(member("r2", late, None), (true, true));
}

#[test]
fn a_suspended_tenant_is_not_queued() {
    let rollout = {
        let mut reached = rollout(&json!({}));
        reached.status.as_mut().unwrap().reach = Some(Place::LAST.to_string());
        reached
    };
    let queued = |changes: Value| reached([tenant(changes)].into_iter(), &rollout).count();
    assert_eq!(queued(json!({})), 1);
    assert_eq!(queued(json!({"spec": {"suspend": true}})), 0);
}

#[test]
fn a_tenant_is_rolled_back_once_its_database_is_restored_for_this_rollout() {
    let backup = |rollout: &str, restored_at: Option<&str>| {
        json!({"status": {"backup": {
            "rollout": rollout, "projectId": "p", "name": "before",
            "restore": {
                "requestedAt": "2026-01-01T00:01:00Z", "failedBranchName": "failed",
                "reason": "MigrationFailed", "message": "", "restoredAt": restored_at,
            },
        }}})
    };
    let restored_at = Some("2026-01-01T00:02:00Z");
    for (changes, expected) in [
        (json!({}), false),
        (backup("r2", None), false),
        (backup("r2", restored_at), true),
        (backup("r1", restored_at), false),
    ] {
        let now = "2026-01-01T00:20:00Z".parse().unwrap();
        let tenants = [tenant(changes.clone())].into_iter();
        let members = members(tenants, &rollout(&json!({})), &|_| false, now);
        assert_eq!(members[0].rolled_back, expected, "{changes}");
    }
}

/// The state of a second Tenant, whether it is admitted, and whether it has begun, 20 minutes after the start of a rollout whose canary
/// is the first one.
fn second(
    changes: Value,
    status: &Value,
    is_used: &dyn Fn(&CachedTenant) -> bool,
) -> (MemberState, bool, bool) {
    let spec = json!({"rollout": {
        "wake": "OnUse", "wakeDeadlineSeconds": 3_600, "canary": {"selector": {"matchLabels": {"first": "yes"}}},
    }});
    let mut rollout = rollout(&spec);
    let mut all = serde_json::to_value(rollout.status.unwrap()).unwrap();
    merge(&mut all, status.clone());
    rollout.status = Some(serde_json::from_value(all).unwrap());
    let mut other = json!({"metadata": {
        "name": "two", "uid": "00000000-0000-0000-0000-000000000002",
    }});
    merge(&mut other, changes);
    let first = tenant(json!({"metadata": {"labels": {"first": "yes"}}}));
    let now = "2026-01-01T00:20:00Z".parse().unwrap();
    let members = members([tenant(other), first].into_iter(), &rollout, is_used, now);
    assert_eq!(
        members[0].state,
        MemberState::Pending,
        "the canary is asleep"
    );
    (members[1].state, members[1].admitted, members[1].begun)
}

#[test]
fn a_tenant_that_has_not_been_used_since_the_rollout_started_is_asleep() {
    let begun = json!({"status": {"schema": {"rollout": "r2"}}});
    let uid = "00000000-0000-0000-0000-000000000002";
    for (changes, status, used, expected) in [
        (
            json!({}),
            json!({}),
            false,
            (MemberState::Asleep, false, false),
        ),
        (
            json!({}),
            json!({}),
            true,
            (MemberState::Pending, false, false),
        ),
        (
            json!({}),
            json!({"admitted": [uid]}),
            false,
            (MemberState::Pending, true, false),
        ),
        (
            begun.clone(),
            json!({}),
            false,
            (MemberState::Pending, false, true),
        ),
        // The rollout was created again and waits for its approval.
        (
            begun,
            json!({"startedAt": null}),
            false,
            (MemberState::Asleep, false, false),
        ),
        (
            json!({"status": {"schema": {"checksum": "new"}}}),
            json!({}),
            false,
            (MemberState::Updated, false, false),
        ),
        (
            json!({"spec": {"suspend": true}}),
            json!({}),
            false,
            (MemberState::Skipped, false, false),
        ),
        // After the wake deadline, no Tenant is asleep.
        (
            json!({}),
            json!({"wakeBy": "2026-01-01T00:20:00Z"}),
            false,
            (MemberState::Pending, false, false),
        ),
    ] {
        let found = second(changes.clone(), &status, &|_| used);
        assert_eq!(found, expected, "{changes} {status} {used}");
    }
}
