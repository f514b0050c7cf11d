//! The extracted text of a document, as its page shows it.

use sqlx::PgPool;

use crate::ids::DocumentId;

pub const PASSAGES_PER_PAGE: u32 = 20;

/// A chunk of the document's text.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Passage {
    /// From 0.
    #[sqlx(try_from = "i32")]
    pub ordinal: u32,
    #[sqlx(try_from = "i32")]
    pub page_from: u32,
    #[sqlx(try_from = "i32")]
    pub page_to: u32,
    pub text: String,
}

/// The document's passages from the ordinal `from`, at most [`PASSAGES_PER_PAGE`], and whether more
/// follow.
pub async fn passages(
    tenant: &PgPool,
    document: DocumentId,
    from: u32,
) -> sqlx::Result<(Vec<Passage>, bool)> {
    let limit = usize::try_from(PASSAGES_PER_PAGE).unwrap_or(usize::MAX);
    let mut passages: Vec<Passage> = sqlx::query_as(
        "SELECT ordinal, page_from, page_to, text FROM chunks
         WHERE document_id = $1 AND ordinal >= $2 ORDER BY ordinal LIMIT $3",
    )
    .bind(document.0)
    .bind(i32::try_from(from).unwrap_or(i32::MAX))
    .bind(i64::from(PASSAGES_PER_PAGE) + 1)
    .fetch_all(tenant)
    .await?;
    let more = passages.len() > limit;
    passages.truncate(limit);
    Ok((passages, more))
}
