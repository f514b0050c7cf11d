//! The documents with questions in a database of a tenant: read, cut into chunks and embedded like
//! uploaded files.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use llm::{LOCAL_MODEL_NAME, LocalConfig, Models, ModelsConfig, Purpose};
use pdf_text::{Extractor, ExtractorConfig, Limits};
use pgvector::Vector;
use rag::{Chunk, ChunkConfig, Chunker};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use crate::forms;
use crate::questions::Question;
use crate::vector_cache::VectorCache;

/// Texts that are embedded before the cache is saved.
const EMBEDDED_PER_SAVE: usize = 64;

/// A document with its chunks.
pub(crate) struct Document {
    pub(crate) file_name: String,
    /// The text of each page.
    pub(crate) pages: Vec<String>,
    chunks: Vec<Chunk>,
}

/// Reads the generated documents and the manuals, all or those with these file names.
pub(crate) async fn read_documents(manuals: &[String]) -> Result<Vec<Document>> {
    let folder = tokio::task::spawn_blocking(installer::manuals_with_questions).await??;
    let extractor = Extractor::new(ExtractorConfig::current_exe(Limits::default())?);
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let is_selected = manuals.is_empty() || manuals.contains(&file_name(&path));
        if is_selected && path.extension().is_some_and(|extension| extension == "pdf") {
            files.push((file_name(&path), std::fs::read(&path)?));
        }
    }
    for form in forms::all() {
        let pages: Vec<&str> = form.pages.iter().map(String::as_str).collect();
        files.push((form.file_name.to_owned(), local_stack::sample_pdf(&pages)));
    }
    files.sort();
    let mut documents = Vec::new();
    for (file_name, bytes) in files {
        let document = read(&extractor, file_name, &bytes).await?;
        documents.push(document);
    }
    Ok(documents)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

async fn read(extractor: &Extractor, file_name: String, bytes: &[u8]) -> Result<Document> {
    let extraction = extractor
        .extract(bytes, |_| ())
        .await
        .with_context(|| format!("failed to read {file_name}"))?;
    let mut chunker = Chunker::new(ChunkConfig::default());
    let mut chunks = Vec::new();
    for page in &extraction.pages {
        let tables: Vec<rag::Table> = page
            .tables
            .iter()
            .map(|table| rag::Table {
                range: table.start as usize..table.end as usize,
                header: table.header.clone(),
            })
            .collect();
        chunks.extend(chunker.page(&rag::Page {
            number: page.number,
            text: &page.text,
            words: &[],
            tables: &tables,
        }));
    }
    ensure!(!chunks.is_empty(), "{file_name} has no text");
    let pages = extraction.pages.into_iter().map(|page| page.text).collect();
    Ok(Document {
        file_name,
        pages,
        chunks,
    })
}

/// The local model, with a cache of its vectors.
pub(crate) struct Model {
    models: Models,
    cache: VectorCache,
}

impl Model {
    pub(crate) async fn load(cache: &Path) -> Result<Self> {
        let folder = tokio::task::spawn_blocking(installer::local_model).await??;
        let models = Models::new(ModelsConfig {
            endpoint: None,
            local: Some(LocalConfig::new(folder)),
        })?;
        Ok(Self {
            models,
            cache: VectorCache::open(cache)?,
        })
    }

    /// The vectors of texts, in order.
    pub(crate) async fn embed(
        &mut self,
        texts: &[&str],
        purpose: Purpose,
    ) -> Result<Vec<Vec<f32>>> {
        let keys: Vec<[u8; 32]> = texts
            .iter()
            .map(|text| Sha256::digest(text.as_bytes()).into())
            .collect();
        let mut missing: Vec<([u8; 32], String)> = keys
            .iter()
            .zip(texts)
            .filter(|(key, _)| self.cache.get(key).is_none())
            .map(|(key, text)| (*key, (*text).to_owned()))
            .collect();
        missing.sort();
        missing.dedup();
        for batch in missing.chunks(EMBEDDED_PER_SAVE) {
            let (keys, texts): (Vec<[u8; 32]>, Vec<String>) = batch.iter().cloned().unzip();
            let vectors = self.models.embedder().embed(&texts, purpose).await?;
            self.cache.add(keys.into_iter().zip(vectors))?;
        }
        keys.iter()
            .map(|key| self.cache.get(key).cloned().context("a vector is missing"))
            .collect()
    }
}

/// Writes the documents into the database, whose schema is that of a tenant.
pub(crate) async fn store(
    database: &PgPool,
    documents: &[Document],
    model: &mut Model,
) -> Result<usize> {
    let mut count = 0;
    for document in documents {
        let texts: Vec<&str> = document
            .chunks
            .iter()
            .map(|chunk| chunk.text.as_str())
            .collect();
        let vectors = model.embed(&texts, Purpose::Document).await?;
        count += texts.len();
        store_document(database, document, vectors).await?;
    }
    // As autovacuum does after a while.
    sqlx::query("ANALYZE").execute(database).await?;
    Ok(count)
}

async fn store_document(
    database: &PgPool,
    document: &Document,
    vectors: Vec<Vec<f32>>,
) -> Result<()> {
    let digest = Sha256::digest(document.file_name.as_bytes());
    let id = Uuid::from_slice(&digest[..16])?;
    let mut transaction = database.begin().await?;
    sqlx::query(
        "INSERT INTO documents (id, file_name, title, media_type, byte_count, content_sha256, page_count, chunking)
         VALUES ($1, $2, $2, 'application/pdf', 1, sha256($3), $4, $5)",
    )
    .bind(id)
    .bind(&document.file_name)
    .bind(document.file_name.as_bytes())
    .bind(i32::try_from(document.pages.len())?)
    .bind(rag::CHUNKING_VERSION)
    .execute(&mut *transaction)
    .await?;
    for (chunk, vector) in document.chunks.iter().zip(vectors) {
        let chunk_id = rag::chunk_id(id, chunk.ordinal);
        sqlx::query(
            "INSERT INTO chunks (id, document_id, ordinal, page_from, page_to, char_offset, text, token_count, content_sha256)
             VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8)",
        )
        .bind(chunk_id)
        .bind(id)
        .bind(chunk.ordinal)
        .bind(i32::try_from(chunk.page_from)?)
        .bind(i32::try_from(chunk.char_offset)?)
        .bind(&chunk.text)
        .bind(i32::try_from(chunk.token_count)?)
        .bind(chunk.content_sha256.as_slice())
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO chunk_embeddings (chunk_id, model, embedding) VALUES ($1, $2, $3)",
        )
        .bind(chunk_id)
        .bind(LOCAL_MODEL_NAME)
        .bind(Vector::from(vector))
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Without the questions about documents that were not selected.
pub(crate) fn questions_about(
    documents: &[Document],
    mut questions: Vec<Question>,
) -> Vec<Question> {
    questions.retain(|question| {
        question.answer.as_ref().is_none_or(|answer| {
            documents
                .iter()
                .any(|document| document.file_name == answer.document)
        })
    });
    questions
}

/// The pages of each document, by file name.
pub(crate) fn pages_by_file_name(documents: &[Document]) -> HashMap<&str, &[String]> {
    documents
        .iter()
        .map(|document| (document.file_name.as_str(), document.pages.as_slice()))
        .collect()
}
