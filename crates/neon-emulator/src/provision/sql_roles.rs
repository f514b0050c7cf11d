//! Roles that the owners of a project create with SQL.
//!
//! They are ordinary roles of PostgreSQL with the names that SQL gave them, which are therefore unique
//! in the server. Since version 16, a role that may create roles can manage only those that it created,
//! so projects are isolated from each other. What the roles of a project have created, directly or
//! through other roles, signs in to the databases of that project only.

use neon_client::ids::{BranchId, DatabaseName, RoleName};
use sqlx::PgConnection;

use super::{BackendCredentials, ProvisionError, Provisioner, RolePassword, execute};
use crate::clock::Clock;
use crate::store::{RoleRow, StoreError};

/// Whether roles can be isolated from each other, and the emulator can read what PostgreSQL stores of
/// their passwords.
pub(super) const ARE_SUPPORTED: &str =
    "SELECT current_setting('server_version_num')::int >= 160000 AND rolsuper FROM pg_roles
     WHERE rolname = current_user";

/// Selects from the roles that those in `$1` administer: the roles that they created, and what these
/// created.
macro_rules! administered {
    ($selected:literal, $condition:literal) => {
        concat!(
            "WITH RECURSIVE administered AS (
                 SELECT oid FROM pg_authid WHERE rolname = ANY($1)
                 UNION SELECT membership.roleid FROM pg_auth_members AS membership
                     JOIN administered ON administered.oid = membership.member WHERE membership.admin_option)
             SELECT ",
            $selected,
            " FROM pg_authid AS role JOIN administered ON administered.oid = role.oid WHERE NOT role.rolname = ANY($1)",
            $condition
        )
    };
}

impl Provisioner {
    /// The physical database and the credentials of a role that was created with SQL. Allows it to
    /// connect, as in Neon, where every role may.
    pub(super) async fn ensure_sql_role(
        &self,
        branch: &BranchId,
        role: &RoleName,
        database: &DatabaseName,
        clock: &Clock,
    ) -> Result<BackendCredentials, ProvisionError> {
        let roles: Vec<String> = self
            .store
            .roles_of_same_project(branch)
            .await?
            .iter()
            .map(RoleRow::physical_name)
            .collect();
        let stored: Option<String> = sqlx::query_scalar(administered!(
            "role.rolpassword",
            " AND role.rolname = $2 AND role.rolcanlogin AND role.rolpassword IS NOT NULL"
        ))
        .bind(&roles)
        .bind(role.as_str())
        .fetch_optional(self.store.pool())
        .await?;
        let stored = stored.ok_or(ProvisionError::NoRole)?;
        let databases = self.store.databases(branch).await?;
        let row = databases.iter().find(|row| row.name == database.as_str());
        let owner = &row.ok_or(ProvisionError::NoDatabase)?.owner_name;
        let owner: RoleName = owner.parse().map_err(StoreError::corrupt)?;
        let of_owner = self
            .ensure_api_role(branch, &owner, database, clock)
            .await?;
        let may_connect: bool =
            sqlx::query_scalar("SELECT has_database_privilege($1, $2, 'CONNECT')")
                .bind(role.as_str())
                .bind(&of_owner.database)
                .fetch_one(self.store.pool())
                .await?;
        if !may_connect {
            let name = &of_owner.database;
            let mut admin = self.admin.acquire().await?;
            // Concurrent changes of the privileges of a database fail.
            let grant = format!(
                "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('{name}', 0));
                 GRANT CONNECT, TEMPORARY ON DATABASE \"{name}\" TO {}; COMMIT",
                quoted(role.as_str())
            );
            execute(&mut admin, grant).await?;
        }
        Ok(BackendCredentials {
            role: role.as_str().to_owned(),
            password: RolePassword::Stored(stored.into()),
            ..of_owner
        })
    }
}

/// Drops the roles that a role created.
pub(super) async fn drop_administered(
    admin: &mut PgConnection,
    role: &str,
) -> Result<(), sqlx::Error> {
    let names: Vec<String> = sqlx::query_scalar(administered!("role.rolname", ""))
        .bind([role])
        .fetch_all(&mut *admin)
        .await?;
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let names = names.join(", ");
    // Roles cannot be dropped while they have privileges, or memberships that they granted.
    execute(
        admin,
        format!("DROP OWNED BY {names}, {}; DROP ROLE {names}", quoted(role)),
    )
    .await
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
