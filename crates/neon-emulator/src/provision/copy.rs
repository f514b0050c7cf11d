//! Copies branches: the physical databases are copied from the parent's files as they are now.
//!
//! PostgreSQL can copy a database only while there are no connections to it. The caller therefore
//! locks the parent branch exclusively and terminates its sessions; new connections wait until the
//! copy is complete (tens of milliseconds per database). Databases that do not exist physically do
//! not have to be copied.

use neon_client::ids::{BranchId, ProjectId};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Postgres};

use super::{ProvisionError, Provisioner, apply_role, execute};
use crate::clock::Micros;
use crate::store::{DatabaseRow, RoleRow, Store, Tx};

/// The SQLSTATE for a database with open connections.
const OBJECT_IN_USE: &str = "55006";
/// Maximum number of attempts to copy a database while connections to it are being established.
const COPY_TRIES_MAX: u32 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    SchemaAndData,
    SchemaOnly,
}

/// A role of the parent, and the corresponding role of the copy.
type Pair = (RoleRow, RoleRow);

/// Truncates all tables.
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
        what: What,
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
            let own = Store::insert_role(tx, project, to, &name, password.as_deref(), now).await?;
            pairs.push((role, own));
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
            let mut own = Store::insert_database(tx, project, to, &name, &owner, now).await?;
            if database.provisioned_at_us.is_some() {
                self.copy_database(admin, tx, &pairs, &database, &own, what, now)
                    .await?;
                own.provisioned_at_us = Some(now);
                Store::save_database(tx, &own).await?;
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
        pairs: &[Pair],
        from: &DatabaseRow,
        to: &DatabaseRow,
        what: What,
        now: Micros,
    ) -> Result<(), ProvisionError> {
        for (_, own) in pairs {
            apply_role(admin, tx, own, now).await?;
        }
        let (source, name) = (from.real_name(), to.real_name());
        // A crash may have left an incomplete copy.
        execute(admin, format!("DROP DATABASE IF EXISTS \"{name}\"")).await?;
        let copy = format!(
            "CREATE DATABASE \"{name}\" TEMPLATE \"{source}\"{}",
            self.strategy
        );
        let mut tries_left = COPY_TRIES_MAX;
        loop {
            sqlx::query(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1",
            )
            .bind(&source)
            .execute(&mut *admin)
            .await?;
            tries_left -= 1;
            match sqlx::raw_sql(AssertSqlSafe(copy.clone()))
                .execute(&mut *admin)
                .await
            {
                Ok(_) => break,
                // A connection that was being established was not visible yet.
                Err(sqlx::Error::Database(error))
                    if tries_left > 0 && error.code().as_deref() == Some(OBJECT_IN_USE) => {}
                Err(error) => return Err(error.into()),
            }
        }
        execute(
            admin,
            format!("REVOKE ALL ON DATABASE \"{name}\" FROM PUBLIC"),
        )
        .await?;
        let mut inside = self.inside(&name).await?;
        for (theirs, own) in pairs {
            if theirs.applied_password.is_some() {
                hand_over(&mut inside, &theirs.real_name(), &own.real_name()).await?;
            }
        }
        if what == What::SchemaOnly {
            execute(&mut inside, TRUNCATE.to_owned()).await?;
        }
        sqlx::Connection::close(inside).await?;
        for (_, own) in pairs {
            let real = own.real_name();
            let right = if own.name == to.owner_name {
                format!("ALTER DATABASE \"{name}\" OWNER TO \"{real}\"")
            } else {
                format!("GRANT CONNECT, TEMPORARY ON DATABASE \"{name}\" TO \"{real}\"")
            };
            execute(admin, right).await?;
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
        apply_role(admin, tx, owner, now).await?;
        let (database, owner) = (database.real_name(), owner.real_name());
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
            .map(DatabaseRow::real_name)
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

    pub(super) async fn inside(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        self.options.clone().database(database).connect().await
    }
}

/// Replaces a role by another one in this database, as the owner of objects and as the grantee of
/// privileges on tables, sequences, schemas and functions.
async fn hand_over(inside: &mut PgConnection, from: &str, to: &str) -> Result<(), sqlx::Error> {
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
    .fetch_all(&mut *inside)
    .await?;
    for grant in grants {
        execute(inside, grant).await?;
    }
    // REASSIGN OWNED also changes the owner of databases, because they are shared objects. This
    // restores it.
    let back: Vec<String> = sqlx::query_scalar(
        "SELECT format('ALTER DATABASE %I OWNER TO %I', datname, $1::text) FROM pg_database
         WHERE datdba = (SELECT oid FROM pg_roles WHERE rolname = $1)",
    )
    .bind(from)
    .fetch_all(&mut *inside)
    .await?;
    let statements = std::iter::once(format!("REASSIGN OWNED BY \"{from}\" TO \"{to}\""))
        .chain(back)
        .collect::<Vec<_>>()
        .join("; ");
    execute(inside, format!("BEGIN; {statements}; COMMIT")).await
}
