//! Writes a zip archive as a stream, with a digest of every entry.
//!
//! The zip is written to memory, and full blocks are sent on before more is written, so at most a
//! block or two is buffered. Entries and archives may exceed 4 GiB. Zip64 is used only where
//! needed, because some programs cannot read it.

use std::io::{self, Write as _};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::block_channel::BlockSender;

const COPY_BYTES: usize = 32 * 1024;
/// Size from which buffered bytes are sent on.
const BLOCK_BYTES: usize = 64 * 1024;
/// Entries of this size or more need zip64.
const ZIP64_THRESHOLD_BYTES: u64 = u32::MAX as u64;

#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("failed to write the zip")]
    Zip(#[from] zip::result::ZipError),
    #[error("failed to send the archive")]
    Io(#[from] io::Error),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ArchiveEntry {
    pub(super) path: String,
    pub(super) bytes: u64,
    /// Hex-encoded SHA-256 of the content.
    pub(super) sha256: String,
}

pub(super) struct Archive {
    zip: ZipWriter<StreamWriter<SharedBuffer>>,
    buffer: SharedBuffer,
    sender: BlockSender,
    made_at: DateTime,
    entries: Vec<ArchiveEntry>,
}

pub(super) struct EntryWriter<'a> {
    archive: &'a mut Archive,
    path: String,
    bytes: u64,
    sha256: Sha256,
}

impl Archive {
    /// `made_at` becomes the modification time of all entries, in UTC.
    pub(super) fn new(sender: BlockSender, made_at: Timestamp) -> Self {
        let buffer = SharedBuffer::default();
        Self {
            zip: ZipWriter::new_stream(buffer.clone()),
            buffer,
            sender,
            made_at: date_time(made_at),
            entries: Vec::new(),
        }
    }

    /// Starts an entry. `expected_bytes` is its size, if known; an entry of 4 GiB or more can be
    /// written only if its size is given. Entries are stored uncompressed, because PDFs are
    /// compressed already.
    pub(super) fn entry(
        &mut self,
        path: String,
        expected_bytes: Option<u64>,
    ) -> Result<EntryWriter<'_>, ArchiveError> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(expected_bytes.is_some_and(|bytes| bytes >= ZIP64_THRESHOLD_BYTES))
            .last_modified_time(self.made_at)
            // Regular files that the user can read after unpacking.
            .unix_permissions(0o644);
        self.zip.start_file(path.as_str(), options)?;
        Ok(EntryWriter {
            archive: self,
            path,
            bytes: 0,
            sha256: Sha256::new(),
        })
    }

    /// The entries completed so far.
    pub(super) fn entries(&self) -> &[ArchiveEntry] {
        &self.entries
    }

    /// Writes the central directory and marks the archive as complete.
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

    /// Copies the whole reader.
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

    /// Completes the entry. The zip writes its descriptor together with the next entry or the
    /// central directory.
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

/// Zip output that has not been sent yet.
#[derive(Clone, Default)]
struct SharedBuffer(Arc<Mutex<BytesMut>>);

impl SharedBuffer {
    fn len(&self) -> usize {
        self.0.lock().len()
    }

    fn take(&self) -> Bytes {
        self.0.lock().split().freeze()
    }
}

impl io::Write for SharedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Zip timestamps have a resolution of seconds, start in 1980 and have no time zone.
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
