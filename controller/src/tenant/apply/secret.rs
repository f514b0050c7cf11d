//! Writes the connection Secret, and reads the password back from it.

use std::collections::BTreeMap;

use crds::{Binding, ConditionType, Reason, SECRET_TYPE, annotations, find_condition, keys};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use neon_client::ids::ProjectId;
use secrecy::SecretString;

use super::credentials::{fetch_credentials, reveal_credentials};
use crate::cache::{ObservedSecret, controller_of, restored_for};
use crate::cluster::{ClusterError, SecretToWrite};
use crate::error::ReconcileError;
use crate::events::ControllerEvent;
use crate::identity::TenantUid;
use crate::issue::Component;
use crate::tenant::observed::ObservedState;
use crate::tenant::reconciliation::Reconciliation;

/// Writes the Secret with the credentials that this reconciliation knows, or with those that Neon
/// returns.
pub(super) async fn write_secret(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    let name = rec.desired()?.secret_name.clone();
    // Before any call to Neon: check whether the Secret of another owner still exists.
    if has_conflict(rec)
        && let Some(secret) = rec
            .ctx
            .cluster
            .secret(&rec.key_of(&name))
            .await
            .map_err(cluster_error)?
        && let SecretTarget::Unusable(secret) = target_of(rec, &secret)
    {
        rec.state.secret = Some(secret);
        return Ok(());
    }
    record_repair(rec, &name);
    let known = rec
        .state
        .credentials
        .as_ref()
        .is_some_and(|(project, _)| project == id);
    if !known || rec.state.password_rejected {
        fetch_credentials(rec, id).await?;
    }
    let Some((_, details)) = &rec.state.credentials else {
        return Err(ReconcileError::transient(
            Component::Credentials,
            Reason::UpdatingSecret,
            "Neon returned no credentials",
        ));
    };
    let (data, connection) = (details.to_data(), details.connection.clone());
    let uid = match find_or_create(rec, &name).await? {
        SecretTarget::Owned {
            uid,
            immutable: false,
        } => uid,
        SecretTarget::Owned {
            immutable: true, ..
        } => return Err(immutable_secret(&name)),
        SecretTarget::Unusable(secret) => {
            rec.state.secret = Some(secret);
            return Ok(());
        }
    };
    let content = SecretToWrite {
        name: &name,
        data,
        project: id.as_str(),
        ca_digest: observed.ca_digest.as_deref(),
    };
    let written = rec
        .ctx
        .cluster
        .write_secret(&rec.tenant, &uid, content)
        .await
        .map_err(cluster_error)?;
    rec.ctx.secrets.record_write(&written);
    rec.state.secret_differs = false;
    rec.status.connection = Some(connection);
    let previous = rec.status.binding.take();
    let renamed = previous
        .as_ref()
        .is_some_and(|previous| previous.name != name);
    let previous_name = previous.and_then(|previous| {
        if renamed {
            Some(previous.name)
        } else {
            previous.previous_name
        }
    });
    if let Some(previous) = previous_name.as_ref().filter(|_| renamed) {
        rec.publish_event(&ControllerEvent::SecretRenamed { previous });
    }
    rec.status.binding = Some(Binding {
        name: name.clone(),
        resource_version: written.metadata.resource_version,
        previous_name,
    });
    rec.publish_event(&ControllerEvent::SecretWritten {
        project: id,
        secret: &name,
    });
    Ok(())
}

/// The Secret to write to.
enum SecretTarget {
    Owned {
        uid: String,
        immutable: bool,
    },
    /// The Tenant does not own the Secret of that name.
    Unusable(ObservedSecret),
}

async fn find_or_create(
    rec: &Reconciliation<'_>,
    name: &str,
) -> Result<SecretTarget, ReconcileError> {
    let cluster = &rec.ctx.cluster;
    let key = rec.key_of(name);
    let existing = if rec.observed_secret(name) == ObservedSecret::Missing {
        None
    } else {
        cluster.secret(&key).await.map_err(cluster_error)?
    };
    let secret = match existing {
        Some(secret) => secret,
        None => match cluster.reserve_secret(&rec.tenant, name).await {
            Ok(secret) => secret,
            // The Secret lacks the label that the watch selects by.
            Err(ClusterError::Exists { .. }) => cluster
                .secret(&key)
                .await
                .map_err(cluster_error)?
                .ok_or_else(|| secret_deleted(name))?,
            Err(error) => return Err(cluster_error(error)),
        },
    };
    Ok(target_of(rec, &secret))
}

fn target_of(rec: &Reconciliation<'_>, secret: &Secret) -> SecretTarget {
    let owned = (is_owned(secret, rec.uid) || is_restored(rec, secret))
        && secret.type_.as_deref() == Some(SECRET_TYPE);
    let controller = controller_of(&secret.metadata);
    match (secret.metadata.uid.clone(), controller) {
        (Some(uid), _) if owned => SecretTarget::Owned {
            uid,
            immutable: secret.immutable == Some(true),
        },
        (_, Some((name, uid)))
            if *name == *rec.key.name && TenantUid::parse(uid) != Some(rec.uid) =>
        {
            SecretTarget::Unusable(ObservedSecret::OwnedByPredecessor)
        }
        _ => SecretTarget::Unusable(ObservedSecret::NotOwned),
    }
}

/// Whether the last reconciliation found a Secret of another owner.
fn has_conflict(rec: &Reconciliation<'_>) -> bool {
    find_condition(&rec.status.conditions, ConditionType::CredentialsReady)
        .is_some_and(|condition| condition.reason == Reason::SecretConflict.as_str())
}

fn immutable_secret(name: &str) -> ReconcileError {
    ReconcileError::permanent(
        Component::Credentials,
        Reason::SecretConflict,
        format!(
            "Secret {name} is immutable and its content is outdated: delete it, and the controller writes it again"
        ),
    )
}

/// Counts the repair of a Secret that another client changed. Reports repeated changes once.
fn record_repair(rec: &Reconciliation<'_>, name: &str) {
    let written = rec
        .status
        .binding
        .as_ref()
        .is_some_and(|binding| binding.name == name);
    // The difference that a check found was counted then.
    if !written || rec.state.password_rejected || rec.state.secret_differs {
        return;
    }
    if rec.ctx.secret_repairs.record(rec.uid, rec.ctx.clock.now()) {
        rec.publish_event(&ControllerEvent::SecretContested { secret: name });
    }
}

/// Compares the Secret's content with the credentials that Neon reveals. `managedFields` shows only
/// changes by other field managers.
pub(super) async fn check_secret(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    let name = rec.desired()?.secret_name.clone();
    record_repair(rec, &name);
    let secret = rec
        .ctx
        .cluster
        .secret(&rec.key_of(&name))
        .await
        .map_err(cluster_error)?;
    let Some(secret) = secret else {
        rec.state.secret = Some(ObservedSecret::Missing);
        return Ok(());
    };
    if let SecretTarget::Unusable(secret) = target_of(rec, &secret) {
        rec.state.secret = Some(secret);
        return Ok(());
    }
    let actual = secret.data.unwrap_or_default();
    let expected = expected_data(rec, id, &actual).await?;
    if keys::ALL
        .iter()
        .all(|key| actual.get(*key) == expected.get(*key))
    {
        if let Some(binding) = &mut rec.status.binding {
            binding.resource_version = secret.metadata.resource_version;
        }
    } else {
        rec.state.secret_differs = true;
    }
    Ok(())
}

/// The data that the Secret should have. If Neon does not reveal the password, the Secret's own is
/// assumed to be right.
async fn expected_data(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
    actual: &BTreeMap<String, ByteString>,
) -> Result<BTreeMap<String, ByteString>, ReconcileError> {
    if !reveal_credentials(rec, id).await?
        && let Some((_, details)) = &mut rec.state.credentials
    {
        let password = actual.get(keys::PASSWORD);
        details.password = password
            .and_then(|value| String::from_utf8(value.0.clone()).ok())
            .unwrap_or_default();
    }
    let credentials = rec.state.credentials.as_ref();
    Ok(credentials.map_or_else(BTreeMap::new, |(_, details)| details.to_data()))
}

/// Whether the Secret was restored from a backup and holds credentials of the Tenant's project.
fn is_restored(rec: &Reconciliation<'_>, secret: &Secret) -> bool {
    let all = secret.metadata.annotations.as_ref();
    let named = all.and_then(|all| all.get(annotations::PROJECT_ID));
    let recorded = rec.status.project.as_ref().map(|project| &project.id);
    named.is_some() && named == recorded && restored_for(&secret.metadata) == Some(&*rec.key.name)
}

fn is_owned(secret: &Secret, tenant: TenantUid) -> bool {
    controller_of(&secret.metadata).and_then(|(_, uid)| TenantUid::parse(uid)) == Some(tenant)
}

/// The password of the database's owner: from this reconciliation, or from the Secret.
pub(super) async fn owner_password(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
) -> Result<SecretString, ReconcileError> {
    if let Some((project, details)) = &rec.state.credentials
        && project == id
    {
        return Ok(SecretString::from(details.password.clone()));
    }
    let name = &rec.desired()?.secret_name;
    let secret = rec
        .ctx
        .cluster
        .secret(&rec.key_of(name))
        .await
        .map_err(cluster_error)?;
    let password = secret
        .filter(|secret| is_owned(secret, rec.uid))
        .and_then(|secret| secret.data?.remove(keys::PASSWORD))
        .and_then(|value| String::from_utf8(value.0).ok());
    password
        .map(SecretString::from)
        .ok_or_else(|| secret_deleted(name))
}

fn secret_deleted(name: &str) -> ReconcileError {
    ReconcileError::transient(
        Component::Credentials,
        Reason::UpdatingSecret,
        format!(
            "Secret {name} was deleted or changed in the meantime; the controller writes it again"
        ),
    )
}

fn cluster_error(error: ClusterError) -> ReconcileError {
    ReconcileError::cluster(Component::Credentials, error)
}
