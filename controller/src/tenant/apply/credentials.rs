//! Credentials: from Neon into the Secret, by way of nothing else.

use crds::{Binding, Reason};
use k8s_openapi::api::core::v1::Secret;
use neon_client::ErrorKind;
use neon_client::ids::{BranchId, ProjectId};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::connection_string;
use super::create::{compute_of, operations_over};
use crate::cache::{Key, controller_of};
use crate::cluster::{ClusterError, SecretToWrite};
use crate::error::Failure;
use crate::identity::TenantUid;
use crate::tenant::observed::{Facts, SecretFacts};
use crate::tenant::reconciliation::Pass;
use crate::tenant::status::Area;

/// Writes the Secret, with the credentials in hand or, where there are none, with those that Neon gives.
pub(super) async fn write_secret(
    pass: &mut Pass<'_>,
    facts: &Facts,
    id: &ProjectId,
) -> Result<(), Failure> {
    let name = pass.wish()?.secret_name.clone();
    let in_hand = pass
        .hand
        .credentials
        .as_ref()
        .is_some_and(|(of, _)| of == id)
        && !pass.hand.password_rejected;
    if !in_hand {
        fetch(pass, id).await?;
    }
    let Some((_, details)) = &pass.hand.credentials else {
        return Err(Failure::passing(
            Area::Credentials,
            Reason::UpdatingSecret,
            "Neon gave no credentials",
        ));
    };
    let (data, connection) = (details.to_data(), details.connection.clone());
    let uid = match secret_uid(pass, &name).await? {
        Ok(uid) => uid,
        Err(other) => {
            pass.hand.secret = Some(other);
            return Ok(());
        }
    };
    let content = SecretToWrite {
        name: &name,
        data,
        project: id.as_str(),
        ca_digest: facts.ca_digest.as_deref(),
    };
    let written = pass
        .ctx
        .cluster
        .write_secret(&pass.tenant, &uid, content)
        .await;
    let written = written.map_err(|error| Failure::cluster(Area::Credentials, &error))?;
    pass.ctx.secrets.wrote(&written);
    pass.status.connection = Some(connection);
    pass.status.binding = Some(Binding { name: name.clone() });
    pass.say(
        Reason::SecretWritten,
        &format!("wrote Secret {name} with the credentials of project {id}"),
    );
    Ok(())
}

/// UID of the Secret to write to, made if there is none; or what the Secret of that name is instead.
async fn secret_uid(pass: &Pass<'_>, name: &str) -> Result<Result<String, SecretFacts>, Failure> {
    let failed = |error: ClusterError| Failure::cluster(Area::Credentials, &error);
    let key = Key {
        namespace: pass.key.namespace.clone(),
        name: name.into(),
    };
    let found = if pass.secret_facts(name) == SecretFacts::Missing {
        None
    } else {
        pass.ctx.cluster.secret(&key).await.map_err(failed)?
    };
    let secret = match found {
        Some(secret) => secret,
        None => match pass.ctx.cluster.reserve_secret(&pass.tenant, name).await {
            Ok(secret) => secret,
            // It is there, and has no label that the watch would have shown it by.
            Err(ClusterError::Exists { .. }) => {
                let found = pass.ctx.cluster.secret(&key).await.map_err(failed)?;
                found.ok_or_else(|| went_away(name))?
            }
            Err(error) => return Err(failed(error)),
        },
    };
    let owner = controller_of(&secret.metadata);
    let ours = is_ours(&secret, pass.uid) && secret.type_.as_deref() == Some(crds::SECRET_TYPE);
    Ok(match (secret.metadata.uid.clone(), owner) {
        (Some(uid), _) if ours => Ok(uid),
        (_, Some((name, uid)))
            if *name == *pass.key.name && TenantUid::parse(uid) != Some(pass.uid) =>
        {
            Err(SecretFacts::Leftover)
        }
        _ => Err(SecretFacts::Foreign),
    })
}

fn is_ours(secret: &Secret, tenant: TenantUid) -> bool {
    controller_of(&secret.metadata).and_then(|(_, uid)| TenantUid::parse(uid)) == Some(tenant)
}

/// The password for opening the database: the one in hand, or the one in the Secret.
pub(super) async fn password(pass: &Pass<'_>, id: &ProjectId) -> Result<SecretString, Failure> {
    if let Some((of, details)) = &pass.hand.credentials
        && of == id
    {
        return Ok(SecretString::from(details.password.clone()));
    }
    let name = pass.wish()?.secret_name.clone();
    let key = Key {
        namespace: pass.key.namespace.clone(),
        name: name.as_str().into(),
    };
    let secret = pass
        .ctx
        .cluster
        .secret(&key)
        .await
        .map_err(|error| Failure::cluster(Area::Credentials, &error))?;
    let password = secret
        .filter(|secret| is_ours(secret, pass.uid))
        .and_then(|secret| secret.data?.remove(crds::keys::PASSWORD))
        .and_then(|value| String::from_utf8(value.0).ok());
    password
        .map(SecretString::from)
        .ok_or_else(|| went_away(&name))
}

fn went_away(secret: &str) -> Failure {
    Failure::passing(
        Area::Credentials,
        Reason::UpdatingSecret,
        format!("Secret {secret} went away while it was needed; it is written again"),
    )
}

/// Reads the credentials from Neon; resets the password where Neon does not reveal it, or where what it reveals is
/// refused by the database.
async fn fetch(pass: &mut Pass<'_>, id: &ProjectId) -> Result<(), Failure> {
    const DOING: &str = "reading the project's credentials";
    let wish = pass.wish()?.clone();
    let neon = pass.account()?.neon();
    let refused = pass
        .hand
        .password_rejected
        .then(|| pass.hand.credentials.take())
        .flatten();
    let answer = neon
        .projects()
        .connection_uri(id, &wish.database, &wish.owner)
        .pooled(false)
        .send()
        .await;
    let uri = match answer {
        Ok(answer) => Some(answer.uri),
        Err(error) if error.kind() == ErrorKind::PreconditionFailed => None,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => {
            return Err(Failure::lasting(
                Area::Credentials,
                if wish.adopt.is_some() {
                    Reason::AdoptionMismatch
                } else {
                    Reason::DatabaseUnreachable
                },
                format!(
                    "project {id} has no database {} owned by role {}: restore them in Neon, or name those that are \
                     there in spec.database of a new Tenant ({})",
                    wish.database,
                    wish.owner,
                    service_kit::error_chain(&error)
                ),
            ));
        }
        Err(error) => return Err(Failure::neon(Area::Credentials, DOING, &error)),
    };
    let revealed = match &uri {
        Some(uri) => take(pass, id, uri)?,
        None => false,
    };
    let same = match (&refused, &pass.hand.credentials) {
        (Some((_, before)), Some((_, now))) => before.password == now.password,
        // The database refused what stands in the Secret, and Neon reveals what it believes: try that first.
        _ => false,
    };
    if revealed && !same && !(pass.hand.password_rejected && pass.hand.password_read) {
        pass.hand.password_rejected = false;
        pass.hand.password_read = true;
        return Ok(());
    }
    reset(pass, id, uri.as_ref()).await
}

async fn reset(
    pass: &mut Pass<'_>,
    id: &ProjectId,
    uri: Option<&SecretString>,
) -> Result<(), Failure> {
    const DOING: &str = "resetting the owner's password";
    let wish = pass.wish()?.clone();
    if wish
        .adopt
        .as_ref()
        .is_some_and(|adopt| !adopt.reset_password)
    {
        return Err(Failure::lasting(
            Area::Credentials,
            Reason::PasswordUnavailable,
            format!(
                "Neon does not reveal a working password of role {} in the adopted project {id}: set \
                 spec.adopt.resetPassword to true if it may be reset, which locks out whoever uses the old one",
                wish.owner
            ),
        ));
    }
    if pass.hand.password_reset {
        return Err(Failure::lasting(
            Area::Credentials,
            Reason::DatabaseUnreachable,
            format!(
                "the database of project {id} refuses a password that was just reset: look at it in Neon"
            ),
        ));
    }
    let neon = pass.account()?.neon();
    let recorded = pass
        .status
        .project
        .as_ref()
        .and_then(|project| project.branch_id.as_ref()?.parse().ok());
    let branch: BranchId = match recorded {
        Some(branch) => branch,
        None => match compute_of(pass, id, DOING).await? {
            Some(endpoint) => endpoint.branch_id,
            None => {
                return Err(Failure::lasting(
                    Area::Credentials,
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
        .reset_password(&wish.owner)
        .send()
        .await;
    let answer = answer.map_err(|error| Failure::neon(Area::Credentials, DOING, &error))?;
    pass.hand.password_reset = true;
    pass.hand.password_rejected = false;
    let operations: Vec<_> = answer
        .operations
        .iter()
        .map(|operation| operation.id)
        .collect();
    operations_over(pass, id, &operations).await?;
    pass.say(
        Reason::PasswordReset,
        &format!(
            "reset the password of role {}, since Neon does not reveal it",
            wish.owner
        ),
    );
    let password = answer
        .role
        .password
        .as_ref()
        .map(|password| password.expose_secret().to_owned());
    if let (Some((_, details)), Some(password)) = (&mut pass.hand.credentials, password.clone()) {
        details.password = password;
        return Ok(());
    }
    let uri = match uri {
        Some(uri) => uri.clone(),
        None => uri_after_reset(pass, id).await?,
    };
    take(pass, id, &uri)?;
    if let (Some((_, details)), Some(password)) = (&mut pass.hand.credentials, password) {
        details.password = password;
    }
    Ok(())
}

/// Where Neon gave no connection string before the reset, it may give one with the new password.
async fn uri_after_reset(pass: &Pass<'_>, id: &ProjectId) -> Result<SecretString, Failure> {
    let (wish, neon) = (pass.wish()?, pass.account()?.neon());
    let uri = neon
        .projects()
        .connection_uri(id, &wish.database, &wish.owner)
        .pooled(false);
    match uri.send().await {
        Ok(answer) => Ok(answer.uri),
        Err(error) if error.kind() == ErrorKind::PreconditionFailed => uri_of_host(pass, id).await,
        Err(error) => Err(Failure::neon(
            Area::Credentials,
            "reading the connection string",
            &error,
        )),
    }
}

/// A connection string without a password, from what is known of the compute.
async fn uri_of_host(pass: &Pass<'_>, id: &ProjectId) -> Result<SecretString, Failure> {
    let wish = pass.wish()?;
    let host = match (
        &pass.status.connection,
        compute_of(pass, id, "finding the project's host").await?,
    ) {
        (Some(connection), _) => format!("{}:{}", connection.host, connection.port),
        (None, Some(endpoint)) => endpoint.host,
        (None, None) => String::new(),
    };
    let mut uri = Url::parse(&format!("postgresql://{host}/")).map_err(|_| unreadable(id))?;
    let named = uri.set_username(wish.owner.as_str()).is_ok();
    uri.set_path(wish.database.as_str());
    if let Some(options) = pass
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

fn unreadable(id: &ProjectId) -> Failure {
    Failure::passing(
        Area::Credentials,
        Reason::NeonRequestRejected,
        format!("the connection string that Neon gives for project {id} cannot be read"),
    )
}

/// Takes a connection string of Neon's into the pass's hands. Says whether it has a password.
pub(super) fn take(
    pass: &mut Pass<'_>,
    id: &ProjectId,
    uri: &SecretString,
) -> Result<bool, Failure> {
    let ca = pass
        .class
        .as_ref()
        .and_then(|class| class.spec.neon.ca_bundle.clone());
    let details =
        connection_string::parse(uri.expose_secret(), ca).ok_or_else(|| unreadable(id))?;
    let has_password = !details.password.is_empty();
    pass.hand.credentials = Some((id.clone(), details));
    Ok(has_password)
}
