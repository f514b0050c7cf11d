//! Fetches, extracts and chunks: streams the file from the object store into the sandboxed child
//! process and hashes it on the way. The pages of the child are cut into chunks one by one, so that
//! this process, which also serves users, holds one page with its words and not the document.

use std::pin::Pin;
use std::task::{Context, Poll};

use pdf_text::{DocumentError, ExtractError, Extractor, PageReport};
use rag::{Chunk, ChunkConfig, Chunker, PositionedWord};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::claim::{ClaimedRow, ProgressReporter};
use super::error::StepError;
use crate::documents::{BlockedOn, IngestError, IngestStep, SystemFailure};
use crate::objects::{ObjectKey, ObjectStore};

/// Checks that the stored file exists and has the size recorded in the row.
pub(super) async fn fetch(
    objects: &ObjectStore,
    key: &ObjectKey,
    row: &ClaimedRow,
) -> Result<(), StepError> {
    match objects.head(key).await? {
        None => Err(IngestError::System(SystemFailure::FileMissing).into()),
        Some(stored) if stored.byte_count != row.byte_count => {
            Err(IngestError::System(SystemFailure::UploadMismatch).into())
        }
        Some(_) => Ok(()),
    }
}

/// Maximum number of chunks per document, four times as many as the longest manuals have. Each takes
/// 1 to 2 KB of memory and a request to the embedding model.
const MAX_CHUNKS: usize = 50_000;

/// A document whose pages have been extracted and are being cut into chunks.
#[derive(Debug)]
pub(super) struct ExtractedDocument {
    pub(super) report: PageReport,
    /// `None` if there are too many.
    pub(super) chunks: JoinHandle<Option<Vec<Chunk>>>,
}

/// Extracts the text of the file's pages, and cuts each page into chunks while the next is read.
pub(super) async fn extract(
    extractor: &Extractor,
    objects: &ObjectStore,
    key: &ObjectKey,
    row: &ClaimedRow,
    progress: &ProgressReporter,
) -> Result<ExtractedDocument, StepError> {
    let file = objects.read(key).await?;
    let mut file = Hashed::new(file);
    let (sender, pages) = mpsc::channel(1);
    // CPU-bound, so it runs on a blocking thread. It ends when the sender of the pages is dropped.
    let chunks = spawn_blocking(move || chunk_pages(pages, MAX_CHUNKS));
    let extracted = extractor
        .extract_pages(&mut file, sender, |extracted| {
            progress.report_share(
                IngestStep::Extract,
                extracted.read as usize,
                extracted.pages as usize,
            );
        })
        .await;
    match extracted {
        // The checksum covers the whole file only if the extractor read it to its end.
        Ok(_) if file.finish() != row.content_sha256 => {
            Err(IngestError::System(SystemFailure::UploadMismatch).into())
        }
        Ok(report) => Ok(ExtractedDocument { report, chunks }),
        Err(ExtractError::Stopped) => Err(too_many_chunks().into()),
        Err(ExtractError::Document(error)) => Err(IngestError::File(error).into()),
        Err(ExtractError::Input(error)) => Err(StepError::blocked(BlockedOn::Storage, &error)),
        Err(ExtractError::Spawn(error)) => Err(StepError::blocked(BlockedOn::Reader, &error)),
    }
}

/// Waits for the chunks of the last pages.
pub(super) async fn chunk(chunks: JoinHandle<Option<Vec<Chunk>>>) -> Result<Vec<Chunk>, StepError> {
    let chunks = chunks
        .await
        .map_err(|error| StepError::blocked(BlockedOn::Reader, &error))?
        .ok_or_else(too_many_chunks)?;
    if chunks.is_empty() {
        return Err(IngestError::File(DocumentError::NoText).into());
    }
    Ok(chunks)
}

fn too_many_chunks() -> IngestError {
    IngestError::File(DocumentError::TooManyPassages {
        max_passages: u32::try_from(MAX_CHUNKS).unwrap_or(u32::MAX),
    })
}

/// The chunks of all pages. `None` if there are too many, which ends the extraction.
fn chunk_pages(mut pages: mpsc::Receiver<pdf_text::Page>, max_chunks: usize) -> Option<Vec<Chunk>> {
    let mut chunker = Chunker::new(ChunkConfig::default());
    let mut chunks = Vec::new();
    while let Some(page) = pages.blocking_recv() {
        let words: Vec<PositionedWord> = page.words.iter().map(positioned).collect();
        let tables: Vec<rag::Table> = page.tables.iter().map(table).collect();
        chunks.extend(chunker.page(&rag::Page {
            number: page.number,
            text: &page.text,
            words: &words,
            tables: &tables,
        }));
        if chunks.len() > max_chunks {
            return None;
        }
    }
    Some(chunks)
}

fn table(table: &pdf_text::Table) -> rag::Table {
    rag::Table {
        range: table.start as usize..table.end as usize,
        header: table.header.clone(),
    }
}

fn positioned(word: &pdf_text::Word) -> PositionedWord {
    PositionedWord {
        range: word.range(),
        x: word.x,
        y: word.y,
        width: word.width,
        height: word.height,
    }
}

/// A reader that hashes the bytes passing through it.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R> Hashed<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
        }
    }

    fn finish(self) -> [u8; 32] {
        self.hash.finalize().into()
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Hashed<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if let Some(read) = buffer.filled().get(before..) {
            self.hash.update(read);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn page(number: u32) -> pdf_text::Page {
        pdf_text::Page {
            number,
            width: 100.0,
            height: 100.0,
            text: format!("The text of page {number}."),
            ..pdf_text::Page::default()
        }
    }

    #[tokio::test]
    async fn chunking_ends_at_the_maximum_and_stops_the_extraction() {
        for (max_chunks, expected) in [(3, Some(3)), (2, None)] {
            let (sender, pages) = mpsc::channel(3);
            for number in 1..=3 {
                sender.send(page(number)).await.unwrap();
            }
            let closed = sender.clone();
            drop(sender);
            let chunking = spawn_blocking(move || chunk_pages(pages, max_chunks));
            if expected.is_none() {
                closed.closed().await;
            }
            drop(closed);
            let chunks = chunking.await.unwrap();
            assert_eq!(chunks.map(|chunks| chunks.len()), expected);
        }
    }

    #[tokio::test]
    async fn the_checksum_covers_all_bytes_read() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut hashed = Hashed::new(&bytes[..]);
        let mut read = Vec::new();
        hashed.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, bytes);
        assert_eq!(hashed.finish(), <[u8; 32]>::from(Sha256::digest(&bytes)));
    }
}
