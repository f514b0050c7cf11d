//! Obtains the credentials of a project from Neon: reads the connection string, or resets the
//! owner's password.

use std::time::Duration;

use crds::Reason;
use neon_client::ErrorKind;
use neon_client::ids::{BranchId, EndpointId, ProjectId};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::compute::{no_read_write_compute, read_write_compute, record_compute, recorded_compute};
use super::connection_string;
use super::operations::wait_for_operations;
use crate::error::{ReconcileError, Retry};
use crate::events::ControllerEvent;
use crate::issue::Component;
use crate::tenant::reconciliation::Reconciliation;

/// Wait before the next attempt with a password that Neon reveals and the database refused.
const REFUSAL_RETRY: Duration = Duration::from_secs(15);

/// Reads the credentials from Neon. Resets the password if Neon does not reveal it, or if the
/// database has rejected the one that Neon reveals for longer than Neon's proxy caches that.
pub(super) async fn fetch_credentials(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    let rejected = rec
        .state
        .password_rejected
        .then(|| rec.state.credentials.take())
        .flatten();
    let uri = read_connection_string(rec, id).await?;
    let revealed = match &uri {
        Some(uri) => store_credentials(rec, id, uri)?,
        None => false,
    };
    // If only the Secret's password was rejected, the one that Neon reveals is worth a try.
    let known_bad = match (&rejected, &rec.state.credentials) {
        (Some((_, rejected)), Some((_, current))) => rejected.password == current.password,
        _ => false,
    };
    if revealed && !known_bad && !(rec.state.password_rejected && rec.state.password_read) {
        rec.state.password_rejected = false;
        rec.state.password_read = true;
        return Ok(());
    }
    if revealed && rec.state.password_rejected {
        wait_for_proxy(rec, id)?;
    }
    reset_password(rec, id, uri).await
}

/// Fails while the refusal of the password that Neon reveals may come from the cache of Neon's proxy,
/// which does not know a new endpoint or role yet. A reset would not help, and closes connections.
fn wait_for_proxy(rec: &Reconciliation<'_>, id: &ProjectId) -> Result<(), ReconcileError> {
    let Some(until) = rec
        .ctx
        .password_refusals
        .record(rec.uid, rec.ctx.clock.now())
    else {
        return Ok(());
    };
    let error = ReconcileError::transient(
        Component::Schema,
        Reason::DatabaseUnreachable,
        format!(
            "the database of project {id} rejects the password that Neon reveals; Neon's proxy can reject a valid password \
             for some minutes after a change, so the controller retries until {until:.0} before it resets the password"
        ),
    );
    Err(error.with_retry(Retry::After(REFUSAL_RETRY)))
}

/// Reads the credentials from Neon, without any change. Returns whether they contain the password.
pub(super) async fn reveal_credentials(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
) -> Result<bool, ReconcileError> {
    let uri = read_or_build_connection_string(rec, id).await?;
    store_credentials(rec, id, &uri)
}

/// Reads the connection string. It has no password if Neon does not reveal it.
async fn read_or_build_connection_string(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
) -> Result<SecretString, ReconcileError> {
    match read_connection_string(rec, id).await? {
        Some(uri) => Ok(uri),
        None => build_connection_string(rec, id).await,
    }
}

/// Fails if Neon knows no such database or role. A connection would wake the compute.
pub(super) async fn check_database(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
) -> Result<(), ReconcileError> {
    read_connection_string(rec, id).await.map(drop)
}

/// Reads the connection string; `None` if Neon does not reveal the password. If the recorded compute no
/// longer exists or was moved to another branch, the current one is recorded.
async fn read_connection_string(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
) -> Result<Option<SecretString>, ReconcileError> {
    const ACTION: &str = "read the project's credentials";
    let neon = rec.neon()?;
    let desired = rec.desired()?;
    let (database, owner) = (desired.database.clone(), desired.owner.clone());
    let request = async |compute: Option<&(BranchId, EndpointId)>| {
        let compute = compute.map(|(branch, endpoint)| (branch, endpoint));
        neon.connection_uri(id, compute, &database, &owner).await
    };
    let compute = recorded_compute(rec);
    let mut answer = request(compute.as_ref()).await;
    if answer.as_ref().is_err_and(is_missing)
        && let Some(recorded) = compute
    {
        let current = read_write_compute(rec, id, ACTION)
            .await?
            .ok_or_else(|| no_read_write_compute(rec, Component::Credentials, id))?;
        record_compute(rec, &current);
        let compute = (current.branch_id, current.id);
        if compute != recorded {
            answer = request(Some(&compute)).await;
        }
    }
    match answer {
        Ok(answer) => Ok(Some(answer.uri)),
        Err(error) if error.kind() == ErrorKind::PreconditionFailed => Ok(None),
        Err(error) if is_missing(&error) => {
            let reason = if rec.desired()?.adopt.is_some() {
                Reason::AdoptionMismatch
            } else {
                Reason::DatabaseMissing
            };
            let message = format!(
                "project {id} has no database {database} owned by role {owner}: restore them in Neon, or create a new \
                 Tenant whose spec.database names existing ones"
            );
            Err(
                ReconcileError::permanent(Component::Credentials, reason, message)
                    .with_source(error),
            )
        }
        Err(error) => Err(ReconcileError::neon(Component::Credentials, ACTION, error)),
    }
}

/// Whether Neon found no such compute, database or role.
fn is_missing(error: &neon_client::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid)
}

async fn reset_password(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
    uri: Option<SecretString>,
) -> Result<(), ReconcileError> {
    const ACTION: &str = "reset the owner's password";
    check_reset_allowed(rec, id)?;
    let owner = rec.desired()?.owner.clone();
    let neon = rec.neon()?;
    // The recorded branch can be outdated: a restore in Neon moves the compute to another one.
    let compute = read_write_compute(rec, id, ACTION)
        .await?
        .ok_or_else(|| no_read_write_compute(rec, Component::Credentials, id))?;
    record_compute(rec, &compute);
    let branch = compute.branch_id;
    let answer = neon
        .reset_password(id, &branch, &owner)
        .await
        .map_err(|error| ReconcileError::neon(Component::Credentials, ACTION, error))?;
    rec.ctx.password_refusals.forget(rec.uid);
    rec.state.password_reset = true;
    rec.state.password_rejected = false;
    let operations: Vec<_> = answer
        .operations
        .iter()
        .map(|operation| operation.id)
        .collect();
    wait_for_operations(rec, id, &operations).await?;
    rec.publish_event(&ControllerEvent::PasswordReset {
        role: owner.as_str(),
    });
    if rec.state.credentials.is_none() || answer.role.password.is_none() {
        let uri = match uri {
            Some(uri) => uri,
            // Neon may reveal what it did not reveal before the reset.
            None => read_or_build_connection_string(rec, id).await?,
        };
        store_credentials(rec, id, &uri)?;
    }
    if let (Some((_, details)), Some(password)) = (&mut rec.state.credentials, answer.role.password)
    {
        password.expose_secret().clone_into(&mut details.password);
    }
    Ok(())
}

fn check_reset_allowed(rec: &Reconciliation<'_>, id: &ProjectId) -> Result<(), ReconcileError> {
    let desired = rec.desired()?;
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
                 spec.adopt.resetPassword to true to allow a reset, which invalidates the old password",
                desired.owner
            ),
        ));
    }
    if rec.state.password_reset {
        return Err(ReconcileError::permanent(
            Component::Credentials,
            Reason::PasswordRejected,
            format!(
                "the database of project {id} rejects a password that was just reset: check the project in Neon"
            ),
        ));
    }
    Ok(())
}

/// Builds a connection string without a password from the recorded connection, or from the
/// compute's host.
async fn build_connection_string(
    rec: &Reconciliation<'_>,
    id: &ProjectId,
) -> Result<SecretString, ReconcileError> {
    let desired = rec.desired()?;
    let connection = rec.status.connection.as_ref();
    let host = match connection {
        Some(connection) => format!("{}:{}", connection.host, connection.port),
        None => read_write_compute(rec, id, "read the project's host")
            .await?
            .map(|compute| compute.host)
            .unwrap_or_default(),
    };
    let invalid = || invalid_connection_string(id);
    let mut uri = Url::parse(&format!("postgresql://{host}/")).map_err(|_| invalid())?;
    uri.set_username(desired.owner.as_str())
        .map_err(|()| invalid())?;
    uri.set_path(desired.database.as_str());
    if let Some(options) = connection.and_then(|connection| connection.options.as_deref()) {
        uri.query_pairs_mut().append_pair("options", options);
    }
    Ok(SecretString::from(uri.to_string()))
}

/// Stores the credentials of a connection string in the reconciliation. Returns whether it has a
/// password.
pub(super) fn store_credentials(
    rec: &mut Reconciliation<'_>,
    id: &ProjectId,
    uri: &SecretString,
) -> Result<bool, ReconcileError> {
    let ca = rec
        .class
        .as_ref()
        .and_then(|class| class.spec.neon.ca_bundle.clone());
    let details = connection_string::parse(uri.expose_secret(), ca)
        .ok_or_else(|| invalid_connection_string(id))?;
    let has_password = !details.password.is_empty();
    rec.state.credentials = Some((id.clone(), details));
    Ok(has_password)
}

fn invalid_connection_string(id: &ProjectId) -> ReconcileError {
    ReconcileError::transient(
        Component::Credentials,
        Reason::NeonRequestRejected,
        format!("Neon returned an invalid connection string for project {id}"),
    )
}
