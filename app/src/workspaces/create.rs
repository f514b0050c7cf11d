//! How a workspace comes to be: rows first, then the Tenant.
//!
//! [`create`] writes the rows in one transaction that holds the user's row, so a form that is sent twice, from two tabs or two
//! replicas, makes one workspace, and the limit holds. Applying the Tenant can be repeated until its uid stands in the row;
//! [`super::reconcile::run`] repeats it where a process died before that.

use sqlx::{PgConnection, PgPool, Row as _};
use uuid::Uuid;

use crate::domain::{Workspace, WorkspaceName};
use super::{ownership, store};
use crate::config::{Choice, Config};
use crate::ids::{UserId, WorkspaceId};

/// What may be chosen and had, from the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceLimits {
    /// Names of a `TenantClass` that a workspace may have; the first is taken when none is asked for.
    pub classes: Vec<String>,
    /// Regions that may be chosen. Empty: there is nothing to choose, the class's default stands.
    pub regions: Vec<String>,
    /// Workspaces that one user may own, however they came by them.
    pub workspaces_per_user_max: u32,
    /// Members of a workspace at most.
    pub members_max: u32,
}

impl From<&Config> for WorkspaceLimits {
    fn from(config: &Config) -> Self {
        let names = |choices: &[Choice]| choices.iter().map(|choice| choice.name.clone()).collect();
        Self {
            classes: names(&config.tenants.classes),
            regions: names(&config.tenants.regions),
            workspaces_per_user_max: config.plan.workspaces_per_user_max,
            members_max: config.plan.members_max,
        }
    }
}

/// What somebody requests for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWorkspace {
    /// The form's own key: sending the form again finds what it made.
    pub request_id: Uuid,
    /// Its name.
    pub name: WorkspaceName,
    /// One of the offered classes; `None`: the first of them.
    pub class_name: Option<String>,
    /// One of the offered regions; `None`: the class's default.
    pub region: Option<String>,
    /// Whether this is the user's own, of which there is one at most.
    pub is_personal: bool,
}

/// Why there are no rows.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The class or the region is none of those offered.
    #[error("this choice is not offered")]
    InvalidChoice,
    /// The user owns as many as they may.
    #[error("a person may own {limit} workspaces at most")]
    TooManyWorkspaces {
        /// How many that is.
        limit: u32,
    },
    /// The user's account is gone or being removed.
    #[error("the account is being removed")]
    AccountDeleted,
    /// The main database did not do it.
    #[error("the workspace could not be written down")]
    Database(#[from] sqlx::Error),
}

/// Writes the rows, or finds those of the same request (or the personal workspace that is already there).
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

/// As [`create`], within the caller's transaction: a first sign-in makes the user and their workspace at once.
pub async fn create_in(
    transaction: &mut PgConnection,
    limits: &WorkspaceLimits,
    user: UserId,
    request: &NewWorkspace,
) -> Result<Workspace, CreateError> {
    // Whoever else makes a workspace for this user waits here, so that counting and writing are one.
    if !ownership::lock_user(transaction, user).await? {
        return Err(CreateError::AccountDeleted);
    }
    if let Some(made) = find_existing(transaction, user, request).await? {
        return Ok(made);
    }
    let class_name = choose_class(limits, request.class_name.as_deref())?;
    let region = choose_region(limits, request.region.as_deref())?;
    if !ownership::is_below_limit(transaction, user, limits.workspaces_per_user_max).await? {
        return Err(CreateError::TooManyWorkspaces {
            limit: limits.workspaces_per_user_max,
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

/// What this request, or the user's first sign-in, has made before.
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

fn choose_class<'a>(limits: &'a WorkspaceLimits, request: Option<&str>) -> Result<&'a str, CreateError> {
    let found = match request {
        None => limits.classes.first(),
        Some(request) => limits.classes.iter().find(|class| *class == request),
    };
    found.map(String::as_str).ok_or(CreateError::InvalidChoice)
}

fn choose_region<'a>(limits: &'a WorkspaceLimits, request: Option<&str>) -> Result<Option<&'a str>, CreateError> {
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
            workspaces_per_user_max: 3,
            members_max: 5,
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
