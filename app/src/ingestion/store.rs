//! Writes the rows of a document in the tenant's database.
//!
//! The first ingestion writes the text as soon as it is cut into chunks, so that the document can be
//! searched by its words while its embeddings are created. A later one replaces all rows in one
//! transaction, so that the earlier results stay in use until then.
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
use crate::ids::DocumentId;

/// How many bytes are sent at a time.
const COPY_BUFFER_BYTES: usize = 256 * 1024;

pub(super) struct DocumentContent<'a> {
    pub(super) chunks: &'a [Chunk],
    pub(super) page_count: i32,
    /// Models of which every chunk must have an embedding.
    pub(super) models: &'a [String],
}

/// Writes the document's text, with the embeddings that exist already.
pub(super) async fn store_text(
    context: &IngestContext,
    tenant: &PgPool,
    claim: &DocumentClaim,
    input: &DocumentContent<'_>,
) -> Result<(), StepError> {
    let mut transaction = lock_claimed(tenant, claim).await?;
    for model in input.models {
        keep_as_drafts(&mut transaction, claim.document, model)
            .await
            .map_err(StepError::TenantDatabase)?;
    }
    replace_text(context, &mut transaction, claim, input).await?;
    for model in input.models {
        copy_drafts(&mut transaction, claim.document, model, None)
            .await
            .map_err(StepError::TenantDatabase)?;
    }
    context.checkpoint(Checkpoint::TextWritten).await;
    transaction
        .commit()
        .await
        .map_err(StepError::TenantDatabase)
}

/// Writes the rest of the document's rows: the embeddings, and the text unless this attempt has
/// stored it already.
pub(super) async fn store(
    context: &IngestContext,
    tenant: &PgPool,
    claim: &DocumentClaim,
    input: &DocumentContent<'_>,
    has_text: bool,
) -> Result<(), StepError> {
    let mut transaction = lock_claimed(tenant, claim).await?;
    if !has_text {
        replace_text(context, &mut transaction, claim, input).await?;
    }
    let complete = move_drafts(&mut transaction, claim.document, input)
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

/// Replaces the document's row and chunks. Deletes its embeddings.
async fn replace_text(
    context: &IngestContext,
    transaction: &mut PgConnection,
    claim: &DocumentClaim,
    input: &DocumentContent<'_>,
) -> Result<(), StepError> {
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
    write_text(transaction, claim, input, &document)
        .await
        .map_err(StepError::TenantDatabase)
}

async fn write_text(
    transaction: &mut PgConnection,
    claim: &DocumentClaim,
    input: &DocumentContent<'_>,
    document: &DocumentMetadata,
) -> sqlx::Result<()> {
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
    copy_chunks(transaction, claim, input.chunks).await
}

/// Keeps the embeddings of an earlier attempt when its text is replaced.
async fn keep_as_drafts(
    transaction: &mut PgConnection,
    document: DocumentId,
    model: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO embedding_drafts (document_id, model, content_sha256, embedding)
         SELECT DISTINCT ON (c.content_sha256) c.document_id, e.model, c.content_sha256, e.embedding
         FROM chunks c JOIN chunk_embeddings e ON e.chunk_id = c.id AND e.model = $2
         WHERE c.document_id = $1 AND c.content_sha256 IS NOT NULL
         ON CONFLICT DO NOTHING",
    )
    .bind(document.0)
    .bind(model)
    .persistent(false)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Copies drafts to the document's chunks: those with these hashes, or all.
pub(super) async fn copy_drafts(
    transaction: &mut PgConnection,
    document: DocumentId,
    model: &str,
    hashes: Option<&[&[u8]]>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO chunk_embeddings (chunk_id, model, embedding)
         SELECT c.id, e.model, e.embedding
         FROM chunks c JOIN embedding_drafts e
           ON e.document_id = c.document_id AND e.model = $2 AND e.content_sha256 = c.content_sha256
         WHERE c.document_id = $1 AND ($3::bytea[] IS NULL OR c.content_sha256 = ANY($3))
         ON CONFLICT DO NOTHING",
    )
    .bind(document.0)
    .bind(model)
    .bind(hashes)
    .persistent(false)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Moves the drafts to the document's chunks. Returns whether every chunk has an embedding of every
/// model.
async fn move_drafts(
    transaction: &mut PgConnection,
    document: DocumentId,
    input: &DocumentContent<'_>,
) -> sqlx::Result<bool> {
    let mut complete = true;
    for model in input.models {
        copy_drafts(transaction, document, model, None).await?;
        let embedded: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM chunks c JOIN chunk_embeddings e ON e.chunk_id = c.id AND e.model = $2
             WHERE c.document_id = $1",
        )
        .bind(document.0)
        .bind(model)
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await?;
        complete &= usize::try_from(embedded).is_ok_and(|embedded| embedded == input.chunks.len());
    }
    sqlx::query("DELETE FROM embedding_drafts WHERE document_id = $1")
        .bind(document.0)
        .persistent(false)
        .execute(transaction)
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
