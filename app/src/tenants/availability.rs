//! Decides whether a workspace's database can be used now. Pure: no I/O and no clock.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::view::{ConditionSummary, MIN_SCHEMA_VERSION, TenantView};
use crate::domain::{Workspace, WorkspaceState};

/// How long after a workspace's creation a missing Tenant is explained by a watch that lags behind.
const WATCH_LAG_ALLOWANCE: Duration = Duration::from_secs(30);
/// Suggested retry delay before the initial list is complete.
const UNSYNCED_RETRY_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The database is being created or migrated. `None` until the controller has reported
    /// progress.
    #[error("the database is being provisioned")]
    Provisioning(Option<ConditionSummary>),
    /// Provisioning is blocked until an operator intervenes.
    #[error("provisioning is stalled and needs an operator ({reason})", reason = .0.reason)]
    Stalled(ConditionSummary),
    /// The schema is older than this app requires. The controller's rollout will update it.
    #[error("the database has schema version {version:?}, but version {required} is required")]
    SchemaOutdated { version: Option<i64>, required: i64 },
    /// The Tenant was deleted, or is being deleted, by someone other than the app. The app does not
    /// recreate it.
    #[error("the database was deleted")]
    Deleted,
    /// A Tenant with the expected name exists but belongs to something else. It is left alone.
    #[error("the Tenant with this workspace's name does not belong to the workspace")]
    NotOwned,
    #[error("all database pools are in use")]
    PoolsExhausted,
    /// A write failed because the database has reached its size limit, or because its server has no
    /// space left. Reads work.
    #[error("the database is full")]
    Full,
    /// The database cannot be reached, possibly because its compute is starting.
    #[error("the database cannot be reached")]
    Unreachable { retry_after: Duration },
}

/// Derives the availability from the cached Tenant. `is_synced` says whether the initial list is
/// complete, so that a missing Tenant is known not to exist.
pub(super) fn check(
    workspace: &Workspace,
    view: Option<Arc<TenantView>>,
    is_synced: bool,
    now: Timestamp,
) -> Result<Arc<TenantView>, Unavailable> {
    if workspace.state == WorkspaceState::Deleting {
        return Err(Unavailable::Deleted);
    }
    let Some(view) = view else {
        return Err(absent(workspace, is_synced, now));
    };
    if !view.belongs_to(&workspace.id, workspace.tenant_uid.as_deref()) {
        return Err(Unavailable::NotOwned);
    }
    if view.is_deleting {
        return Err(Unavailable::Deleted);
    }
    if !view.is_available {
        return Err(match (&view.stalled, &view.reconciling) {
            (Some(summary), _) => Unavailable::Stalled(ConditionSummary::clone(summary)),
            (None, summary) => Unavailable::Provisioning(summary.as_deref().cloned()),
        });
    }
    if view
        .schema_version
        .is_none_or(|version| version < MIN_SCHEMA_VERSION)
    {
        return Err(Unavailable::SchemaOutdated {
            version: view.schema_version,
            required: MIN_SCHEMA_VERSION,
        });
    }
    Ok(view)
}

fn absent(workspace: &Workspace, is_synced: bool, now: Timestamp) -> Unavailable {
    let is_new = now.duration_since(workspace.created_at).unsigned_abs() < WATCH_LAG_ALLOWANCE;
    if workspace.tenant_uid.is_none() || is_new {
        Unavailable::Provisioning(None)
    } else if is_synced {
        Unavailable::Deleted
    } else {
        Unavailable::Unreachable {
            retry_after: UNSYNCED_RETRY_AFTER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::WorkspaceId;
    use crate::tenants::view::WORKSPACE_LABEL;
    use crds::{SchemaStatus, Tenant, TenantSpec, TenantStatus};
    use std::collections::BTreeMap;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().expect("a time")
    }

    fn workspace(uid: Option<&str>) -> Workspace {
        Workspace {
            id: WorkspaceId::random(),
            name: "Acme".to_owned(),
            class_name: "default".to_owned(),
            region: None,
            state: WorkspaceState::Active,
            tenant_uid: uid.map(str::to_owned),
            embedding_model: None,
            personal_of: None,
            created_at: now() - Duration::from_hours(1),
            available_at: None,
        }
    }

    fn tenant(workspace: &Workspace, conditions: &[(&str, &str)], schema: Option<i64>) -> Tenant {
        let mut tenant = Tenant::new("ws-x", TenantSpec::default());
        tenant.metadata.uid = Some("one".to_owned());
        tenant.metadata.labels = Some(BTreeMap::from([(
            WORKSPACE_LABEL.to_owned(),
            workspace.id.to_string(),
        )]));
        let conditions = conditions
            .iter()
            .map(|(kind, reason)| {
                serde_json::from_value(serde_json::json!({
                    "type": kind, "status": "True", "reason": reason, "message": "words",
                    "lastTransitionTime": "2026-01-02T03:04:05Z",
                }))
                .expect("a condition")
            })
            .collect();
        tenant.status = Some(TenantStatus {
            conditions,
            schema: Some(SchemaStatus {
                version: schema,
                target: Some(2),
                checksum: None,
                applied_at: None,
                rollout: None,
                project_id: None,
            }),
            ..TenantStatus::default()
        });
        tenant
    }

    fn availability(workspace: &Workspace, tenant: Option<Tenant>) -> Result<(), Unavailable> {
        let view = tenant.map(|tenant| Arc::new(TenantView::of(tenant)));
        check(workspace, view, true, now()).map(|_| ())
    }

    fn summary(reason: &str) -> ConditionSummary {
        ConditionSummary {
            reason: reason.into(),
            message: "words".into(),
        }
    }

    #[test]
    fn a_failed_spec_change_leaves_the_database_available() {
        let workspace = workspace(Some("one"));
        let stalled = tenant(
            &workspace,
            &[
                ("Available", "ReconcileSucceeded"),
                ("Stalled", "ClassLimitExceeded"),
            ],
            Some(2),
        );
        assert_eq!(availability(&workspace, Some(stalled)), Ok(()));
    }

    #[test]
    fn provisioning_and_outdated_schemas_are_reported_with_their_reason() {
        let workspace = workspace(Some("one"));
        for (conditions, schema, expected) in [
            (&[][..], None, Unavailable::Provisioning(None)),
            (
                &[("Reconciling", "CreatingProject")],
                None,
                Unavailable::Provisioning(Some(summary("CreatingProject"))),
            ),
            (
                &[("Stalled", "ClassNotFound")],
                None,
                Unavailable::Stalled(summary("ClassNotFound")),
            ),
            (
                &[("Available", "ReconcileSucceeded")],
                Some(1),
                Unavailable::SchemaOutdated {
                    version: Some(1),
                    required: MIN_SCHEMA_VERSION,
                },
            ),
        ] {
            let tenant = tenant(&workspace, conditions, schema);
            assert_eq!(
                availability(&workspace, Some(tenant)),
                Err(expected),
                "{conditions:?}"
            );
        }
    }

    #[test]
    fn a_tenant_with_another_uid_or_without_the_label_is_not_owned() {
        let workspace = workspace(Some("another"));
        let available = &[("Available", "ReconcileSucceeded")][..];
        let other_uid = tenant(&workspace, available, Some(2));
        assert_eq!(
            availability(&workspace, Some(other_uid)),
            Err(Unavailable::NotOwned)
        );
        let mut unlabelled = tenant(&workspace, available, Some(2));
        unlabelled.metadata.uid = Some("another".to_owned());
        unlabelled.metadata.labels = None;
        assert_eq!(
            availability(&workspace, Some(unlabelled)),
            Err(Unavailable::NotOwned)
        );
    }

    #[test]
    fn a_missing_tenant_counts_as_deleted_only_if_it_was_known() {
        let known = workspace(Some("one"));
        assert_eq!(availability(&known, None), Err(Unavailable::Deleted));
        assert!(matches!(
            check(&known, None, false, now()),
            Err(Unavailable::Unreachable { .. })
        ));
        assert_eq!(
            availability(&workspace(None), None),
            Err(Unavailable::Provisioning(None))
        );
        let new = Workspace {
            created_at: now(),
            ..workspace(Some("one"))
        };
        assert_eq!(
            availability(&new, None),
            Err(Unavailable::Provisioning(None))
        );
    }

    #[test]
    fn a_tenant_being_deleted_counts_as_deleted() {
        let workspace = workspace(Some("one"));
        let mut tenant = tenant(&workspace, &[("Available", "ReconcileSucceeded")], Some(2));
        tenant.metadata.deletion_timestamp = Some(
            serde_json::from_value(serde_json::json!("2026-01-02T03:04:05Z")).expect("a time"),
        );
        assert_eq!(
            availability(&workspace, Some(tenant)),
            Err(Unavailable::Deleted)
        );
    }
}
