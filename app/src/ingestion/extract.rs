//! Fetching and extracting: the file streams from the store into the confined child, and its checksum is made on the way.

use std::pin::Pin;
use std::task::{Context, Poll};

use pdf_text::{ExtractError, Extraction, Extractor};
use rag::{Chunk, PositionedWord, Rules};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, ReadBuf};

use super::claim::{Claimed, Meter};
use super::ingest::StepError;
use crate::documents::{Failure, OwnFailure, Step, Trouble};
use crate::objects::{Objects, ObjectsError, Place};

/// Looks whether the file is there as the row has it.
pub(super) async fn fetch(
    objects: &Objects,
    place: &Place,
    row: &Claimed,
) -> Result<(), StepError> {
    match objects.head(place).await.map_err(of_objects)? {
        None => Err(Failure::Own(OwnFailure::FileGone).into()),
        Some(stored) if stored.byte_count != row.byte_count => {
            Err(Failure::Own(OwnFailure::UploadMismatch).into())
        }
        Some(_) => Ok(()),
    }
}

/// The file's pages.
pub(super) async fn extract(
    extractor: &Extractor,
    objects: &Objects,
    place: &Place,
    row: &Claimed,
    meter: &Meter,
) -> Result<Extraction, StepError> {
    let file = objects.read(place).await.map_err(of_objects)?;
    let mut file = Hashed::new(file);
    let extracted = extractor
        .extract(&mut file, |progress| {
            meter.share(
                Step::Extract,
                progress.read as usize,
                progress.pages as usize,
            );
        })
        .await;
    match extracted {
        // Only a file that was read to its end has a checksum to compare.
        Ok(_) if file.finish() != row.content_sha256 => {
            Err(Failure::Own(OwnFailure::UploadMismatch).into())
        }
        Ok(extraction) => Ok(extraction),
        Err(ExtractError::Document(refusal)) => Err(Failure::File(refusal).into()),
        Err(ExtractError::Input(error)) => Err(StepError::trouble(Trouble::Storage, &error)),
        Err(ExtractError::Spawn(error)) => Err(StepError::trouble(Trouble::Reader, &error)),
    }
}

fn of_objects(error: ObjectsError) -> StepError {
    match error {
        ObjectsError::Missing => Failure::Own(OwnFailure::FileGone).into(),
        error => StepError::trouble(Trouble::Storage, &error),
    }
}

/// Cuts the pages; takes as long as it takes, so not on a thread that others wait for. The pages are gone afterwards.
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
    .map_err(|error| StepError::trouble(Trouble::Reader, &error))?;
    if chunks.is_empty() {
        return Err(Failure::File(pdf_text::DocumentError::NoText).into());
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

/// A stream whose bytes are hashed as they pass.
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
    async fn the_checksum_is_that_of_the_bytes_that_passed() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut hashed = Hashed::new(&bytes[..]);
        let mut read = Vec::new();
        hashed.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, bytes);
        assert_eq!(hashed.finish(), <[u8; 32]>::from(Sha256::digest(&bytes)));
    }
}
