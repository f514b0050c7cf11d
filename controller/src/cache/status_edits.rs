//! Removes from a Tenant what another client wrote into its status, where the controller can read it
//! from its source again: the connection and the recorded compute from Neon, the schema from the
//! database. The reconciliation then treats them as unknown.
//!
//! Every write of the controller makes it the owner of all fields of the status that it sets. A
//! client that changes a field takes it over, which `managedFields` shows.

use crds::{FIELD_MANAGER, Tenant};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde::Serialize;
use serde_json::Value;

pub(super) fn is_status(entry: &ManagedFieldsEntry) -> bool {
    entry.subresource.as_deref() == Some("status")
}

pub(super) fn is_own(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER)
}

pub(super) fn discard_edits(tenant: &mut Tenant) {
    let entries = tenant.metadata.managed_fields.as_deref();
    let entries = entries.unwrap_or_default();
    if !entries.iter().any(is_status) {
        return;
    }
    let own: Vec<&Value> = entries
        .iter()
        .filter(|entry| is_status(entry) && is_own(entry))
        .filter_map(|entry| entry.fields_v1.as_ref()?.0.get("f:status"))
        .collect();
    let Some(status) = &mut tenant.status else {
        return;
    };
    if !owns(&own, "f:connection", &status.connection) {
        status.connection = None;
    }
    if !owns(&own, "f:schema", &status.schema) {
        status.schema = None;
    }
    if !owns(&own, "f:project", &status.project)
        && let Some(project) = &mut status.project
    {
        // The project is inspected again.
        project.checked_at = None;
    }
}

/// Whether the controller owns all fields of a part of the status.
fn owns(own: &[&Value], part: &str, value: &impl Serialize) -> bool {
    let Ok(Value::Object(fields)) = serde_json::to_value(value) else {
        return true;
    };
    fields.keys().all(|name| {
        let field = format!("f:{name}");
        own.iter().any(|owned| {
            owned
                .get(part)
                .is_some_and(|owned| owned.get(&field).is_some())
        })
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, fields: Value) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.to_owned()),
            subresource: Some("status".to_owned()),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }
    }

    fn tenant(entries: Vec<ManagedFieldsEntry>) -> Tenant {
        let mut tenant = Tenant::new("one", crds::TenantSpec::default());
        tenant.metadata.managed_fields = Some(entries);
        tenant.status = serde_json::from_value(json!({
            "connection": {
                "host": "h", "pooledHost": "p", "port": 5432, "database": "d", "role": "r",
                "sslMode": "require",
            },
            "schema": { "version": 3, "target": 3 },
            "project": { "id": "calm-sea-1", "region": "r", "name": "n", "checkedAt": "v1" },
        }))
        .unwrap();
        tenant
    }

    fn own_fields() -> Value {
        json!({ "f:status": {
            "f:connection": {
                "f:host": {}, "f:pooledHost": {}, "f:port": {}, "f:database": {}, "f:role": {},
                "f:sslMode": {},
            },
            "f:schema": { "f:version": {}, "f:target": {} },
            "f:project": {
                "f:id": {}, "f:region": {}, "f:name": {}, "f:adopted": {}, "f:reclaimed": {},
                "f:checkedAt": {},
            },
        } })
    }

    #[test]
    fn what_the_controller_wrote_is_kept() {
        for entries in [
            vec![],
            vec![entry(FIELD_MANAGER, own_fields())],
            vec![
                entry("velero-server", own_fields()),
                entry(FIELD_MANAGER, own_fields()),
            ],
        ] {
            let before = tenant(entries);
            let mut after = before.clone();
            discard_edits(&mut after);
            assert_eq!(after, before);
        }
    }

    #[test]
    fn a_part_with_a_field_of_another_client_is_read_again() {
        for (part, field) in [
            ("f:connection", "f:host"),
            ("f:schema", "f:version"),
            ("f:project", "f:region"),
        ] {
            let mut own = own_fields();
            own["f:status"][part].as_object_mut().unwrap().remove(field);
            let theirs = json!({ "f:status": { part: { field: {} } } });
            let mut edited = tenant(vec![
                entry(FIELD_MANAGER, own),
                entry("kubectl-edit", theirs),
            ]);
            discard_edits(&mut edited);
            let status = edited.status.unwrap();
            let kept = (
                status.connection.is_some(),
                status.schema.is_some(),
                status.project.unwrap().checked_at.is_some(),
            );
            let expected = (
                part != "f:connection",
                part != "f:schema",
                part != "f:project",
            );
            assert_eq!(kept, expected, "{part}");
        }
    }

    #[test]
    fn a_restored_status_is_read_again_except_for_the_project() {
        let mut restored = tenant(vec![entry("velero-server", own_fields())]);
        discard_edits(&mut restored);
        let status = restored.status.unwrap();
        assert_eq!((status.connection, status.schema), (None, None));
        assert_eq!(status.project.unwrap().id, "calm-sea-1");
    }
}
