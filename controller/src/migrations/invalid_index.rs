//! What a `CREATE INDEX CONCURRENTLY` leaves behind that was cut off.
//!
//! Postgres keeps the index, marked invalid, and `IF NOT EXISTS` then takes it for the one that is wanted: the second run would
//! succeed and leave an index that no query uses. So such a leftover is dropped before the statement runs again. Under the lock on
//! migrations nobody can be building it: the session that did holds that lock for as long as it lives.

use sqlx::Row as _;
use tracing::info;

use super::error::MigrationError;
use super::session::Session;
use super::set::Migration;

/// Drops the invalid index that an earlier run of `migration` left, if there is one.
pub(super) async fn drop_leftover(
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
    let rows = session
        .query(text, "looking for an unfinished index")
        .await?;
    let found = rows.first().and_then(|row| row.try_get::<bool, _>(0).ok());
    if found == Some(true) {
        info!(
            migration.file = migration.file_name(),
            "Dropping index {name}, which an earlier run left unfinished"
        );
        session
            .query(
                format!("DROP INDEX CONCURRENTLY {name}"),
                "dropping an unfinished index",
            )
            .await?;
    }
    Ok(())
}

/// The index that a statement makes concurrently unless it exists, as the statement names it.
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
    fn the_index_is_found_in_its_statement() {
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
