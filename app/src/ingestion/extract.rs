//! Fetches and extracts: streams the file from the object store into the sandboxed child process
//! and hashes it on the way.

use std::pin::Pin;
use std::task::{Context, Poll};

use pdf_text::{ExtractError, Extraction, Extractor};
use rag::{Chunk, PositionedWord, Rules};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, ReadBuf};

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

/// Extracts the text of the file's pages.
pub(super) async fn extract(
    extractor: &Extractor,
    objects: &ObjectStore,
    key: &ObjectKey,
    row: &ClaimedRow,
    progress: &ProgressReporter,
) -> Result<Extraction, StepError> {
    let file = objects.read(key).await?;
    let mut file = Hashed::new(file);
    let extracted = extractor
        .extract(&mut file, |extracted| {
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
        Ok(extraction) => Ok(extraction),
        Err(ExtractError::Document(refusal)) => Err(IngestError::File(refusal).into()),
        Err(ExtractError::Input(error)) => Err(StepError::blocked(BlockedOn::Storage, &error)),
        Err(ExtractError::Spawn(error)) => Err(StepError::blocked(BlockedOn::Reader, &error)),
    }
}

/// Splits the pages into chunks. CPU-bound, so it runs on a blocking thread. Consumes the pages to
/// free their memory.
pub(super) async fn chunk(extraction: Extraction) -> Result<Vec<Chunk>, StepError> {
    let chunks = tokio::task::spawn_blocking(move || {
        let words: Vec<Vec<PositionedWord>> = extraction
            .pages
            .iter()
            .map(|page| page.words.iter().map(placed).collect())
            .collect();
        let pages: Vec<rag::Page<'_>> = extraction
            .pages
            .iter()
            .zip(&words)
            .map(|(page, words)| rag::Page {
                number: page.number,
                text: &page.text,
                words,
            })
            .collect();
        rag::chunk(&pages, &Rules::default())
    })
    .await
    .map_err(|error| StepError::blocked(BlockedOn::Reader, &error))?;
    if chunks.is_empty() {
        return Err(IngestError::File(pdf_text::DocumentError::NoText).into());
    }
    Ok(chunks)
}

fn placed(word: &pdf_text::Word) -> PositionedWord {
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
