//! Reads document text and conversations from the tenant database page by page, so that a slow
//! download holds no connection.

use std::collections::HashMap;

use serde_json::{Value, json};
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::ExportError;
use super::archive::EntryWriter;
use crate::ask::threads::IS_VISIBLE;
use crate::ids::{DocumentId, UserId};
use crate::tenants::lacks_migration;

const CHUNKS_PER_QUERY: i64 = 200;
pub(super) const THREADS_PER_QUERY: i64 = 50;
const MESSAGES_PER_QUERY: i64 = 100;

/// Reassembles the text from overlapping chunks.
#[derive(Debug, Default)]
struct ChunkJoiner {
    /// Number of characters of the document written so far.
    written: usize,
}

impl ChunkJoiner {
    /// Returns the part of the chunk that has not been written yet, preceded by an empty line if
    /// text before it is missing.
    fn next<'a>(&mut self, offset: usize, text: &'a str) -> (&'static str, &'a str) {
        let end = offset + text.chars().count();
        let gap = if offset > self.written && self.written > 0 {
            "\n\n"
        } else {
            ""
        };
        let already_written = self.written.saturating_sub(offset);
        let new = match text.char_indices().nth(already_written) {
            Some((at, _)) => &text[at..],
            None => "",
        };
        self.written = self.written.max(end);
        (gap, new)
    }
}

/// Writes the document's extracted text.
pub(super) async fn document(
    tenant: &PgPool,
    document: DocumentId,
    entry: &mut EntryWriter<'_>,
) -> Result<(), ExportError> {
    let mut joiner = ChunkJoiner::default();
    let mut after = -1;
    loop {
        let rows = sqlx::query(
            "SELECT ordinal, char_offset, text FROM chunks
             WHERE document_id = $1 AND ordinal > $2 ORDER BY ordinal LIMIT $3",
        )
        .bind(document.0)
        .bind(after)
        .bind(CHUNKS_PER_QUERY)
        .fetch_all(tenant)
        .await?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = last.try_get::<i32, _>("ordinal")?;
        for row in &rows {
            let offset: i32 = row.try_get("char_offset")?;
            let (gap, new) = joiner.next(
                usize::try_from(offset).unwrap_or_default(),
                row.try_get("text")?,
            );
            entry.write(gap.as_bytes()).await?;
            entry.write(new.as_bytes()).await?;
        }
    }
}

/// A conversation without its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thread {
    pub(super) id: Uuid,
    pub(super) title: String,
    created_at: String,
}

/// The next conversations that the reader sees, ordered by id.
pub(super) async fn threads(
    tenant: &PgPool,
    reader: UserId,
    after: Uuid,
) -> Result<Vec<Thread>, ExportError> {
    let query = format!(
        "SELECT t.id, t.title, to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS created
         FROM threads t WHERE t.id > $2 AND {IS_VISIBLE} ORDER BY t.id LIMIT $3"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(reader.0)
        .bind(after)
        .bind(THREADS_PER_QUERY)
        .fetch_all(tenant)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Thread {
                id: row.try_get("id")?,
                title: row.try_get("title")?,
                created_at: row.try_get("created")?,
            })
        })
        .collect()
}

/// Writes the conversation with its messages as JSON.
pub(super) async fn thread(
    tenant: &PgPool,
    thread: &Thread,
    entry: &mut EntryWriter<'_>,
) -> Result<(), ExportError> {
    let head = json!({ "id": thread.id, "title": thread.title, "created_at": thread.created_at });
    // The outer JSON is written by hand so that a conversation need not fit in memory.
    entry
        .write(format!("{{\"thread\":{head},\"messages\":[").as_bytes())
        .await?;
    let mut after = -1;
    loop {
        let rows = sqlx::query(
            "SELECT id, ordinal, author, state, text, citations, model,
                    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS created
             FROM messages WHERE thread_id = $1 AND ordinal > $2 ORDER BY ordinal LIMIT $3",
        )
        .bind(thread.id)
        .bind(after)
        .bind(MESSAGES_PER_QUERY)
        .fetch_all(tenant)
        .await?;
        let Some(last) = rows.last() else { break };
        let is_first_page = after < 0;
        after = last.try_get::<i32, _>("ordinal")?;
        let ids = rows
            .iter()
            .map(|row| row.try_get("id"))
            .collect::<Result<Vec<Uuid>, _>>()?;
        let ratings = ratings(tenant, &ids).await?;
        for (at, (row, id)) in rows.iter().zip(&ids).enumerate() {
            let comma = if is_first_page && at == 0 {
                "\n"
            } else {
                ",\n"
            };
            let message = json!({
                "author": row.try_get::<String, _>("author")?,
                "state": row.try_get::<String, _>("state")?,
                "text": row.try_get::<String, _>("text")?,
                "citations": row.try_get::<Value, _>("citations")?,
                "model": row.try_get::<Option<String>, _>("model")?,
                "created_at": row.try_get::<String, _>("created")?,
                "ratings": ratings.get(id).map_or(&[][..], Vec::as_slice),
            });
            entry.write(format!("{comma}{message}").as_bytes()).await?;
        }
    }
    Ok(entry.write(b"\n]}\n").await?)
}

/// The users' ratings of these answers. Tenants that have not been migrated yet have none.
async fn ratings(
    tenant: &PgPool,
    messages: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Value>>, ExportError> {
    let rows: Result<Vec<(Uuid, Uuid, String, String)>, _> = sqlx::query_as(
        "SELECT message_id, user_id, rating, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
         FROM message_feedback WHERE message_id = ANY($1) ORDER BY created_at, user_id",
    )
    .bind(messages)
    .fetch_all(tenant)
    .await;
    let rows = match rows {
        Err(error) if lacks_migration(&error) => Vec::new(),
        rows => rows?,
    };
    let mut ratings: HashMap<Uuid, Vec<Value>> = HashMap::new();
    for (message, user, rating, created_at) in rows {
        let rating = json!({ "user": user, "rating": rating, "created_at": created_at });
        ratings.entry(message).or_default().push(rating);
    }
    Ok(ratings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn overlapping_chunks_are_joined_to_the_original_text(text in "\\PC{1,200}", size in 1usize..40, overlap in 0usize..20) {
            let letters: Vec<char> = text.chars().collect();
            let step = size.saturating_sub(overlap).max(1);
            let mut joiner = ChunkJoiner::default();
            let mut whole = String::new();
            let mut at = 0;
            while at < letters.len() {
                let chunk: String = letters[at..letters.len().min(at + size)].iter().collect();
                let (gap, new) = joiner.next(at, &chunk);
                whole.push_str(gap);
                whole.push_str(new);
                at += step;
            }
            prop_assert_eq!(whole, text);
        }
    }

    #[test]
    fn missing_text_between_chunks_becomes_an_empty_line() {
        let mut joiner = ChunkJoiner::default();
        assert_eq!(joiner.next(4, "first"), ("", "first"));
        assert_eq!(joiner.next(12, "second"), ("\n\n", "second"));
    }
}
