//! Writes the connection Secret, and reads the password back from it.

use crds::{Binding, Reason, SECRET_TYPE, keys};
use k8s_openapi::api::core::v1::Secret;
use neon_client::ids::ProjectId;
use secrecy::SecretString;

use super::credentials::fetch_credentials;
use crate::cache::{ObservedSecret, controller_of};
use crate::cluster::{ClusterError, SecretToWrite};
use crate::error::ReconcileError;
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
        SecretTarget::Owned { uid } => uid,
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
    rec.status.connection = Some(connection);
    rec.status.binding = Some(Binding { name: name.clone() });
    rec.publish_event(
        Reason::SecretWritten,
        &format!("wrote the credentials of project {id} to Secret {name}"),
    );
    Ok(())
}

/// The Secret to write to.
enum SecretTarget {
    Owned {
        uid: String,
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
    let owned = is_owned(&secret, rec.uid) && secret.type_.as_deref() == Some(SECRET_TYPE);
    let controller = controller_of(&secret.metadata);
    Ok(match (secret.metadata.uid.clone(), controller) {
        (Some(uid), _) if owned => SecretTarget::Owned { uid },
        (_, Some((name, uid)))
            if *name == *rec.key.name && TenantUid::parse(uid) != Some(rec.uid) =>
        {
            SecretTarget::Unusable(ObservedSecret::OwnedByPredecessor)
        }
        _ => SecretTarget::Unusable(ObservedSecret::NotOwned),
    })
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
        format!("Secret {name} was deleted or changed meanwhile; it will be written again"),
    )
}

fn cluster_error(error: ClusterError) -> ReconcileError {
    ReconcileError::cluster(Component::Credentials, error)
}
