//! Drops what an interrupted statement with `CONCURRENTLY` leaves behind, before it runs again.
//!
//! Such a statement runs in several transactions. If `CREATE INDEX CONCURRENTLY` fails, an invalid
//! index of that name remains: the next run fails because it exists or, with `IF NOT EXISTS`, does nothing
//! and leaves an index that no query uses. Each failed `REINDEX CONCURRENTLY` leaves one more
//! invalid index with the suffix `_ccnew` or `_ccold` and a number.

use sqlx::Row as _;
use tracing::info;

use super::error::MigrationError;
use super::session::Session;
use super::session_sql;
use super::set::Migration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preparation {
    /// The statement has to run.
    Run,
    /// An earlier run completed the statement, and was interrupted before it was recorded.
    AlreadyDone,
    /// The statement has to run, and fails because an index of another origin has its name.
    NameTaken,
}

/// Prepares the database for the only statement of `migration`. `is_repeated` says whether the
/// statement was started before.
pub(super) async fn prepare(
    session: &mut Session<'_>,
    migration: &Migration,
    is_repeated: bool,
) -> Result<Preparation, MigrationError> {
    let head: Vec<&str> = migration
        .statements()
        .iter()
        .flat_map(|statement| &statement.head)
        .map(String::as_str)
        .collect();
    let Some(statement) = ConcurrentStatement::parse(&head) else {
        return Ok(Preparation::Run);
    };
    let rows = session
        .query(statement.indexes(), "looking for invalid indexes")
        .await?;
    for row in rows {
        let (Ok(name), Ok(is_valid)) = (row.try_get::<String, _>(0), row.try_get::<bool, _>(1))
        else {
            continue;
        };
        if is_valid {
            return Ok(match (statement.fails_if_exists(), is_repeated) {
                (true, true) => Preparation::AlreadyDone,
                (true, false) => Preparation::NameTaken,
                (false, _) => Preparation::Run,
            });
        }
        // Postgres chose the name, so only an earlier run shows that the index is ours.
        if is_repeated || !statement.is_unnamed() {
            drop_index(session, migration, &name).await?;
        }
    }
    Ok(Preparation::Run)
}

async fn drop_index(
    session: &mut Session<'_>,
    migration: &Migration,
    name: &str,
) -> Result<(), MigrationError> {
    const OPERATION: &str = "dropping an invalid index";
    info!(
        migration.file = migration.file_name(),
        "dropping an invalid index that an interrupted run left behind"
    );
    let limits = session.limits();
    let settings = session_sql::file_settings(limits).join("; ");
    session.query(settings, OPERATION).await?;
    session
        .query_within(
            limits.file_timeout,
            format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"),
            OPERATION,
        )
        .await?;
    let settings = format!(
        "SET search_path = pg_catalog, pg_temp; {}",
        session_sql::own_timeouts(limits)
    );
    session.query(settings, OPERATION).await.map(drop)
}

/// A statement that builds indexes concurrently. Names are as written, or in upper case if they are
/// not quoted.
#[derive(Debug, PartialEq, Eq)]
enum ConcurrentStatement {
    CreateIndex {
        name: Option<String>,
        table: String,
        if_not_exists: bool,
    },
    ReindexIndex(String),
    ReindexTable(String),
    ReindexSchema(String),
    ReindexDatabase,
}

impl ConcurrentStatement {
    fn parse(head: &[&str]) -> Option<Self> {
        match head {
            ["CREATE", "INDEX", "CONCURRENTLY", rest @ ..]
            | ["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY", rest @ ..] => create_index(rest),
            ["REINDEX", ..] if head.contains(&"CONCURRENTLY") => reindex(head),
            _ => None,
        }
    }

    fn is_unnamed(&self) -> bool {
        matches!(self, Self::CreateIndex { name: None, .. })
    }

    /// Whether the statement fails if it has already succeeded.
    fn fails_if_exists(&self) -> bool {
        matches!(
            self,
            Self::CreateIndex {
                name: Some(_),
                if_not_exists: false,
                ..
            }
        )
    }

    /// A query for the indexes that the statement creates or that an earlier run left: their quoted
    /// names, and whether they are valid.
    fn indexes(&self) -> String {
        let regclass = |name: &str| format!("to_regclass('{}')", name.replace('\'', "''"));
        let condition = match self {
            Self::CreateIndex {
                name: Some(name),
                table,
                ..
            } => format!(
                "indrelid = {} AND relname = (parse_ident('{}'))[1]::name",
                regclass(table),
                name.replace('\'', "''"),
            ),
            Self::CreateIndex {
                name: None, table, ..
            } => format!(
                "indrelid = {} AND NOT indisvalid AND relname ~ '_idx[0-9]*$'",
                regclass(table)
            ),
            Self::ReindexIndex(index) => leftover_of(&format!(
                "indrelid IN (SELECT indrelid FROM pg_index WHERE indexrelid = {0} \
                 OR indexrelid IN (SELECT relid FROM pg_partition_tree({0})))",
                regclass(index),
            )),
            Self::ReindexTable(table) => leftover_of(&format!(
                "(indrelid = {0} OR indrelid IN (SELECT relid FROM pg_partition_tree({0})))",
                regclass(table),
            )),
            Self::ReindexSchema(schema) => leftover_of(&format!(
                "nspname = (parse_ident('{}'))[1]::name",
                schema.replace('\'', "''")
            )),
            Self::ReindexDatabase => leftover_of("true"),
        };
        format!(
            "SELECT format('%I.%I', nspname, relname), indisvalid FROM pg_index \
             JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE nspname NOT IN ('pg_catalog', 'pg_toast') AND {condition} LIMIT {MAX_INDEXES}"
        )
    }
}

/// Indexes that are dropped before one run.
const MAX_INDEXES: usize = 100;

fn leftover_of(scope: &str) -> String {
    format!("NOT indisvalid AND relname ~ '_cc(new|old)[0-9]*$' AND {scope}")
}

fn create_index(rest: &[&str]) -> Option<ConcurrentStatement> {
    let (if_not_exists, rest) = match rest {
        ["IF", "NOT", "EXISTS", rest @ ..] => (true, rest),
        _ => (false, rest),
    };
    let (name, rest) = match rest {
        ["ON", rest @ ..] => (None, rest),
        [name, "ON", rest @ ..] => (Some((*name).to_owned()), rest),
        _ => return None,
    };
    let rest = match rest {
        ["ONLY", rest @ ..] => rest,
        _ => rest,
    };
    Some(ConcurrentStatement::CreateIndex {
        name,
        table: relation_name(rest)?,
        if_not_exists,
    })
}

fn reindex(head: &[&str]) -> Option<ConcurrentStatement> {
    let kind = head
        .iter()
        .position(|word| matches!(*word, "INDEX" | "TABLE" | "SCHEMA" | "DATABASE"))?;
    let rest = head.get(kind + 1..)?;
    let rest = rest.strip_prefix(&["CONCURRENTLY"]).unwrap_or(rest);
    Some(match *head.get(kind)? {
        "INDEX" => ConcurrentStatement::ReindexIndex(relation_name(rest)?),
        "TABLE" => ConcurrentStatement::ReindexTable(relation_name(rest)?),
        "SCHEMA" => ConcurrentStatement::ReindexSchema((*rest.first()?).to_owned()),
        _ => ConcurrentStatement::ReindexDatabase,
    })
}

/// A name with its schema, which is `public` unless the statement names another one.
fn relation_name(tokens: &[&str]) -> Option<String> {
    match tokens {
        [schema, ".", name, ..] => Some(format!("{schema}.{name}")),
        [name, ..] => Some(format!("public.{name}")),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::statements;

    fn create(name: Option<&str>, table: &str, if_not_exists: bool) -> ConcurrentStatement {
        ConcurrentStatement::CreateIndex {
            name: name.map(str::to_owned),
            table: table.to_owned(),
            if_not_exists,
        }
    }

    #[test]
    fn the_index_and_its_table_are_read_from_the_statement() {
        for (sql, expected) in [
            (
                "create index concurrently if not exists a_b on a (b)",
                Some(create(Some("A_B"), "public.A", true)),
            ),
            (
                "-- c\nCREATE UNIQUE INDEX /* d */ CONCURRENTLY IF NOT EXISTS \"A b\" ON only s.a (b)",
                Some(create(Some("\"A b\""), "S.A", true)),
            ),
            (
                "create index concurrently a_b on a using btree (b)",
                Some(create(Some("A_B"), "public.A", false)),
            ),
            (
                "create index concurrently on \"A\" (b)",
                Some(create(None, "public.\"A\"", false)),
            ),
            (
                "reindex index concurrently s.a_b",
                Some(ConcurrentStatement::ReindexIndex("S.A_B".to_owned())),
            ),
            (
                "reindex (verbose, concurrently) table a",
                Some(ConcurrentStatement::ReindexTable("public.A".to_owned())),
            ),
            (
                "reindex schema concurrently s",
                Some(ConcurrentStatement::ReindexSchema("S".to_owned())),
            ),
            (
                "reindex database concurrently",
                Some(ConcurrentStatement::ReindexDatabase),
            ),
            ("create index if not exists a_b on a (b)", None),
            ("drop index concurrently if exists a_b", None),
            ("reindex table a", None),
        ] {
            let statements = statements::split(sql).expect(sql);
            let head: Vec<&str> = statements[0].head.iter().map(String::as_str).collect();
            assert_eq!(ConcurrentStatement::parse(&head), expected, "{sql}");
        }
    }
}
