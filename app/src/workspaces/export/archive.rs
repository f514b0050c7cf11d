//! A zip that is written as it goes, with a digest of every entry.

use std::io;

use async_zip::base::write::EntryStreamWriter;
use async_zip::tokio::write::ZipFileWriter;
use async_zip::{Compression, ZipEntryBuilder};
use futures::AsyncWriteExt as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::compat::Compat;

use super::outlet::Outlet;

/// Bytes that are copied at once.
const COPY_BYTES: usize = 32 * 1024;
/// Up to here an archive needs no 64-bit lengths, which some programs do not read; a margin is left for what is not files.
const PLAIN_BYTES_MAX: u64 = 3 << 30;

/// An archive cannot be written (further).
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("the archive could not be written")]
    Zip(#[from] async_zip::error::ZipError),
    #[error("the archive could not be handed over")]
    Io(#[from] io::Error),
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    /// Its name in the archive.
    pub(super) path: String,
    /// Its length.
    pub(super) bytes: u64,
    /// The SHA-256 of its content, as hexadecimal digits.
    pub(super) sha256: String,
}

/// An archive under way.
pub(super) struct Archive {
    zip: ZipFileWriter<Outlet>,
    entries: Vec<Entry>,
}

/// An entry under way.
pub(super) struct Writing<'a> {
    stream: EntryStreamWriter<'a, Compat<Outlet>>,
    entries: &'a mut Vec<Entry>,
    path: String,
    bytes: u64,
    sha256: Sha256,
}

impl Archive {
    /// `expected_bytes` is about how long it will be.
    pub(super) fn new(outlet: Outlet, expected_bytes: u64) -> Self {
        let zip = ZipFileWriter::with_tokio(outlet);
        Self {
            zip: if expected_bytes < PLAIN_BYTES_MAX {
                zip.force_no_zip64()
            } else {
                zip
            },
            entries: Vec::new(),
        }
    }

    /// Begins an entry. Its length need not be known. It is kept as it is: PDFs are compressed already.
    pub(super) async fn entry(&mut self, path: String) -> Result<Writing<'_>, ArchiveError> {
        let builder = ZipEntryBuilder::new(path.clone().into(), Compression::Stored)
            // Readable files, and no folders: whoever unpacks it can read what they got.
            .unix_permissions(0o100_644);
        Ok(Writing {
            stream: self.zip.write_entry_stream(builder).await?,
            entries: &mut self.entries,
            path,
            bytes: 0,
            sha256: Sha256::new(),
        })
    }

    /// What was written so far.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Writes the archive's own list and says that this was all.
    pub(super) async fn finish(self) -> Result<(), ArchiveError> {
        let outlet = self.zip.close().await?.into_inner();
        Ok(outlet.finish().await?)
    }
}

impl Writing<'_> {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.stream.write_all(bytes).await?;
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

    pub(super) async fn close(self) -> Result<Entry, ArchiveError> {
        self.stream.close().await?;
        let entry = Entry {
            path: self.path,
            bytes: self.bytes,
            sha256: hex::encode(self.sha256.finalize()),
        };
        self.entries.push(entry.clone());
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::super::outlet::outlet;
    use super::*;
    use async_zip::base::read1::seek::ZipArchiveReader;
    use bytes::Bytes;
    use futures::io::Cursor;
    use futures::{AsyncReadExt as _, TryStreamExt as _};

    #[tokio::test]
    async fn what_was_written_is_read_back_whole_and_its_digests_are_right() {
        let (outlet, pieces) = outlet();
        let contents: Vec<(&str, Vec<u8>)> = vec![
            ("documents/001 \u{dc}bersicht.pdf", vec![7; 300_000]),
            ("text/001 \u{dc}bersicht.txt", Vec::new()),
            ("manifest.json", b"{}".to_vec()),
        ];
        let written = contents.clone();
        let writing = tokio::spawn(async move {
            let mut archive = Archive::new(outlet, 1_000);
            for (path, content) in &written {
                let mut entry = archive.entry((*path).to_owned()).await.expect("an entry");
                entry.copy(content.as_slice()).await.expect("copies");
                entry.close().await.expect("closes");
            }
            let entries = archive.entries().to_vec();
            archive.finish().await.expect("finishes");
            entries
        });
        let blocks: Vec<Bytes> = pieces.try_collect().await.expect("whole");
        let entries = writing.await.expect("no panic");
        let mut reader = ZipArchiveReader::open(Cursor::new(blocks.concat()))
            .await
            .expect("a zip");
        assert_eq!(reader.cdrs().len(), contents.len());
        for (at, (path, content)) in contents.iter().enumerate() {
            let found = reader.find(path.as_bytes()).expect("a list").next();
            assert_eq!(found, Some(at), "{path}");
            let mut entry = reader.file(at).await.expect("an entry");
            let mut read = Vec::new();
            entry.read_to_end(&mut read).await.expect("reads");
            assert_eq!(read, *content);
            assert_eq!(entries[at].path, *path);
            assert_eq!(entries[at].bytes, content.len() as u64);
            assert_eq!(entries[at].sha256, hex::encode(Sha256::digest(content)));
        }
    }

    #[tokio::test]
    async fn an_archive_that_nobody_finished_is_none() {
        let (outlet, pieces) = outlet();
        let mut archive = Archive::new(outlet, 1_000);
        let mut entry = archive.entry("a".to_owned()).await.expect("an entry");
        entry.write(b"half").await.expect("writes");
        drop(entry);
        drop(archive);
        let read: io::Result<Vec<Bytes>> = pieces.try_collect().await;
        assert!(read.is_err());
    }
}
