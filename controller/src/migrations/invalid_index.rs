//! Drops the invalid index that an interrupted `CREATE INDEX CONCURRENTLY` leaves behind.
//!
//! Postgres keeps such an index and marks it invalid. `IF NOT EXISTS` then treats it as existing:
//! the second run would succeed and leave an index that no query uses. Therefore the invalid index
//! is dropped before the statement runs again. No other session can be building it, because a
//! session that does so holds the migration lock until it ends.

use sqlx::Row as _;
use tracing::info;

use super::error::MigrationError;
use super::session::Session;
use super::set::Migration;

pub(super) async fn drop_invalid_index(
    session: &mut Session<'_>,
    migration: &Migration,
) -> Result<(), MigrationError> {
    let Some(name) = migration
        .statements()
        .first()
        .and_then(|statement| index_name(&statement.head))
    else {
        return Ok(());
    };
    let text = format!(
        "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('{}') AND NOT indisvalid)",
        name.replace('\'', "''"),
    );
    let rows = session.query(text, "checking for an invalid index").await?;
    let exists = rows.first().and_then(|row| row.try_get::<bool, _>(0).ok());
    if exists == Some(true) {
        info!(
            migration.file = migration.file_name(),
            index.name = name,
            "dropping an invalid index that an interrupted run left behind"
        );
        session
            .query(
                format!("DROP INDEX CONCURRENTLY {name}"),
                "dropping an invalid index",
            )
            .await?;
    }
    Ok(())
}

/// The name of the index in `CREATE [UNIQUE] INDEX CONCURRENTLY IF NOT EXISTS name`, as written in
/// the statement.
fn index_name(head: &[String]) -> Option<&str> {
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    match head.as_slice() {
        [
            "CREATE",
            "INDEX",
            "CONCURRENTLY",
            "IF",
            "NOT",
            "EXISTS",
            name,
            ..,
        ]
        | [
            "CREATE",
            "UNIQUE",
            "INDEX",
            "CONCURRENTLY",
            "IF",
            "NOT",
            "EXISTS",
            name,
            ..,
        ] => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::statements;

    #[test]
    fn the_index_name_is_read_from_the_statement() {
        for (sql, expected) in [
            (
                "create index concurrently if not exists a_b on a (b)",
                Some("A_B"),
            ),
            (
                "-- c\nCREATE UNIQUE INDEX /* d */ CONCURRENTLY IF NOT EXISTS \"A b\" ON a (b)",
                Some("\"A b\""),
            ),
            ("create index concurrently a_b on a (b)", None),
            ("create index if not exists a_b on a (b)", None),
            ("drop index concurrently if exists a_b", None),
        ] {
            let statements = statements::split(sql).expect(sql);
            assert_eq!(index_name(&statements[0].head), expected, "{sql}");
        }
    }
}
