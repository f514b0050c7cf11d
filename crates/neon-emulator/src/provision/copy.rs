//! Copies branches: the physical databases are copied from the parent's files as they are now.
//!
//! PostgreSQL can copy a database only while there are no connections to it. The caller therefore
//! locks the parent branch exclusively and terminates its sessions; new connections wait until the
//! copy is complete (tens of milliseconds per database). Databases that do not exist physically do
//! not have to be copied.

use neon_client::ids::{BranchId, ProjectId};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Postgres};

use super::{ProvisionError, Provisioner, execute};
use crate::clock::Micros;
use crate::store::{DatabaseRow, RoleRow, Store, Tx};

/// The SQLSTATE for a database with open connections.
const OBJECT_IN_USE: &str = "55006";
/// Maximum number of attempts to copy a database while connections to it are being established.
const MAX_COPY_ATTEMPTS: u32 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyScope {
    SchemaAndData,
    SchemaOnly,
}

/// A role of the parent, and the corresponding role of the copy.
type RolePair = (RoleRow, RoleRow);

const TRUNCATE: &str = "DO $$ DECLARE tables text; BEGIN
    SELECT string_agg(oid::regclass::text, ', ') INTO tables FROM pg_class
    WHERE relkind IN ('r', 'p') AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 'pg\\_%' OR nspname = 'information_schema')
        AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e');
    IF tables IS NOT NULL THEN EXECUTE 'TRUNCATE ' || tables || ' RESTART IDENTITY CASCADE'; END IF;
END $$";

impl Provisioner {
    /// Acquires a connection that may create databases. Acquire it before starting a transaction on
    /// the state database: connections that create databases wait for the rows that such a
    /// transaction locks.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, ProvisionError> {
        Ok(self.admin.acquire().await?)
    }

    /// Copies all roles and databases of a branch to an empty branch. Both branches must be locked
    /// exclusively. The roles keep their passwords.
    #[expect(
        clippy::too_many_arguments,
        reason = "two connections, two branches, and what is known about both"
    )]
    pub(crate) async fn copy(
        &self,
        admin: &mut PgConnection,
        tx: &mut Tx,
        project: &ProjectId,
        from: &BranchId,
        to: &BranchId,
        scope: CopyScope,
        now: Micros,
    ) -> Result<(), ProvisionError> {
        let mut pairs = Vec::new();
        let roles: Vec<RoleRow> =
            sqlx::query_as("SELECT * FROM roles WHERE branch_id = $1 ORDER BY number")
                .bind(from.as_str())
                .fetch_all(&mut **tx)
                .await?;
        for role in roles {
            let name = role
                .name
                .parse()
                .map_err(crate::store::StoreError::corrupt)?;
            let password = (!role.no_login).then(|| role.password_at(now).to_owned());
            let copy = Store::insert_role(tx, project, to, &name, password.as_deref(), now).await?;
            pairs.push((role, copy));
        }
        for database in Store::lock_databases(tx, from).await? {
            let name = database
                .name
                .parse()
                .map_err(crate::store::StoreError::corrupt)?;
            let owner = database
                .owner_name
                .parse()
                .map_err(crate::store::StoreError::corrupt)?;
            let mut copy = Store::insert_database(tx, project, to, &name, &owner, now).await?;
            if database.provisioned_at_us.is_some() {
                self.copy_database(admin, tx, &pairs, &database, &copy, scope, now)
                    .await?;
                copy.provisioned_at_us = Some(now);
                Store::save_database(tx, &copy).await?;
            }
        }
        Ok(())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "two connections, two databases, and what is known about both"
    )]
    async fn copy_database(
        &self,
        admin: &mut PgConnection,
        tx: &mut Tx,
        pairs: &[RolePair],
        from: &DatabaseRow,
        to: &DatabaseRow,
        scope: CopyScope,
        now: Micros,
    ) -> Result<(), ProvisionError> {
        for (_, copy) in pairs {
            self.apply_role(admin, tx, copy, now).await?;
        }
        let (source, name) = (from.physical_name(), to.physical_name());
        // A crash may have left an incomplete copy.
        execute(admin, format!("DROP DATABASE IF EXISTS \"{name}\"")).await?;
        let copy = format!(
            "CREATE DATABASE \"{name}\" TEMPLATE \"{source}\"{}",
            self.strategy
        );
        let mut attempts_left = MAX_COPY_ATTEMPTS;
        loop {
            sqlx::query(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1",
            )
            .bind(&source)
            .execute(&mut *admin)
            .await?;
            attempts_left -= 1;
            match sqlx::raw_sql(AssertSqlSafe(copy.clone()))
                .execute(&mut *admin)
                .await
            {
                Ok(_) => break,
                // A connection that was being established was not visible yet.
                Err(sqlx::Error::Database(error))
                    if attempts_left > 0 && error.code().as_deref() == Some(OBJECT_IN_USE) => {}
                Err(error) => return Err(error.into()),
            }
        }
        execute(
            admin,
            format!("REVOKE ALL ON DATABASE \"{name}\" FROM PUBLIC"),
        )
        .await?;
        let mut connection = self.connect_to(&name).await?;
        for (source_role, copy) in pairs {
            if source_role.applied_password.is_some() {
                transfer_ownership(
                    &mut connection,
                    &source_role.physical_name(),
                    &copy.physical_name(),
                )
                .await?;
            }
        }
        if scope == CopyScope::SchemaOnly {
            execute(&mut connection, TRUNCATE.to_owned()).await?;
        }
        sqlx::Connection::close(connection).await?;
        for (_, copy) in pairs {
            let role = copy.physical_name();
            let statement = if copy.name == to.owner_name {
                format!("ALTER DATABASE \"{name}\" OWNER TO \"{role}\"")
            } else {
                format!("GRANT CONNECT, TEMPORARY ON DATABASE \"{name}\" TO \"{role}\"")
            };
            execute(admin, statement).await?;
        }
        Ok(())
    }

    /// Changes the owner of a database, if the database exists physically.
    pub(crate) async fn change_owner(
        &self,
        admin: &mut PgConnection,
        tx: &mut Tx,
        database: &DatabaseRow,
        owner: &RoleRow,
        now: Micros,
    ) -> Result<(), ProvisionError> {
        if database.provisioned_at_us.is_none() {
            return Ok(());
        }
        self.apply_role(admin, tx, owner, now).await?;
        let (database, owner) = (database.physical_name(), owner.physical_name());
        execute(
            admin,
            format!("ALTER DATABASE \"{database}\" OWNER TO \"{owner}\""),
        )
        .await?;
        Ok(())
    }

    /// Total size of databases, in bytes.
    pub(crate) async fn sizes(&self, databases: &[DatabaseRow]) -> Result<i64, ProvisionError> {
        let names: Vec<String> = databases
            .iter()
            .filter(|row| row.provisioned_at_us.is_some())
            .map(DatabaseRow::physical_name)
            .collect();
        if names.is_empty() {
            return Ok(0);
        }
        Ok(sqlx::query_scalar(
            "SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint FROM pg_database WHERE datname = ANY($1)",
        )
        .bind(names)
        // The admin pool is not used, because reads would wait for databases that are being
        // created.
        .fetch_one(self.store.pool())
        .await?)
    }

    pub(super) async fn connect_to(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        self.options.clone().database(database).connect().await
    }
}

/// Replaces a role by another one in this database, as the owner of objects and as the grantee of
/// privileges on tables, sequences, schemas and functions.
async fn transfer_ownership(
    connection: &mut PgConnection,
    from: &str,
    to: &str,
) -> Result<(), sqlx::Error> {
    let grants: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
        "WITH granted AS (
             SELECT CASE WHEN relkind = 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || oid::regclass AS object, (aclexplode(relacl)).*
             FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
             UNION ALL SELECT 'SCHEMA ' || quote_ident(nspname), (aclexplode(nspacl)).* FROM pg_namespace
             UNION ALL SELECT 'ROUTINE ' || oid::regprocedure, (aclexplode(proacl)).* FROM pg_proc
         )
         SELECT format('GRANT %s ON %s TO \"{to}\"%s; REVOKE %1$s ON %2$s FROM \"{from}\" CASCADE', privilege_type, object,
             CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
         FROM granted WHERE grantee = (SELECT oid FROM pg_roles WHERE rolname = '{from}') AND grantor <> grantee"
    )))
    .fetch_all(&mut *connection)
    .await?;
    for grant in grants {
        execute(connection, grant).await?;
    }
    // REASSIGN OWNED also changes the owner of databases, because they are shared objects. This
    // restores it.
    let back: Vec<String> = sqlx::query_scalar(
        "SELECT format('ALTER DATABASE %I OWNER TO %I', datname, $1::text) FROM pg_database
         WHERE datdba = (SELECT oid FROM pg_roles WHERE rolname = $1)",
    )
    .bind(from)
    .fetch_all(&mut *connection)
    .await?;
    let statements = std::iter::once(format!("REASSIGN OWNED BY \"{from}\" TO \"{to}\""))
        .chain(back)
        .collect::<Vec<_>>()
        .join("; ");
    execute(connection, format!("BEGIN; {statements}; COMMIT")).await
}
