//! Helpers to read columns of rows.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// A timestamp that the query selected as microseconds since 1970.
pub(crate) fn moment(row: &PgRow, column: &str) -> sqlx::Result<Timestamp> {
    let microseconds: i64 = row.try_get(column)?;
    Timestamp::from_microsecond(microseconds).map_err(|error| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: Box::new(error),
    })
}

/// Like [`moment`], for columns that may be `NULL`.
pub(crate) fn optional_moment(row: &PgRow, column: &str) -> sqlx::Result<Option<Timestamp>> {
    match row.try_get::<Option<i64>, _>(column)? {
        Some(_) => moment(row, column).map(Some),
        None => Ok(None),
    }
}
