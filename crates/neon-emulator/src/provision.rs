//! The physical databases and roles behind the names that projects use.
//!
//! A project has no databases until the first connection, which creates its role and its database.
//! They have unique physical names, so that every project can have a `neondb` and a `neondb_owner`.
//! Only roles of the same branch may connect. When the project can no longer be recovered, both are
//! dropped. Every step is idempotent: objects created before a crash are found again.

pub(crate) mod copy;
mod garbage;
mod spare_pool;
mod sql_roles;

use std::time::Duration;

use neon_client::ids::{BranchId, DatabaseName, RoleName};
use secrecy::SecretString;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgPool};

pub(crate) use self::garbage::drop_database;
use crate::clock::{Clock, Micros};
use crate::store::{DatabaseRow, OpenError, RoleRow, Store, StoreError, Tx, connect_options};

/// Maximum number of databases that are created or dropped at the same time. Each takes a
/// connection to the state database for as long.
pub(crate) const MAX_PROVISIONING: u32 = 6;
/// How long a connection waits for its database to be created.
const QUEUE_TIMEOUT: Duration = Duration::from_mins(2);
/// The template database, used if owners of databases may not install `vector` themselves.
const TEMPLATE: &str = "neon_emulator_template";

/// Why a physical database is not available.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProvisionError {
    #[error("the database does not exist")]
    NoDatabase,
    #[error("the role does not exist")]
    NoRole,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ProvisionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The physical names and the password for a connection to PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct BackendCredentials {
    pub(crate) database: String,
    pub(crate) role: String,
    /// The role's password as of `as_of`.
    pub(crate) password: RolePassword,
    pub(crate) as_of: Micros,
}

/// What the emulator knows of a role's password.
#[derive(Debug, Clone)]
pub(crate) enum RolePassword {
    /// The password, of a role that the API created.
    Known(SecretString),
    /// What PostgreSQL stores of the password of a role that was created with SQL.
    Stored(SecretString),
}

/// Creates and drops databases and roles.
#[derive(Debug, Clone)]
pub(crate) struct Provisioner {
    store: Store,
    /// Connection options, for connections to other databases than the default one.
    options: PgConnectOptions,
    admin: PgPool,
    template: Option<&'static str>,
    strategy: &'static str,
    /// Whether owners of projects may create roles with SQL.
    has_sql_roles: bool,
}

impl Provisioner {
    pub(crate) async fn open(uri: &str, store: Store) -> Result<Self, OpenError> {
        let options = connect_options(uri)?;
        let mut connection = options.connect().await?;
        let trusted: Option<bool> = sqlx::query_scalar(
            "SELECT bool_or(trusted) FROM pg_available_extension_versions WHERE name = 'vector'",
        )
        .fetch_one(&mut connection)
        .await?;
        let template = if trusted == Some(false) {
            Some(TEMPLATE)
        } else {
            None
        };
        if template.is_some() {
            let exists: bool =
                sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
                    .bind(TEMPLATE)
                    .fetch_one(&mut connection)
                    .await?;
            if !exists {
                execute(&mut connection, format!("CREATE DATABASE {TEMPLATE}")).await?;
            }
            let mut in_template = options.clone().database(TEMPLATE).connect().await?;
            execute(
                &mut in_template,
                "CREATE EXTENSION IF NOT EXISTS vector".to_owned(),
            )
            .await?;
            in_template.close().await?;
        }
        // Copying files requires a checkpoint. Without fsync, checkpoints are cheap, and copying
        // files takes half as long as writing every page to the WAL.
        let copies_files: bool = sqlx::query_scalar(
            "SELECT current_setting('fsync') = 'off' AND current_setting('server_version_num')::int >= 150000",
        )
        .fetch_one(&mut connection)
        .await?;
        let strategy = if copies_files {
            " STRATEGY file_copy"
        } else {
            ""
        };
        let has_sql_roles: bool = sqlx::query_scalar(sql_roles::ARE_SUPPORTED)
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        let admin = PgPoolOptions::new()
            .acquire_timeout(QUEUE_TIMEOUT)
            // Waiting is normal when many projects are new, so it is not worth a warning.
            .acquire_slow_threshold(QUEUE_TIMEOUT)
            .max_connections(MAX_PROVISIONING)
            .connect_with(options.clone())
            .await?;
        Ok(Self {
            store,
            options,
            admin,
            template,
            strategy,
            has_sql_roles,
        })
    }

    pub(crate) async fn close(&self) {
        self.admin.close().await;
    }

    /// The physical names behind a project's names, created if they do not exist, with the current
    /// password.
    pub(crate) async fn ensure(
        &self,
        branch: &BranchId,
        role: &RoleName,
        database: &DatabaseName,
        clock: &Clock,
    ) -> Result<BackendCredentials, ProvisionError> {
        match self.ensure_api_role(branch, role, database, clock).await {
            Err(ProvisionError::NoRole) if self.has_sql_roles => {
                self.ensure_sql_role(branch, role, database, clock).await
            }
            credentials => credentials,
        }
    }

    /// The same for a role that the API created.
    async fn ensure_api_role(
        &self,
        branch: &BranchId,
        role: &RoleName,
        database: &DatabaseName,
        clock: &Clock,
    ) -> Result<BackendCredentials, ProvisionError> {
        let now = clock.now();
        let found = find(
            &self.store.roles(branch).await?,
            &self.store.databases(branch).await?,
            role,
            database,
        )?;
        if found.is_ready(now) {
            return Ok(found.credentials(now));
        }
        // The admin connection is acquired before the transaction on the state database, so that
        // waiting here does not block connections that the API needs.
        let mut admin = self.admin.acquire().await?;
        let mut tx = self.store.begin().await?;
        Store::share_lock_project_of(&mut tx, branch).await?;
        sqlx::query("SELECT FROM branches WHERE id = $1 FOR UPDATE")
            .bind(branch.as_str())
            .execute(&mut *tx)
            .await?;
        let roles = Store::roles_in_transaction(&mut tx, branch).await?;
        let databases: Vec<DatabaseRow> =
            sqlx::query_as("SELECT * FROM databases WHERE branch_id = $1")
                .bind(branch.as_str())
                .fetch_all(&mut *tx)
                .await?;
        let found = find(&roles, &databases, role, database)?;
        for row in [&found.owner, &found.role] {
            if row.applied_password.as_deref() != Some(row.password_at(now)) {
                self.apply_role(&mut admin, &mut tx, row, now).await?;
            }
        }
        if found.database.provisioned_at_us.is_none() {
            self.create_database(&mut admin, &mut tx, &found, now)
                .await?;
        }
        if found.role.number != found.owner.number {
            let credentials = found.credentials(now);
            let grant = format!(
                "GRANT CONNECT, TEMPORARY ON DATABASE \"{}\" TO \"{}\"",
                credentials.database, credentials.role
            );
            execute(&mut admin, grant).await?;
        }
        tx.commit().await?;
        Ok(found.credentials(now))
    }

    async fn create_database(
        &self,
        admin: &mut sqlx::PgConnection,
        tx: &mut Tx,
        found: &DatabaseAccess,
        now: Micros,
    ) -> Result<(), ProvisionError> {
        let name = found.database.physical_name();
        let owner = found.owner.physical_name();
        let exists: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
                .bind(&name)
                .fetch_one(&mut *admin)
                .await?;
        if exists {
            // The database was created or renamed before a crash, and its owner may not have been
            // set.
            execute(
                admin,
                format!("ALTER DATABASE \"{name}\" OWNER TO \"{owner}\""),
            )
            .await?;
        } else if !self.take_spare(admin, tx, &name, &owner).await? {
            execute(admin, self.create_statement(&name, Some(&owner))).await?;
        }
        execute(
            admin,
            format!("REVOKE ALL ON DATABASE \"{name}\" FROM PUBLIC"),
        )
        .await?;
        sqlx::query("UPDATE databases SET provisioned_at_us = $2 WHERE number = $1")
            .bind(found.database.number)
            .bind(now)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    fn create_statement(&self, name: &str, owner: Option<&str>) -> String {
        let owner = owner
            .map(|owner| format!(" OWNER \"{owner}\""))
            .unwrap_or_default();
        let template = self
            .template
            .map(|name| format!(" TEMPLATE {name}"))
            .unwrap_or_default();
        format!(
            "CREATE DATABASE \"{name}\"{owner}{template}{}",
            self.strategy
        )
    }

    /// Sets a role's password in PostgreSQL, if the role exists there.
    pub(crate) async fn apply_password(
        &self,
        branch: &BranchId,
        role: &RoleName,
        clock: &Clock,
    ) -> Result<(), ProvisionError> {
        let mut admin = self.admin.acquire().await?;
        let mut tx = self.store.begin().await?;
        Store::share_lock_project_of(&mut tx, branch).await?;
        sqlx::query("SELECT FROM branches WHERE id = $1 FOR UPDATE")
            .bind(branch.as_str())
            .execute(&mut *tx)
            .await?;
        let row: Option<RoleRow> =
            sqlx::query_as("SELECT * FROM roles WHERE branch_id = $1 AND name = $2")
                .bind(branch.as_str())
                .bind(role.as_str())
                .fetch_optional(&mut *tx)
                .await?;
        let now = clock.now();
        if let Some(row) = row
            && row
                .applied_password
                .as_deref()
                .is_some_and(|applied| applied != row.password_at(now))
        {
            self.apply_role(&mut admin, &mut tx, &row, now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Creates a role, or sets its password.
    async fn apply_role(
        &self,
        admin: &mut sqlx::PgConnection,
        tx: &mut Tx,
        row: &RoleRow,
        now: Micros,
    ) -> Result<(), ProvisionError> {
        let name = row.physical_name();
        let exists: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
                .bind(&name)
                .fetch_one(&mut *admin)
                .await?;
        let verb = if exists { "ALTER" } else { "CREATE" };
        // Only generated names and passwords, which contain no quotes.
        let password = row.password_at(now);
        let login = if row.no_login { "NOLOGIN" } else { "LOGIN" };
        let create_role = if self.has_sql_roles {
            "CREATEROLE"
        } else {
            "NOCREATEROLE"
        };
        execute(
            admin,
            format!(
                "{verb} ROLE \"{name}\" {login} NOSUPERUSER NOCREATEDB {create_role} PASSWORD '{password}'"
            ),
        )
        .await?;
        sqlx::query("UPDATE roles SET applied_password = $2 WHERE number = $1")
            .bind(row.number)
            .bind(password)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }
}

struct DatabaseAccess {
    role: RoleRow,
    owner: RoleRow,
    database: DatabaseRow,
}

impl DatabaseAccess {
    fn is_ready(&self, now: Micros) -> bool {
        let applied = |row: &RoleRow| row.applied_password.as_deref() == Some(row.password_at(now));
        self.database.provisioned_at_us.is_some() && applied(&self.owner) && applied(&self.role)
    }

    fn credentials(&self, now: Micros) -> BackendCredentials {
        BackendCredentials {
            database: self.database.physical_name(),
            role: self.role.physical_name(),
            password: RolePassword::Known(self.role.password_at(now).into()),
            as_of: now,
        }
    }
}

fn find(
    roles: &[RoleRow],
    databases: &[DatabaseRow],
    role: &RoleName,
    database: &DatabaseName,
) -> Result<DatabaseAccess, ProvisionError> {
    let named = |name: &str| roles.iter().find(|row| row.name == name).cloned();
    let role = named(role.as_str()).ok_or(ProvisionError::NoRole)?;
    let database = databases
        .iter()
        .find(|row| row.name == database.as_str())
        .cloned()
        .ok_or(ProvisionError::NoDatabase)?;
    let owner = named(&database.owner_name).ok_or(ProvisionError::NoRole)?;
    Ok(DatabaseAccess {
        role,
        owner,
        database,
    })
}

async fn execute(connection: &mut sqlx::PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .map(|_| ())
}
