//! Ingestion: from an uploaded file to searchable text.
//!
//! [`Ingest`] processes one document: fetch -> extract (in a child process) -> chunk -> embed ->
//! store, and reports the progress of each step. Every effect is idempotent: embeddings are saved
//! as drafts as soon as they are created, chunk ids are derived from the document, and the text of
//! a document changes in one transaction. A job that runs twice, or crashes anywhere and runs again,
//! leaves the same rows and never pays for the same embedding twice.
//!
//! The text of a new document is stored before its embeddings are created, so that it is found by
//! its words, and each batch of embeddings is added to it.
//!
//! A worker that was declared dead may still be running. Two mechanisms make it harmless: writes to
//! the document's row require its current claim, and writes to the tenant's database happen under a
//! per-document lock, under which the claim is checked again. Deleting a document takes the same
//! lock.
//!
//! Memory: the pages and chunks of a document are held in memory; its file and its embeddings never
//! are as a whole. R's reference manual (6.5 MB, 2,415 pages, 9,497 chunks, embeddings of 1,536
//! dimensions) adds about 75 MB to the worker, plus the child's own limit.
//!
//! Document text is never logged, only ids.

mod claim;
mod context;
mod delete;
mod embed;
mod embedding_models;
mod error;
mod extract;
mod ingest;
mod lock;
mod purge_conversations;
mod reembed;
mod rename;
mod store;
mod sweep;
pub mod target_model;
pub mod vector_index;

pub use context::{Checkpoint, Checkpoints, IngestContext, TenantConnection, TenantDatabases};
pub use delete::DeleteOrphanedFile;
pub use embedding_models::{DocumentEmbedder, EmbedError, EmbeddingModels};
pub use ingest::MAX_ATTEMPTS;
pub use reembed::{OLD_VECTOR_RETENTION, Reembed};
pub use sweep::{Sweep, SweepContext};
pub use vector_index::BuildVectorIndex;

use crate::ask::threads::{DeletePrivateConversations, PurgeConversations};
use crate::config;
use crate::documents::{DeleteDocument, DiscardText, Ingest, RenameDocument};
use crate::jobs::JobRegistry;

/// Registers the jobs of this module.
pub fn jobs(
    context: &IngestContext,
    sessions: config::SessionLifetimes,
    registry: JobRegistry,
) -> JobRegistry {
    let sweep = SweepContext {
        context: context.clone(),
        sessions,
    };
    registry
        .with::<Ingest>(context.clone())
        .with::<DeleteDocument>(context.clone())
        .with::<DiscardText>(context.clone())
        .with::<DeleteOrphanedFile>(context.clone())
        .with::<RenameDocument>(context.clone())
        .with::<PurgeConversations>(context.clone())
        .with::<DeletePrivateConversations>(context.clone())
        .with::<Reembed>(context.clone())
        .with::<BuildVectorIndex>(context.clone())
        .with_every_minute(sweep, Sweep {})
}
