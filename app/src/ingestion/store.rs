//! Writes all rows of a document in one transaction of the tenant's database.
//!
//! Chunks are inserted by one binary COPY. Their embeddings are already in the database as drafts
//! and are moved there, so they cross the network once and this process never holds all of them.

use bytes::{BufMut as _, Bytes, BytesMut};
use rag::{CHUNKING_VERSION, Chunk, chunk_id};
use sqlx::{PgConnection, PgPool};

use super::claim::DocumentClaim;
use super::context::{Checkpoint, IngestContext};
use super::error::StepError;
use super::lock::lock_claimed;
use crate::documents::BlockedOn;

/// How many bytes are sent at a time.
const COPY_BUFFER_BYTES: usize = 256 * 1024;

pub(super) struct DocumentContent<'a> {
    pub(super) chunks: &'a [Chunk],
    pub(super) page_count: i32,
    /// Models of which every chunk must have an embedding.
    pub(super) models: &'a [String],
}

/// Replaces the document's rows.
pub(super) async fn store(
    context: &IngestContext,
    tenant: &PgPool,
    claim: &DocumentClaim,
    input: &DocumentContent<'_>,
) -> Result<(), StepError> {
    let mut transaction = lock_claimed(tenant, claim).await?;
    // Read after taking the lock, so that a later rename finds these rows and updates them.
    let document: DocumentMetadata = sqlx::query_as(
        "SELECT file_name, title, media_type, byte_count, content_sha256, created_at
         FROM documents WHERE workspace_id = $1 AND id = $2",
    )
    .bind(claim.workspace.as_str())
    .bind(claim.document.0)
    .fetch_optional(&context.deps().database)
    .await
    .map_err(StepError::MainDatabase)?
    .ok_or(StepError::ClaimLost)?;
    let complete = write(&mut transaction, claim, input, &document)
        .await
        .map_err(StepError::TenantDatabase)?;
    if !complete {
        // A concurrent deletion took drafts away; the next attempt creates them again.
        return Err(StepError::Blocked {
            on: BlockedOn::Database,
            reason: "drafts of embeddings were deleted concurrently".to_owned(),
            retry_after: None,
        });
    }
    context.checkpoint(Checkpoint::RowsWritten).await;
    transaction
        .commit()
        .await
        .map_err(StepError::TenantDatabase)
}

#[derive(sqlx::FromRow)]
struct DocumentMetadata {
    file_name: String,
    title: String,
    media_type: String,
    byte_count: i64,
    content_sha256: Vec<u8>,
    created_at: jiff_sqlx::Timestamp,
}

async fn write(
    transaction: &mut PgConnection,
    claim: &DocumentClaim,
    input: &DocumentContent<'_>,
    document: &DocumentMetadata,
) -> sqlx::Result<bool> {
    // A row with the same content and another id belongs to a document that is still being deleted.
    sqlx::query("DELETE FROM documents WHERE content_sha256 = $1 AND id <> $2")
        .bind(&document.content_sha256)
        .bind(claim.document.0)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    // Updated rather than deleted and inserted, because conversations refer to the row.
    sqlx::query(
        "INSERT INTO documents (id, file_name, title, media_type, byte_count, content_sha256, page_count, chunking, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (id) DO UPDATE SET
             file_name = excluded.file_name, title = excluded.title, media_type = excluded.media_type,
             byte_count = excluded.byte_count, content_sha256 = excluded.content_sha256,
             page_count = excluded.page_count, chunking = excluded.chunking, updated_at = now()",
    )
    .bind(claim.document.0)
    .bind(&document.file_name)
    .bind(&document.title)
    .bind(&document.media_type)
    .bind(document.byte_count)
    .bind(&document.content_sha256)
    .bind(input.page_count)
    .bind(CHUNKING_VERSION)
    .bind(document.created_at)
    .persistent(false)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("DELETE FROM chunks WHERE document_id = $1")
        .bind(claim.document.0)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    copy_chunks(transaction, claim, input.chunks).await?;
    let mut complete = true;
    for model in input.models {
        let moved = sqlx::query(
            "INSERT INTO chunk_embeddings (chunk_id, model, embedding)
             SELECT c.id, e.model, e.embedding
             FROM chunks c JOIN embedding_drafts e
               ON e.document_id = c.document_id AND e.model = $2 AND e.content_sha256 = c.content_sha256
             WHERE c.document_id = $1",
        )
        .bind(claim.document.0)
        .bind(model)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
        complete &= moved.rows_affected() == input.chunks.len() as u64;
    }
    sqlx::query("DELETE FROM embedding_drafts WHERE document_id = $1")
        .bind(claim.document.0)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    Ok(complete)
}

async fn copy_chunks(
    transaction: &mut PgConnection,
    claim: &DocumentClaim,
    chunks: &[Chunk],
) -> sqlx::Result<()> {
    let mut copy = transaction
        .copy_in_raw(
            "COPY chunks (id, document_id, ordinal, page_from, page_to, char_offset, text, token_count, boxes, content_sha256)
             FROM STDIN (FORMAT binary)",
        )
        .await?;
    let mut rows = CopyRows::new();
    for chunk in chunks {
        let encoded = rows.push(claim, chunk);
        if let Err(error) = encoded {
            copy.abort("a chunk does not fit into the columns").await?;
            return Err(error);
        }
        if rows.buffer.len() >= COPY_BUFFER_BYTES {
            copy.send(rows.take()).await?;
        }
    }
    copy.send(rows.finish()).await?;
    copy.finish().await?;
    Ok(())
}

/// Encodes rows in the binary COPY format: a header, then each row as its number of fields and the
/// length and bytes of each, then a trailer.
struct CopyRows {
    buffer: BytesMut,
}

const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_FIELDS: i16 = 10;
const COPY_TRAILER: i16 = -1;
/// The first byte of a binary `jsonb` value: the version of the format.
const JSONB_VERSION: u8 = 1;

impl CopyRows {
    fn new() -> Self {
        let mut buffer = BytesMut::with_capacity(COPY_BUFFER_BYTES * 2);
        buffer.put_slice(COPY_HEADER);
        Self { buffer }
    }

    fn push(&mut self, claim: &DocumentClaim, chunk: &Chunk) -> sqlx::Result<()> {
        let boxes = serde_json::to_vec(&chunk.boxes)
            .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        self.buffer.put_i16(COPY_FIELDS);
        self.bytes(chunk_id(claim.document.0, chunk.ordinal).as_bytes())?;
        self.bytes(claim.document.0.as_bytes())?;
        self.int(chunk.ordinal);
        self.int(to_i32(chunk.page_from)?);
        self.int(to_i32(chunk.page_to)?);
        self.int(to_i32(chunk.char_offset)?);
        self.bytes(chunk.text.as_bytes())?;
        self.int(to_i32(chunk.token_count)?);
        self.buffer.put_i32(to_i32(boxes.len() + 1)?);
        self.buffer.put_u8(JSONB_VERSION);
        self.buffer.put_slice(&boxes);
        self.bytes(&chunk.content_sha256)
    }

    fn int(&mut self, value: i32) {
        self.buffer.put_i32(4);
        self.buffer.put_i32(value);
    }

    fn bytes(&mut self, value: &[u8]) -> sqlx::Result<()> {
        self.buffer.put_i32(to_i32(value.len())?);
        self.buffer.put_slice(value);
        Ok(())
    }

    fn take(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }

    fn finish(&mut self) -> Bytes {
        self.buffer.put_i16(COPY_TRAILER);
        self.take()
    }
}

fn to_i32<N>(number: N) -> sqlx::Result<i32>
where
    i32: TryFrom<N>,
    <i32 as TryFrom<N>>::Error: std::error::Error + Send + Sync + 'static,
{
    i32::try_from(number).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}
