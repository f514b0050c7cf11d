//! Credentials: from Neon into the Secret, by way of nothing else.

use crds::{Binding, Reason};
use k8s_openapi::api::core::v1::Secret;
use neon_client::ErrorKind;
use neon_client::ids::{BranchId, ProjectId};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::connection_string;
use super::create::{compute_of, operations_over};
use crate::cache::{NamespacedName, controller_of};
use crate::cluster::{ClusterError, SecretToWrite};
use crate::error::ReconcileError;
use crate::identity::TenantUid;
use crate::tenant::observed::{ObservedState, ObservedSecret};
use crate::tenant::reconciliation::Reconciliation;
use crate::tenant::status::Component;

/// Writes the Secret, with the credentials in hand or, where there are none, with those that Neon gives.
pub(super) async fn write_secret(
    rec: &mut Reconciliation<'_>,
    observed: &ObservedState,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    let name = rec.desired()?.secret_name.clone();
    let in_hand = rec
        .state
        .credentials
        .as_ref()
        .is_some_and(|(of, _)| of == id)
        && !rec.state.password_rejected;
    if !in_hand {
        fetch(rec, id).await?;
    }
    let Some((_, details)) = &rec.state.credentials else {
        return Err(ReconcileError::transient(
            Component::Credentials,
            Reason::UpdatingSecret,
            "Neon gave no credentials",
        ));
    };
    let (data, connection) = (details.to_data(), details.connection.clone());
    let uid = match secret_uid(rec, &name).await? {
        Ok(uid) => uid,
        Err(other) => {
            rec.state.secret = Some(other);
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
        .await;
    let written = written.map_err(|error| ReconcileError::cluster(Component::Credentials, &error))?;
    rec.ctx.secrets.record_write(&written);
    rec.status.connection = Some(connection);
    rec.status.binding = Some(Binding { name: name.clone() });
    rec.say(
        Reason::SecretWritten,
        &format!("wrote Secret {name} with the credentials of project {id}"),
    );
    Ok(())
}

/// UID of the Secret to write to, made if there is none; or what the Secret of that name is instead.
async fn secret_uid(rec: &Reconciliation<'_>, name: &str) -> Result<Result<String, ObservedSecret>, ReconcileError> {
    let failed = |error: ClusterError| ReconcileError::cluster(Component::Credentials, &error);
    let key = NamespacedName {
        namespace: rec.key.namespace.clone(),
        name: name.into(),
    };
    let found = if rec.observed_secret(name) == ObservedSecret::Missing {
        None
    } else {
        rec.ctx.cluster.secret(&key).await.map_err(failed)?
    };
    let secret = match found {
        Some(secret) => secret,
        None => match rec.ctx.cluster.reserve_secret(&rec.tenant, name).await {
            Ok(secret) => secret,
            // It is there, and has no label that the watch would have shown it by.
            Err(ClusterError::Exists { .. }) => {
                let found = rec.ctx.cluster.secret(&key).await.map_err(failed)?;
                found.ok_or_else(|| went_away(name))?
            }
            Err(error) => return Err(failed(error)),
        },
    };
    let owner = controller_of(&secret.metadata);
    let ours = is_ours(&secret, rec.uid) && secret.type_.as_deref() == Some(crds::SECRET_TYPE);
    Ok(match (secret.metadata.uid.clone(), owner) {
        (Some(uid), _) if ours => Ok(uid),
        (_, Some((name, uid)))
            if *name == *rec.key.name && TenantUid::parse(uid) != Some(rec.uid) =>
        {
            Err(ObservedSecret::OwnedByPredecessor)
        }
        _ => Err(ObservedSecret::NotOwned),
    })
}

fn is_ours(secret: &Secret, tenant: TenantUid) -> bool {
    controller_of(&secret.metadata).and_then(|(_, uid)| TenantUid::parse(uid)) == Some(tenant)
}

/// The password for opening the database: the one in hand, or the one in the Secret.
pub(super) async fn password(rec: &Reconciliation<'_>, id: &ProjectId) -> Result<SecretString, ReconcileError> {
    if let Some((of, details)) = &rec.state.credentials
        && of == id
    {
        return Ok(SecretString::from(details.password.clone()));
    }
    let name = rec.desired()?.secret_name.clone();
    let key = NamespacedName {
        namespace: rec.key.namespace.clone(),
        name: name.as_str().into(),
    };
    let secret = rec
        .ctx
        .cluster
        .secret(&key)
        .await
        .map_err(|error| ReconcileError::cluster(Component::Credentials, &error))?;
    let password = secret
        .filter(|secret| is_ours(secret, rec.uid))
        .and_then(|secret| secret.data?.remove(crds::keys::PASSWORD))
        .and_then(|value| String::from_utf8(value.0).ok());
    password
        .map(SecretString::from)
        .ok_or_else(|| went_away(&name))
}

fn went_away(secret: &str) -> ReconcileError {
    ReconcileError::transient(
        Component::Credentials,
        Reason::UpdatingSecret,
        format!("Secret {secret} went away while it was needed; it is written again"),
    )
}

/// Reads the credentials from Neon; resets the password where Neon does not reveal it, or where what it reveals is
/// refused by the database.
async fn fetch(rec: &mut Reconciliation<'_>, id: &ProjectId) -> Result<(), ReconcileError> {
    const DOING: &str = "reading the project's credentials";
    let desired = rec.desired()?.clone();
    let neon = rec.account()?.client();
    let refused = rec
        .state
        .password_rejected
        .then(|| rec.state.credentials.take())
        .flatten();
    let answer = neon
        .projects()
        .connection_uri(id, &desired.database, &desired.owner)
        .pooled(false)
        .send()
        .await;
    let uri = match answer {
        Ok(answer) => Some(answer.uri),
        Err(error) if error.kind() == ErrorKind::PreconditionFailed => None,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => {
            return Err(ReconcileError::permanent(
                Component::Credentials,
                if desired.adopt.is_some() {
                    Reason::AdoptionMismatch
                } else {
                    Reason::DatabaseUnreachable
                },
                format!(
                    "project {id} has no database {} owned by role {}: restore them in Neon, or name those that are \
                     there in spec.database of a new Tenant ({})",
                    desired.database,
                    desired.owner,
                    service_kit::error_chain(&error)
                ),
            ));
        }
        Err(error) => return Err(ReconcileError::neon(Component::Credentials, DOING, &error)),
    };
    let revealed = match &uri {
        Some(uri) => take(rec, id, uri)?,
        None => false,
    };
    let same = match (&refused, &rec.state.credentials) {
        (Some((_, before)), Some((_, now))) => before.password == now.password,
        // The database refused what stands in the Secret, and Neon reveals what it believes: try that first.
        _ => false,
    };
    if revealed && !same && !(rec.state.password_rejected && rec.state.password_read) {
        rec.state.password_rejected = false;
        rec.state.password_read = true;
        return Ok(());
    }
    reset(rec, id, uri.as_ref()).await
}

async fn reset(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
    uri: Option<&SecretString>,
) -> Result<(), ReconcileError> {
    const DOING: &str = "resetting the owner's password";
    let desired = rec.desired()?.clone();
    if desired
        .adopt
        .as_ref()
        .is_some_and(|adopt| !adopt.reset_password)
    {
        return Err(ReconcileError::permanent(
            Component::Credentials,
            Reason::PasswordUnavailable,
            format!(
                "Neon does not reveal a working password of role {} in the adopted project {id}: set \
                 spec.adopt.resetPassword to true if it may be reset, which locks out whoever uses the old one",
                desired.owner
            ),
        ));
    }
    if rec.state.password_reset {
        return Err(ReconcileError::permanent(
            Component::Credentials,
            Reason::DatabaseUnreachable,
            format!(
                "the database of project {id} refuses a password that was just reset: look at it in Neon"
            ),
        ));
    }
    let neon = rec.account()?.client();
    let recorded = rec
        .status
        .project
        .as_ref()
        .and_then(|project| project.branch_id.as_ref()?.parse().ok());
    let branch: BranchId = match recorded {
        Some(branch) => branch,
        None => match compute_of(rec, id, DOING).await? {
            Some(endpoint) => endpoint.branch_id,
            None => {
                return Err(ReconcileError::permanent(
                    Component::Credentials,
                    Reason::NeonRequestRejected,
                    format!(
                        "project {id} has no compute that takes writes: add one to its default branch in Neon"
                    ),
                ));
            }
        },
    };
    let answer = neon
        .roles(id, &branch)
        .reset_password(&desired.owner)
        .send()
        .await;
    let answer = answer.map_err(|error| ReconcileError::neon(Component::Credentials, DOING, &error))?;
    rec.state.password_reset = true;
    rec.state.password_rejected = false;
    let operations: Vec<_> = answer
        .operations
        .iter()
        .map(|operation| operation.id)
        .collect();
    operations_over(rec, id, &operations).await?;
    rec.say(
        Reason::PasswordReset,
        &format!(
            "reset the password of role {}, since Neon does not reveal it",
            desired.owner
        ),
    );
    let password = answer
        .role
        .password
        .as_ref()
        .map(|password| password.expose_secret().to_owned());
    if let (Some((_, details)), Some(password)) = (&mut rec.state.credentials, password.clone()) {
        details.password = password;
        return Ok(());
    }
    let uri = match uri {
        Some(uri) => uri.clone(),
        None => uri_after_reset(rec, id).await?,
    };
    take(rec, id, &uri)?;
    if let (Some((_, details)), Some(password)) = (&mut rec.state.credentials, password) {
        details.password = password;
    }
    Ok(())
}

/// Where Neon gave no connection string before the reset, it may give one with the new password.
async fn uri_after_reset(rec: &Reconciliation<'_>, id: &ProjectId) -> Result<SecretString, ReconcileError> {
    let (desired, neon) = (rec.desired()?, rec.account()?.client());
    let uri = neon
        .projects()
        .connection_uri(id, &desired.database, &desired.owner)
        .pooled(false);
    match uri.send().await {
        Ok(answer) => Ok(answer.uri),
        Err(error) if error.kind() == ErrorKind::PreconditionFailed => uri_of_host(rec, id).await,
        Err(error) => Err(ReconcileError::neon(
            Component::Credentials,
            "reading the connection string",
            &error,
        )),
    }
}

/// A connection string without a password, from what is known of the compute.
async fn uri_of_host(rec: &Reconciliation<'_>, id: &ProjectId) -> Result<SecretString, ReconcileError> {
    let desired = rec.desired()?;
    let host = match (
        &rec.status.connection,
        compute_of(rec, id, "finding the project's host").await?,
    ) {
        (Some(connection), _) => format!("{}:{}", connection.host, connection.port),
        (None, Some(endpoint)) => endpoint.host,
        (None, None) => String::new(),
    };
    let mut uri = Url::parse(&format!("postgresql://{host}/")).map_err(|_| unreadable(id))?;
    let named = uri.set_username(desired.owner.as_str()).is_ok();
    uri.set_path(desired.database.as_str());
    if let Some(options) = rec
        .status
        .connection
        .as_ref()
        .and_then(|connection| connection.options.as_deref())
    {
        uri.query_pairs_mut().append_pair("options", options);
    }
    if named {
        Ok(SecretString::from(uri.to_string()))
    } else {
        Err(unreadable(id))
    }
}

fn unreadable(id: &ProjectId) -> ReconcileError {
    ReconcileError::transient(
        Component::Credentials,
        Reason::NeonRequestRejected,
        format!("the connection string that Neon gives for project {id} cannot be read"),
    )
}

/// Takes a connection string of Neon's into the pass's hands. Says whether it has a password.
pub(super) fn take(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
    uri: &SecretString,
) -> Result<bool, ReconcileError> {
    let ca = rec
        .class
        .as_ref()
        .and_then(|class| class.spec.neon.ca_bundle.clone());
    let details =
        connection_string::parse(uri.expose_secret(), ca).ok_or_else(|| unreadable(id))?;
    let has_password = !details.password.is_empty();
    rec.state.credentials = Some((id.clone(), details));
    Ok(has_password)
}
