//! Whether a workspace's database can be used now. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::view::{Note, SCHEMA_NEEDED, TenantView};
use crate::workspaces::{Workspace, WorkspaceState};

/// For so long after a workspace was made a Tenant that is not seen may be one that the watch has not told of yet.
const NEWS_TAKES: Duration = Duration::from_secs(30);
/// When to look again at what is not known yet.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Why a workspace's database cannot be used now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// It is being made, or made ready. `None`: the controller has not said a word yet.
    #[error("the database is being made ready")]
    Provisioning(Option<Note>),
    /// A person has to mend something before it can be used.
    #[error("the database waits for a person ({reason})", reason = .0.reason)]
    Stalled(Note),
    /// Its schema is older than what this app needs; it is brought up by itself.
    #[error("the database has schema {has:?}, and {needs} is needed")]
    SchemaBehind {
        /// What it has.
        has: Option<i64>,
        /// What is needed.
        needs: i64,
    },
    /// Its Tenant is gone or going, and not by the app's doing. It is not made again.
    #[error("the database is gone")]
    Gone,
    /// A Tenant of its name is there and is another one. It is not touched.
    #[error("what bears the database's name is not this workspace's")]
    NotOurs,
    /// So many databases are in use that there is no room for one more.
    #[error("too many databases are in use")]
    Busy,
    /// It cannot be reached, or not yet: it may be waking up.
    #[error("the database cannot be reached")]
    Unreachable {
        /// When to try again.
        retry_after: Duration,
    },
}

/// What the view means for the workspace. `is_filled`: the first list is complete, so that absence says something.
pub(super) fn of(
    workspace: &Workspace,
    view: Option<Arc<TenantView>>,
    is_filled: bool,
    now: Timestamp,
) -> Result<Arc<TenantView>, Unavailable> {
    if workspace.state == WorkspaceState::Removing {
        return Err(Unavailable::Gone);
    }
    let Some(view) = view else {
        return Err(absent(workspace, is_filled, now));
    };
    if !view.belongs_to(&workspace.id, workspace.tenant_uid.as_deref()) {
        return Err(Unavailable::NotOurs);
    }
    if view.is_deleting {
        return Err(Unavailable::Gone);
    }
    if !view.is_available {
        return Err(match (&view.stalled, &view.reconciling) {
            (Some(note), _) => Unavailable::Stalled(Note::clone(note)),
            (None, note) => Unavailable::Provisioning(note.as_deref().cloned()),
        });
    }
    if view
        .schema_version
        .is_none_or(|version| version < SCHEMA_NEEDED)
    {
        return Err(Unavailable::SchemaBehind {
            has: view.schema_version,
            needs: SCHEMA_NEEDED,
        });
    }
    Ok(view)
}

fn absent(workspace: &Workspace, is_filled: bool, now: Timestamp) -> Unavailable {
    let is_new = now.duration_since(workspace.created_at).unsigned_abs() < NEWS_TAKES;
    if workspace.tenant_uid.is_none() || is_new {
        Unavailable::Provisioning(None)
    } else if is_filled {
        Unavailable::Gone
    } else {
        Unavailable::Unreachable {
            retry_after: LOOK_AGAIN,
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
                target: 2,
                checksum: None,
                applied_at: None,
                project_id: None,
            }),
            ..TenantStatus::default()
        });
        tenant
    }

    fn verdict(workspace: &Workspace, tenant: Option<Tenant>) -> Result<(), Unavailable> {
        let view = tenant.map(|tenant| Arc::new(TenantView::of(tenant)));
        of(workspace, view, true, now()).map(|_| ())
    }

    fn note(reason: &str) -> Note {
        Note {
            reason: reason.into(),
            message: "words".into(),
        }
    }

    #[test]
    fn a_failing_edit_leaves_a_database_in_use() {
        let workspace = workspace(Some("one"));
        let stalled = tenant(
            &workspace,
            &[
                ("Available", "ReconcileSucceeded"),
                ("Stalled", "ClassLimitExceeded"),
            ],
            Some(2),
        );
        assert_eq!(verdict(&workspace, Some(stalled)), Ok(()));
    }

    #[test]
    fn what_is_waited_for_is_told_with_its_reason() {
        let workspace = workspace(Some("one"));
        for (conditions, schema, expected) in [
            (&[][..], None, Unavailable::Provisioning(None)),
            (
                &[("Reconciling", "CreatingProject")],
                None,
                Unavailable::Provisioning(Some(note("CreatingProject"))),
            ),
            (
                &[("Stalled", "ClassNotFound")],
                None,
                Unavailable::Stalled(note("ClassNotFound")),
            ),
            (
                &[("Available", "ReconcileSucceeded")],
                Some(1),
                Unavailable::SchemaBehind {
                    has: Some(1),
                    needs: SCHEMA_NEEDED,
                },
            ),
        ] {
            let tenant = tenant(&workspace, conditions, schema);
            assert_eq!(
                verdict(&workspace, Some(tenant)),
                Err(expected),
                "{conditions:?}"
            );
        }
    }

    #[test]
    fn another_tenant_of_the_name_is_never_taken_for_ours() {
        let workspace = workspace(Some("another"));
        let available = &[("Available", "ReconcileSucceeded")][..];
        let other_uid = tenant(&workspace, available, Some(2));
        assert_eq!(
            verdict(&workspace, Some(other_uid)),
            Err(Unavailable::NotOurs)
        );
        let mut unlabelled = tenant(&workspace, available, Some(2));
        unlabelled.metadata.uid = Some("another".to_owned());
        unlabelled.metadata.labels = None;
        assert_eq!(
            verdict(&workspace, Some(unlabelled)),
            Err(Unavailable::NotOurs)
        );
    }

    #[test]
    fn absence_is_news_only_of_a_tenant_that_was_known() {
        let known = workspace(Some("one"));
        assert_eq!(verdict(&known, None), Err(Unavailable::Gone));
        assert!(matches!(
            of(&known, None, false, now()),
            Err(Unavailable::Unreachable { .. })
        ));
        assert_eq!(
            verdict(&workspace(None), None),
            Err(Unavailable::Provisioning(None))
        );
        let new = Workspace {
            created_at: now(),
            ..workspace(Some("one"))
        };
        assert_eq!(verdict(&new, None), Err(Unavailable::Provisioning(None)));
    }

    #[test]
    fn a_tenant_that_somebody_deletes_is_gone_before_it_is_gone() {
        let workspace = workspace(Some("one"));
        let mut tenant = tenant(&workspace, &[("Available", "ReconcileSucceeded")], Some(2));
        tenant.metadata.deletion_timestamp = Some(
            serde_json::from_value(serde_json::json!("2026-01-02T03:04:05Z")).expect("a time"),
        );
        assert_eq!(verdict(&workspace, Some(tenant)), Err(Unavailable::Gone));
    }
}
