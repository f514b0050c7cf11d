//! Creates workspaces: first the rows, then the Tenant.
//!
//! [`create`] writes the rows in one transaction that locks the user's row. A form submitted twice,
//! in two tabs or to two replicas, therefore creates one workspace, and the limit holds. Applying
//! the Tenant can be repeated until its UID is recorded; [`super::reconcile::run`] repeats it if a
//! process died before.

use sqlx::{PgConnection, PgPool, Row as _};
use uuid::Uuid;

use super::{ownership, store};
use crate::config::{ClassOptions, Config};
use crate::domain::{Workspace, WorkspaceName};
use crate::ids::{UserId, WorkspaceId};

/// Choices and limits for new workspaces, from the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceLimits {
    /// Names of the offered `TenantClass`es. The first is the default.
    pub classes: Vec<String>,
    /// Offered regions. If empty, the class's default region is used.
    pub regions: Vec<String>,
    /// How many workspaces a user may own, whether created or taken over.
    pub max_workspaces_per_user: u32,
    /// How many workspaces there may be in all.
    pub max_workspaces: u32,
    pub max_members: u32,
}

impl From<&Config> for WorkspaceLimits {
    fn from(config: &Config) -> Self {
        let names =
            |options: &ClassOptions| options.0.iter().map(|option| option.name.clone()).collect();
        Self {
            classes: names(&config.tenants.classes),
            regions: names(&config.tenants.regions),
            max_workspaces_per_user: config.quota.max_workspaces_per_user.get(),
            max_workspaces: config.quota.max_workspaces.get(),
            max_members: config.quota.max_members.get(),
        }
    }
}

/// A request to create a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWorkspace {
    /// Key of the submitted form. Submitting the form again returns the same workspace.
    pub request_id: Uuid,
    pub name: WorkspaceName,
    /// One of the offered classes. `None` selects the first.
    pub class_name: Option<String>,
    /// One of the offered regions. `None` selects the class's default.
    pub region: Option<String>,
    /// Whether this is the user's personal workspace, of which there is at most one.
    pub is_personal: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("the class or region is not offered")]
    InvalidChoice,
    #[error("a user may own at most {limit} workspaces")]
    TooManyWorkspaces { limit: u32 },
    #[error("there are already {limit} workspaces, the maximum (setting `max-workspaces`)")]
    NoWorkspaceLeft { limit: u32 },
    #[error("the account does not exist or is being deleted")]
    AccountDeleted,
    #[error("query on the main database failed")]
    Database(#[from] sqlx::Error),
}

/// Writes the rows of a new workspace. Returns the existing workspace if the request was made
/// before, or if the personal workspace exists.
pub async fn create(
    database: &PgPool,
    limits: &WorkspaceLimits,
    user: UserId,
    request: &NewWorkspace,
) -> Result<Workspace, CreateError> {
    let mut transaction = database.begin().await?;
    let workspace = create_in(&mut transaction, limits, user, request).await?;
    transaction.commit().await?;
    Ok(workspace)
}

/// Like [`create`], within the caller's transaction: a first sign-in creates the user and the
/// personal workspace together.
pub async fn create_in(
    transaction: &mut PgConnection,
    limits: &WorkspaceLimits,
    user: UserId,
    request: &NewWorkspace,
) -> Result<Workspace, CreateError> {
    // The lock serializes concurrent requests of this user, so that the count stays valid until the
    // insert.
    if !ownership::lock_user(transaction, user).await? {
        return Err(CreateError::AccountDeleted);
    }
    if let Some(existing) = find_existing(transaction, user, request).await? {
        return Ok(existing);
    }
    let class_name = choose_class(limits, request.class_name.as_deref())?;
    let region = choose_region(limits, request.region.as_deref())?;
    if !ownership::is_below_limit(transaction, user, limits.max_workspaces_per_user).await? {
        return Err(CreateError::TooManyWorkspaces {
            limit: limits.max_workspaces_per_user,
        });
    }
    if !ownership::is_below_total_limit(transaction, limits.max_workspaces).await? {
        return Err(CreateError::NoWorkspaceLeft {
            limit: limits.max_workspaces,
        });
    }
    let id = WorkspaceId::random();
    sqlx::query(
        "INSERT INTO workspaces (id, name, personal_of, request_id, class_name, region, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(id.as_str())
    .bind(request.name.as_str())
    .bind(request.is_personal.then_some(user.0))
    .bind(request.request_id)
    .bind(class_name)
    .bind(region)
    .bind(user.0)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'owner')")
        .bind(id.as_str())
        .bind(user.0)
        .execute(&mut *transaction)
        .await?;
    store::find(&mut *transaction, &id)
        .await?
        .ok_or(CreateError::Database(sqlx::Error::RowNotFound))
}

/// The workspace that this request created earlier, or the user's personal workspace.
async fn find_existing(
    transaction: &mut PgConnection,
    user: UserId,
    request: &NewWorkspace,
) -> Result<Option<Workspace>, CreateError> {
    let row = sqlx::query(
        "SELECT id FROM workspaces
         WHERE (created_by = $1 AND request_id = $2) OR ($3 AND personal_of = $1)
         ORDER BY request_id = $2 DESC LIMIT 1",
    )
    .bind(user.0)
    .bind(request.request_id)
    .bind(request.is_personal)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let id: String = row.try_get("id")?;
    match id.parse() {
        Ok(id) => Ok(store::find(&mut *transaction, &id).await?),
        Err(_) => Ok(None),
    }
}

fn choose_class<'a>(
    limits: &'a WorkspaceLimits,
    request: Option<&str>,
) -> Result<&'a str, CreateError> {
    let found = match request {
        None => limits.classes.first(),
        Some(request) => limits.classes.iter().find(|class| *class == request),
    };
    found.map(String::as_str).ok_or(CreateError::InvalidChoice)
}

fn choose_region<'a>(
    limits: &'a WorkspaceLimits,
    request: Option<&str>,
) -> Result<Option<&'a str>, CreateError> {
    match request {
        None => Ok(None),
        Some(request) => limits
            .regions
            .iter()
            .find(|region| *region == request)
            .map(|region| Some(region.as_str()))
            .ok_or(CreateError::InvalidChoice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> WorkspaceLimits {
        WorkspaceLimits {
            classes: vec!["default".to_owned(), "large".to_owned()],
            regions: vec!["aws-eu-central-1".to_owned()],
            max_workspaces_per_user: 3,
            max_workspaces: 100,
            max_members: 5,
        }
    }

    #[test]
    fn only_what_is_offered_can_be_chosen() {
        assert_eq!(choose_class(&limits(), None).ok(), Some("default"));
        assert_eq!(choose_class(&limits(), Some("large")).ok(), Some("large"));
        assert!(choose_class(&limits(), Some("other")).is_err());
        assert_eq!(choose_region(&limits(), None).ok(), Some(None));
        assert_eq!(
            choose_region(&limits(), Some("aws-eu-central-1")).ok(),
            Some(Some("aws-eu-central-1"))
        );
        assert!(choose_region(&limits(), Some("aws-us-east-1")).is_err());
    }
}
