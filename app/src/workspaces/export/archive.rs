//! A zip that is written as it goes, with a digest of every entry.
//!
//! The zip is written into memory, and what came to stand there is handed over before more of it is made: a block or two at most. Entries and
//! archives may be longer than 4 GiB; only what needs 64-bit lengths has them, for some programs do not read those.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::block_channel::BlockSender;

/// Bytes that are copied at once.
const COPY_BYTES: usize = 32 * 1024;
/// Bytes that are handed over at once, or a little more.
const BLOCK_BYTES: usize = 64 * 1024;
/// An entry of so many bytes needs 64-bit lengths.
const ZIP64_THRESHOLD_BYTES: u64 = u32::MAX as u64;

/// An archive cannot be written (further).
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("the archive could not be written")]
    Zip(#[from] zip::result::ZipError),
    #[error("the archive could not be handed over")]
    Io(#[from] io::Error),
}

/// What was buffer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ArchiveEntry {
    /// Its name in the archive.
    pub(super) path: String,
    /// Its length.
    pub(super) bytes: u64,
    /// The SHA-256 of its content, as hexadecimal digits.
    pub(super) sha256: String,
}

/// An archive under way.
pub(super) struct Archive {
    zip: ZipWriter<StreamWriter<SharedBuffer>>,
    buffer: SharedBuffer,
    sender: BlockSender,
    made_at: DateTime,
    entries: Vec<ArchiveEntry>,
}

/// An entry under way.
pub(super) struct EntryWriter<'a> {
    archive: &'a mut Archive,
    path: String,
    bytes: u64,
    sha256: Sha256,
}

impl Archive {
    /// Its entries bear the time at which it was made, in UTC.
    pub(super) fn new(sender: BlockSender, made_at: Timestamp) -> Self {
        let written = SharedBuffer::default();
        Self {
            zip: ZipWriter::new_stream(buffer.clone()),
            buffer,
            sender,
            made_at: date_time(made_at),
            entries: Vec::new(),
        }
    }

    /// Begins an entry. `expected_bytes` is its length where that is known; one of 4 GiB that did not say so beforehand cannot be buffer.
    /// It is kept as it is: PDFs are compressed already.
    pub(super) fn entry(
        &mut self,
        path: String,
        expected_bytes: Option<u64>,
    ) -> Result<EntryWriter<'_>, ArchiveError> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(expected_bytes.is_some_and(|bytes| bytes >= ZIP64_THRESHOLD_BYTES))
            .last_modified_time(self.made_at)
            // Readable files, and no folders: whoever unpacks it can read what they got.
            .unix_permissions(0o644);
        self.zip.start_file(path.as_str(), options)?;
        Ok(EntryWriter {
            archive: self,
            path,
            bytes: 0,
            sha256: Sha256::new(),
        })
    }

    /// What was written so far.
    pub(super) fn entries(&self) -> &[ArchiveEntry] {
        &self.entries
    }

    /// Writes the archive's own list and says that this was all.
    pub(super) async fn finish(self) -> Result<(), ArchiveError> {
        self.zip.finish()?;
        self.sender.send(self.buffer.take()).await?;
        Ok(self.sender.finish().await?)
    }
}

impl EntryWriter<'_> {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let archive = &mut *self.archive;
        for block in bytes.chunks(COPY_BYTES) {
            archive.zip.write_all(block)?;
            if archive.buffer.len() >= BLOCK_BYTES {
                archive.sender.send(archive.buffer.take()).await?;
            }
        }
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// All that the reader has.
    pub(super) async fn copy(
        &mut self,
        mut reader: impl AsyncRead + Unpin,
    ) -> Result<(), ArchiveError> {
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let count = reader.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            self.write(&buffer[..count]).await?;
        }
    }

    /// Ends the entry; the zip writes its end with the next one, or with its list.
    pub(super) fn close(self) -> ArchiveEntry {
        let entry = ArchiveEntry {
            path: self.path,
            bytes: self.bytes,
            sha256: hex::encode(self.sha256.finalize()),
        };
        self.archive.entries.push(entry.clone());
        entry
    }
}

/// What the zip has written and nobody was given yet.
#[derive(Clone, Default)]
struct SharedBuffer(Arc<Mutex<BytesMut>>);

impl SharedBuffer {
    fn len(&self) -> usize {
        self.lock().len()
    }

    fn take(&self) -> Bytes {
        self.lock().split().freeze()
    }

    fn lock(&self) -> MutexGuard<'_, BytesMut> {
        // Nothing here can panic half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl io::Write for SharedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As zips have it: in whole seconds from 1980 on, and of no time zone.
fn date_time(at: Timestamp) -> DateTime {
    let at = at.to_zoned(TimeZone::UTC);
    let small = |number: i8| number.unsigned_abs();
    DateTime::from_date_and_time(
        at.year().unsigned_abs(),
        small(at.month()),
        small(at.day()),
        small(at.hour()),
        small(at.minute()),
        small(at.second()),
    )
    .unwrap_or_default()
}

#[cfg(test)]
mod tests;
