use serde_json::{Value, json};

use super::*;

fn content(files: &[(&'static str, &'static str)]) -> MigrationSet {
    MigrationSet::from_files(files.iter().copied()).unwrap()
}

const A: (&str, &str) = ("1_a.sql", "select 1");
const B: (&str, &str) = ("2_b.sql", "select 2");
const C: (&str, &str) = ("3_c.sql", "select 3");

fn rollout(revision: i64, set: &MigrationSet, spec: &Value, status: &Value) -> Arc<SchemaRollout> {
    let mut object = json!({
        "apiVersion": "dbpertenant.dev/v1alpha1",
        "kind": "SchemaRollout",
        "metadata": { "name": format!("r{revision}"), "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": {
            "className": "standard",
            "revision": revision,
            "target": {
                "version": set.target_version(),
                "digest": set.digest(),
                "versions": set.versions().collect::<Vec<_>>(),
            },
        },
        "status": status,
    });
    let fields = object["spec"].as_object_mut().unwrap();
    fields.extend(spec.as_object().unwrap().clone());
    Arc::new(serde_json::from_value(object).unwrap())
}

fn completed(revision: i64, set: &MigrationSet) -> Arc<SchemaRollout> {
    let status = json!({"phase": "Completed", "reach": Place::LAST.to_string()});
    rollout(revision, set, &json!({}), &status)
}

fn schema(set: &MigrationSet) -> SchemaStatus {
    SchemaStatus {
        version: Some(set.target_version()),
        target: Some(set.target_version()),
        checksum: Some(set.digest().to_owned()),
        applied_at: None,
        rollout: None,
        project_id: Some("p".to_owned()),
    }
}

const UID: &str = "00000000-0000-0000-0000-000000000001";
const BEFORE: &str = "2025-12-31T00:00:00Z";
const AFTER: &str = "2026-01-02T00:00:00Z";
const NOON: &str = "2026-01-02T12:00:00Z";

fn tenant<'a>(
    order: u64,
    created_at: &str,
    recorded: Option<&'a SchemaStatus>,
) -> AssignmentInput<'a> {
    AssignmentInput {
        uid: TenantUid::parse(UID).unwrap(),
        namespace: "acme",
        name: "one",
        place: PlaceInput {
            order,
            created_at: Some(created_at.parse().unwrap()),
            labels: None,
        },
        recorded,
        now: NOON.parse().unwrap(),
    }
}

/// The version and the rollout of a Tenant's target schema.
fn assigned(
    content: &MigrationSet,
    rollouts: &[Arc<SchemaRollout>],
    input: AssignmentInput<'_>,
) -> (i64, Option<String>) {
    let target = assign(content, rollouts, input);
    (target.version, target.rollout)
}

/// The reach of the existing Tenants in the lower half of the order.
fn half() -> Value {
    json!({"phase": "Progressing", "reach": Place::new(Group::Existing, u64::MAX / 2).to_string()})
}

const LOW: u64 = u64::MAX / 4;
const HIGH: u64 = u64::MAX / 4 * 3;

#[test]
fn a_tenant_keeps_its_schema_until_the_rollout_reaches_it() {
    let (old, new) = (content(&[A]), content(&[A, B]));
    let has_old = schema(&old);
    let rollouts = [completed(1, &old), rollout(2, &new, &json!({}), &half())];
    let of = |order| assigned(&new, &rollouts, tenant(order, BEFORE, Some(&has_old)));
    assert_eq!(of(LOW), (2, Some("r2".to_owned())));
    assert_eq!(of(HIGH), (1, None));
    // Before the rollout exists, and before it starts.
    let has_low = tenant(LOW, BEFORE, Some(&has_old));
    assert_eq!(assigned(&new, &rollouts[..1], has_low), (1, None));
    let unstarted = [
        rollouts[0].clone(),
        rollout(2, &new, &json!({}), &json!({})),
    ];
    assert_eq!(assigned(&new, &unstarted, has_low), (1, None));
}

#[test]
fn a_rollout_that_waits_for_use_reaches_the_tenants_that_it_lists_or_that_have_begun() {
    let (old, new) = (content(&[A]), content(&[A, B]));
    let spec = json!({"rollout": {"wake": "OnUse"}});
    let started = |admitted: &[&str], phase: &str| {
        json!({
            "phase": phase, "startedAt": BEFORE, "reach": Place::LAST.to_string(), "admitted": admitted,
        })
    };
    let has_old = schema(&old);
    let has_begun = SchemaStatus {
        rollout: Some("r2".to_owned()),
        ..schema(&old)
    };
    let of = |recorded, status: &Value| {
        let rollouts = [completed(1, &old), rollout(2, &new, &spec, status)];
        assigned(&new, &rollouts, tenant(LOW, BEFORE, recorded)).0
    };
    let other = "00000000-0000-0000-0000-000000000009";
    assert_eq!(of(Some(&has_old), &started(&[other], "Waiting")), 1);
    assert_eq!(of(Some(&has_old), &started(&[other, UID], "Waiting")), 2);
    assert_eq!(of(Some(&has_begun), &started(&[], "Waiting")), 2);
    // The first migration of a new Tenant failed, so that the schema of its database is unknown.
    let is_unknown = SchemaStatus {
        version: None,
        checksum: None,
        ..has_begun.clone()
    };
    let mut behind = started(&[], "Waiting");
    behind["reach"] = json!("0000000000000001");
    assert_eq!(of(Some(&is_unknown), &behind), 2);
    // Before its approval, a rollout that was created again reaches nobody.
    let unstarted = json!({"phase": "AwaitingApproval"});
    assert_eq!(of(Some(&has_begun), &unstarted), 1);
    // New Tenants follow the reach, and so do all others once the rollout has ended.
    assert_eq!(of(None, &started(&[], "Waiting")), 2);
    assert_eq!(of(None, &unstarted), 1);
    assert_eq!(of(Some(&has_old), &started(&[], "Completed")), 2);
}

#[test]
fn a_skipped_tenant_keeps_its_schema_even_after_the_rollout() {
    let (old, new) = (content(&[A]), content(&[A, B]));
    let skip = json!({"skip": [{"namespace": "acme", "name": "one"}]});
    let done = json!({"phase": "Completed", "reach": Place::LAST.to_string()});
    let rollouts = [rollout(2, &new, &skip, &done)];
    let has_old = schema(&old);
    let target = assigned(&new, &rollouts, tenant(LOW, BEFORE, Some(&has_old)));
    assert_eq!(target, (1, None));
}

#[test]
fn nothing_is_taken_back_from_a_tenant_by_a_newer_rollout() {
    let (old, new) = (content(&[A, B]), content(&[A, B, C]));
    let has_old = schema(&old);
    // Revision 2 brought version 2 to some Tenants before it was superseded.
    let superseded = json!({"phase": "Superseded", "reach": half()["reach"]});
    let rollouts = [
        completed(1, &content(&[A])),
        rollout(2, &old, &json!({}), &superseded),
        rollout(3, &new, &json!({}), &json!({})),
    ];
    let input = tenant(LOW, BEFORE, Some(&has_old));
    assert_eq!(assigned(&new, &rollouts, input), (2, None));
}

#[test]
fn only_a_tenant_that_the_rollout_reaches_is_backed_up_for_it() {
    let (old, new) = (content(&[A]), content(&[A, B]));
    let spec = json!({"rollout": {"backup": "Branch", "backupExpirySeconds": 7_200}});
    let rollouts = [completed(1, &old), rollout(2, &new, &spec, &half())];
    let has_old = schema(&old);
    let backup = |order| assign(&new, &rollouts, tenant(order, BEFORE, Some(&has_old))).backup;
    let expected = RequiredBackup {
        kind: BackupKind::Branch,
        expiry_seconds: 7_200,
        restore_on_failure: false,
    };
    assert_eq!(backup(LOW), Some(expected));
    assert_eq!(backup(u64::MAX), None);
    let new_tenant = assign(&new, &rollouts, tenant(LOW, AFTER, None));
    assert_eq!(new_tenant.backup, None);
    // A Tenant that adopts a project gets the completed schema, and its database has data.
    let done = json!({"phase": "Completed", "reach": Place::LAST.to_string()});
    let with_backups = [
        rollout(1, &old, &spec, &done),
        rollout(2, &new, &json!({}), &half()),
    ];
    let adopting = assign(&new, &with_backups, tenant(LOW, AFTER, None));
    assert_eq!((adopting.version, adopting.backup), (1, Some(expected)));
}

#[test]
fn a_tenant_begins_only_while_its_rollout_may_migrate_further_ones() {
    let (old, new) = (content(&[A]), content(&[A, B]));
    let has_old = schema(&old);
    let has_begun = SchemaStatus {
        rollout: Some("r2".to_owned()),
        ..has_old.clone()
    };
    let night = json!({"rollout": {"window": {"from": "22:00", "to": "04:00"}}});
    let day = json!({"rollout": {"window": {"from": "09:00", "to": "17:00"}}});
    let on_use = json!({"rollout": {"wake": "OnUse"}});
    let on_use_at_night =
        json!({"rollout": {"wake": "OnUse", "window": {"from": "22:00", "to": "04:00"}}});
    let paused_on_use = json!({"rollout": {"wake": "OnUse"}, "paused": true});
    let status = |phase: &str| json!({"phase": phase, "reach": half()["reach"], "startedAt": AFTER, "admitted": [UID]});
    for (spec, phase, begins) in [
        (&json!({}), "Progressing", true),
        (&day, "Progressing", true),
        (&night, "Waiting", false),
        (&json!({"paused": true}), "Paused", false),
        // A Tenant that is in use.
        (&on_use, "Progressing", true),
        (&on_use_at_night, "Waiting", false),
        (&paused_on_use, "Paused", false),
        // A Tenant that was suspended until the rollout had ended.
        (&night, "Completed", true),
    ] {
        let rollouts = [completed(1, &old), rollout(2, &new, spec, &status(phase))];
        let version = |recorded| assigned(&new, &rollouts, tenant(LOW, BEFORE, recorded)).0;
        let expected = if begins { 2 } else { 1 };
        assert_eq!(version(Some(&has_old)), expected, "{spec} {phase}");
        // One that has begun finishes, and is retried if it failed.
        assert_eq!(version(Some(&has_begun)), 2, "{spec} {phase}");
        // A database without a schema does not wait.
        assert_eq!(version(None), 2, "{spec} {phase}");
    }
}

#[test]
fn a_new_tenant_gets_the_newest_completed_schema() {
    let (old, new) = (content(&[A]), content(&[A, B]));
    let running = rollout(2, &new, &json!({}), &half());
    let rollouts = [completed(1, &old), running];
    // Created after the rollout, so that it is behind all existing Tenants.
    let input = tenant(LOW, AFTER, None);
    assert_eq!(assigned(&new, &rollouts, input), (1, Some("r1".to_owned())));
    let set = migrations_of(&assign(&new, &rollouts, input), &new, &rollouts).unwrap();
    assert_eq!((set.target_version(), set.digest()), (1, old.digest()));

    let latest = json!({"rollout": {"newTenants": "Latest"}});
    let rollouts = [completed(1, &old), rollout(2, &new, &latest, &half())];
    assert_eq!(assigned(&new, &rollouts, input), (2, Some("r2".to_owned())));
    for (spec, status) in [
        (latest.clone(), json!({"phase": "AwaitingApproval"})),
        (
            json!({"rollout": {"newTenants": "Latest"}, "paused": true}),
            half(),
        ),
    ] {
        let rollouts = [completed(1, &old), rollout(2, &new, &spec, &status)];
        assert_eq!(assigned(&new, &rollouts, input).0, 1, "{spec} {status}");
    }
}

#[test]
fn a_new_tenant_gets_an_earlier_schema_whose_files_are_not_a_prefix() {
    // A file with a lower version was added later.
    let (old, new) = (content(&[A, C]), content(&[A, B, C]));
    let rollouts = [completed(1, &old), rollout(2, &new, &json!({}), &json!({}))];
    let target = assign(&new, &rollouts, tenant(LOW, AFTER, None));
    assert_eq!(target.digest, old.digest());
    let set = migrations_of(&target, &new, &rollouts).unwrap();
    let versions: Vec<i64> = set
        .selected()
        .map(crate::migrations::Migration::version)
        .collect();
    assert_eq!(versions, [1, 3]);
}

#[test]
fn without_the_files_of_the_completed_schema_a_new_tenant_gets_the_current_ones() {
    let (old, new) = (
        content(&[A]),
        content(&[("1_a.sql", "select 'changed'"), B]),
    );
    let rollouts = [completed(1, &old), rollout(2, &new, &json!({}), &json!({}))];
    assert_eq!(assigned(&new, &rollouts, tenant(LOW, AFTER, None)).0, 2);
    // An existing Tenant keeps a schema whose files are gone; it can be opened but not migrated.
    let has_old = schema(&old);
    let target = assign(&new, &rollouts, tenant(LOW, BEFORE, Some(&has_old)));
    assert_eq!(target.digest, old.digest());
    assert_eq!(migrations_of(&target, &new, &rollouts), None);
}

#[test]
fn without_rollouts_existing_tenants_keep_their_schema_and_new_ones_get_the_current_one() {
    let (old, new) = (content(&[A]), content(&[A, B]));
    let has_old = schema(&old);
    assert_eq!(assigned(&new, &[], tenant(LOW, BEFORE, None)), (2, None));
    let input = tenant(LOW, BEFORE, Some(&has_old));
    assert_eq!(assigned(&new, &[], input), (1, None));
}

#[test]
fn a_database_without_migrations_waits_for_its_wave_as_well() {
    let new = content(&[A]);
    let unmanaged = SchemaStatus {
        version: None,
        target: None,
        checksum: None,
        ..schema(&new)
    };
    let rollouts = [rollout(1, &new, &json!({}), &half())];
    let of = |order| {
        let input = tenant(order, BEFORE, Some(&unmanaged));
        assign(&new, &rollouts, input).is_managed()
    };
    assert_eq!((of(LOW), of(HIGH)), (true, false));
}

#[test]
fn a_database_whose_first_migrations_failed_waits_for_the_next_rollout() {
    let new = content(&[A]);
    let failed = SchemaStatus {
        version: None,
        checksum: None,
        rollout: Some("an-earlier-one".to_owned()),
        ..schema(&new)
    };
    let rollouts = [rollout(1, &new, &json!({}), &half())];
    let of = |order| {
        let input = tenant(order, BEFORE, Some(&failed));
        assign(&new, &rollouts, input).is_managed()
    };
    assert_eq!((of(LOW), of(HIGH)), (true, false));
}

#[test]
fn a_class_without_migrations_assigns_none() {
    let set = MigrationSet::unmanaged();
    let has_old = schema(&content(&[A]));
    let target = assign(
        &set,
        &[completed(1, &content(&[A]))],
        tenant(LOW, BEFORE, Some(&has_old)),
    );
    assert_eq!(target, SchemaTarget::default());
}

#[test]
fn selected_canaries_come_first_and_later_tenants_last() {
    let spec = json!({"rollout": {"canary": {"selector": {"matchLabels": {"tier": "test"}}}}});
    let rollout = rollout(1, &content(&[A]), &spec, &json!({}));
    let labels = BTreeMap::from([("tier".to_owned(), "test".to_owned())]);
    let place_of = |order, created_at: &str, labels| {
        let created_at = Some(created_at.parse().unwrap());
        place(
            PlaceInput {
                order,
                created_at,
                labels,
            },
            &rollout,
        )
    };
    let places = [
        place_of(u64::MAX, AFTER, Some(&labels)),
        place_of(0, BEFORE, None),
        place_of(u64::MAX, BEFORE, None),
        place_of(0, AFTER, None),
        Place::LAST,
    ];
    assert!(places.is_sorted() && places[0] < places[1], "{places:?}");
    assert!(places[0].is_selected_canary() && !places[1].is_selected_canary());
    for place in places {
        assert_eq!(Place::parse(&place.to_string()), Some(place));
    }
}
