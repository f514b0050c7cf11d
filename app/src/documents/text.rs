//! What was read of a document, as its page shows it.

use sqlx::{PgPool, Row as _};

use super::search::page;
use crate::ids::DocumentId;

/// Passages shown at once.
pub const PASSAGES_A_PAGE: u32 = 20;

/// A chunk, as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// From 0.
    pub ordinal: u32,
    /// Its first page.
    pub page_from: u32,
    /// Its last page.
    pub page_to: u32,
    /// Its text.
    pub text: String,
}

/// The document's passages from this ordinal on, at most [`PASSAGES_A_PAGE`], and whether more follow.
pub async fn passages(
    tenant: &PgPool,
    document: DocumentId,
    from: u32,
) -> sqlx::Result<(Vec<Passage>, bool)> {
    let rows = sqlx::query(
        "SELECT ordinal, page_from, page_to, text FROM chunks
         WHERE document_id = $1 AND ordinal >= $2 ORDER BY ordinal LIMIT $3",
    )
    .bind(document.0)
    .bind(i32::try_from(from).unwrap_or(i32::MAX))
    .bind(i64::from(PASSAGES_A_PAGE) + 1)
    .fetch_all(tenant)
    .await?;
    let shown = usize::try_from(PASSAGES_A_PAGE).unwrap_or(usize::MAX);
    let more = rows.len() > shown;
    let passages = rows
        .iter()
        .take(shown)
        .map(|row| {
            Ok(Passage {
                ordinal: u32::try_from(row.try_get::<i32, _>("ordinal")?).unwrap_or(0),
                page_from: page(row.try_get("page_from")?),
                page_to: page(row.try_get("page_to")?),
                text: row.try_get("text")?,
            })
        })
        .collect::<sqlx::Result<_>>()?;
    Ok((passages, more))
}
