//! All rows of a document, changed in one transaction of the tenant's database.
//!
//! Chunks go in by one binary COPY. Their vectors are in the database already, as drafts, and are moved there: a document's vectors
//! cross the network once and are never in this process all at once.

use bytes::{BufMut as _, Bytes, BytesMut};
use rag::{CHUNKING_VERSION, Chunk, chunk_id};
use sqlx::{PgConnection, PgPool, Row as _};

use super::claim::Claim;
use super::embed::hold;
use super::ingest::StepError;
use super::workshop::{Checkpoint, Workshop};
use crate::documents::Trouble;

/// How much of the COPY is sent at once.
const COPY_BUFFER_BYTES: usize = 256 * 1024;

/// What is stored, beside the chunks.
pub(super) struct Reading<'a> {
    pub(super) chunks: &'a [Chunk],
    pub(super) page_count: i32,
    /// Models whose vectors every chunk has to have.
    pub(super) models: &'a [String],
}

/// Writes the rows, instead of those that there were.
pub(super) async fn store(
    workshop: &Workshop,
    tenant: &PgPool,
    claim: &Claim,
    reading: &Reading<'_>,
) -> Result<(), StepError> {
    let mut transaction = hold(tenant, claim).await?;
    // After the lock, so that a renaming that comes later finds these rows and changes them.
    let row = sqlx::query(
        "SELECT file_name, title, media_type, byte_count, content_sha256,
                (extract(epoch FROM created_at) * 1000000)::bigint AS created_us
         FROM documents WHERE workspace_id = $1 AND id = $2",
    )
    .bind(claim.workspace.as_str())
    .bind(claim.document.0)
    .fetch_optional(&workshop.tools().database)
    .await
    .map_err(StepError::Main)?
    .ok_or(StepError::Unwanted)?;
    let document = NewDocument {
        file_name: row.try_get("file_name").map_err(StepError::Main)?,
        title: row.try_get("title").map_err(StepError::Main)?,
        media_type: row.try_get("media_type").map_err(StepError::Main)?,
        byte_count: row.try_get("byte_count").map_err(StepError::Main)?,
        content_sha256: row.try_get("content_sha256").map_err(StepError::Main)?,
        created_us: row.try_get("created_us").map_err(StepError::Main)?,
    };
    let complete = write(&mut transaction, claim, reading, &document)
        .await
        .map_err(StepError::Tenant)?;
    if !complete {
        // Drafts went missing under us; the next run makes them again.
        return Err(StepError::Trouble {
            trouble: Trouble::Database,
            why: "vectors that were kept are gone".to_owned(),
            after: None,
        });
    }
    workshop.reached(Checkpoint::Written).await;
    transaction.commit().await.map_err(StepError::Tenant)
}

struct NewDocument {
    file_name: String,
    title: String,
    media_type: String,
    byte_count: i64,
    content_sha256: Vec<u8>,
    created_us: i64,
}

async fn write(
    transaction: &mut PgConnection,
    claim: &Claim,
    reading: &Reading<'_>,
    document: &NewDocument,
) -> sqlx::Result<bool> {
    // The same file under another id is one that is being removed, and not gone from here yet.
    sqlx::query("DELETE FROM documents WHERE content_sha256 = $1 AND id <> $2")
        .bind(&document.content_sha256)
        .bind(claim.document.0)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    // Changed and not made anew: conversations about it refer to the row.
    sqlx::query(
        "INSERT INTO documents (id, file_name, title, media_type, byte_count, content_sha256, page_count, chunking, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, to_timestamp($9::bigint / 1000000.0))
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
    .bind(reading.page_count)
    .bind(CHUNKING_VERSION)
    .bind(document.created_us)
    .persistent(false)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("DELETE FROM chunks WHERE document_id = $1")
        .bind(claim.document.0)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    copy_chunks(transaction, claim, reading.chunks).await?;
    let mut complete = true;
    for model in reading.models {
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
        complete &= moved.rows_affected() == reading.chunks.len() as u64;
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
    claim: &Claim,
    chunks: &[Chunk],
) -> sqlx::Result<()> {
    let mut copy = transaction
        .copy_in_raw(
            "COPY chunks (id, document_id, ordinal, page_from, page_to, char_offset, text, token_count, boxes, content_sha256)
             FROM STDIN (FORMAT binary)",
        )
        .await?;
    let mut rows = Rows::begin();
    for chunk in chunks {
        let encoded = rows.push(claim, chunk);
        if let Err(error) = encoded {
            copy.abort("a chunk does not fit").await?;
            return Err(error);
        }
        if rows.buffer.len() >= COPY_BUFFER_BYTES {
            copy.send(rows.take()).await?;
        }
    }
    copy.send(rows.end()).await?;
    copy.finish().await?;
    Ok(())
}

/// Rows in the binary format of COPY: a header, for each row the number of its fields and each with its length, and an end mark.
struct Rows {
    buffer: BytesMut,
}

const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_FIELDS: i16 = 10;
const COPY_END: i16 = -1;
/// First byte of a `jsonb` value: the version of its binary form.
const JSONB_VERSION: u8 = 1;

impl Rows {
    fn begin() -> Self {
        let mut buffer = BytesMut::with_capacity(COPY_BUFFER_BYTES * 2);
        buffer.put_slice(COPY_HEADER);
        Self { buffer }
    }

    fn push(&mut self, claim: &Claim, chunk: &Chunk) -> sqlx::Result<()> {
        let boxes = serde_json::to_vec(&chunk.boxes)
            .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        self.buffer.put_i16(COPY_FIELDS);
        self.bytes(chunk_id(claim.document.0, chunk.ordinal).as_bytes())?;
        self.bytes(claim.document.0.as_bytes())?;
        self.int(chunk.ordinal);
        self.int(fits(chunk.page_from)?);
        self.int(fits(chunk.page_to)?);
        self.int(fits(chunk.char_offset)?);
        self.bytes(chunk.text.as_bytes())?;
        self.int(fits(chunk.token_count)?);
        self.buffer.put_i32(fits(boxes.len() + 1)?);
        self.buffer.put_u8(JSONB_VERSION);
        self.buffer.put_slice(&boxes);
        self.bytes(&chunk.content_sha256)
    }

    fn int(&mut self, value: i32) {
        self.buffer.put_i32(4);
        self.buffer.put_i32(value);
    }

    fn bytes(&mut self, value: &[u8]) -> sqlx::Result<()> {
        self.buffer.put_i32(fits(value.len())?);
        self.buffer.put_slice(value);
        Ok(())
    }

    fn take(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }

    fn end(&mut self) -> Bytes {
        self.buffer.put_i16(COPY_END);
        self.take()
    }
}

fn fits<N>(number: N) -> sqlx::Result<i32>
where
    i32: TryFrom<N>,
    <i32 as TryFrom<N>>::Error: std::error::Error + Send + Sync + 'static,
{
    i32::try_from(number).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}
