//! Reads archives back with the zip crate, Python and unzip.

use std::fs::File;
use std::io::{Cursor, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::Command;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use tempfile::NamedTempFile;
use tokio::io::AsyncReadExt as _;
use zip::ZipArchive;

use super::*;
use crate::workspaces::export::block_channel::block_channel;

const MADE_AT: Timestamp = Timestamp::constant(1_790_000_000, 0);

async fn add(archive: &mut Archive, path: &str, expected_bytes: Option<u64>, content: &[u8]) {
    let mut entry = archive
        .entry(path.to_owned(), expected_bytes)
        .expect("an entry");
    entry.copy(content).await.expect("copies");
    entry.close();
}

/// Writes an archive of these entries, each with its announced size. Returns its bytes and the
/// recorded entries.
async fn archive_of(
    contents: Vec<(&'static str, Option<u64>, Vec<u8>)>,
) -> (Vec<u8>, Vec<ArchiveEntry>) {
    let (sender, blocks) = block_channel();
    let writing = tokio::spawn(async move {
        let mut archive = Archive::new(sender, MADE_AT);
        for (path, expected_bytes, content) in &contents {
            add(&mut archive, path, *expected_bytes, content).await;
        }
        let entries = archive.entries().to_vec();
        archive.finish().await.expect("finishes");
        entries
    });
    let blocks: Vec<Bytes> = blocks.try_collect().await.expect("whole");
    (blocks.concat(), writing.await.expect("no panic"))
}

/// Reads and verifies the archive with Python's `zipfile` and prints name, size and time of each
/// entry.
fn read_with_python(archive: &Path) -> Option<String> {
    const PROGRAM: &str = "import sys, zipfile\n\
        with zipfile.ZipFile(sys.argv[1]) as archive:\n    \
            assert archive.testzip() is None\n    \
            for entry in archive.infolist(): print(entry.filename, entry.file_size, entry.date_time)\n";
    let output = Command::new("python3")
        .arg("-c")
        .arg(PROGRAM)
        .arg(archive)
        .output()
        .ok()?;
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).expect("text"))
}

#[tokio::test]
async fn archives_are_read_back_with_correct_content_and_digests() {
    let contents: Vec<(&str, Option<u64>, Vec<u8>)> = vec![
        (
            "documents/001 \u{dc}bersicht.pdf",
            Some(300_000),
            vec![7; 300_000],
        ),
        ("text/001 \u{dc}bersicht.txt", None, Vec::new()),
        ("manifest.json", None, b"{}".to_vec()),
    ];
    let (bytes, entries) = archive_of(contents.clone()).await;
    let mut reader = ZipArchive::new(Cursor::new(bytes)).expect("a zip");
    assert_eq!(reader.len(), contents.len());
    for (at, (path, _, content)) in contents.iter().enumerate() {
        let mut entry = reader.by_index(at).expect("an entry");
        assert_eq!(entry.name().expect("a name"), *path);
        assert_eq!(entry.unix_mode(), Some(0o100_644));
        let mut read = Vec::new();
        // Reading verifies the CRC.
        entry.read_to_end(&mut read).expect("reads");
        assert_eq!(read, *content);
        assert_eq!(entries[at].path, *path);
        assert_eq!(entries[at].bytes, content.len() as u64);
        assert_eq!(entries[at].sha256, hex::encode(Sha256::digest(content)));
    }
}

#[tokio::test]
async fn only_entries_announced_as_large_use_zip64() {
    const DESCRIPTOR: &[u8] = b"PK\x07\x08";
    let crc = crc_of(b"hello").to_le_bytes();
    let (short, _) = archive_of(vec![("a", Some(5), b"hello".to_vec())]).await;
    let plain = [
        DESCRIPTOR,
        &crc,
        &5_u32.to_le_bytes(),
        &5_u32.to_le_bytes(),
        b"PK\x01\x02",
    ]
    .concat();
    assert!(contains(&short, &plain));
    let (long, _) = archive_of(vec![("a", Some(5 << 30), b"hello".to_vec())]).await;
    let wide = [
        DESCRIPTOR,
        &crc,
        &5_u64.to_le_bytes(),
        &5_u64.to_le_bytes(),
        b"PK\x01\x02",
    ]
    .concat();
    assert!(contains(&long, &wide));
    for bytes in [short, long] {
        let mut file = NamedTempFile::new().expect("a file");
        file.write_all(&bytes).expect("writes");
        if let Some(read) = read_with_python(file.path()) {
            assert_eq!(read, "a 5 (2026, 9, 21, 14, 13, 20)\n");
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Bitwise CRC-32, independent of the writer's implementation.
fn crc_of(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// Writes the stream to a sparse file, skipping zeros, so that it may exceed the free disk space.
async fn write_sparse(blocks: impl Stream<Item = io::Result<Bytes>>, file: &mut File) -> u64 {
    let mut blocks = std::pin::pin!(blocks);
    let mut total = 0;
    while let Some(block) = blocks.next().await {
        let block = block.expect("whole");
        total += block.len() as u64;
        if block.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Start(total)).expect("seeks");
        } else {
            file.write_all(&block).expect("writes");
        }
    }
    file.set_len(total).expect("a length");
    total
}

#[tokio::test]
#[ignore = "pipes 5 GiB and starts other programs: make test-long"]
async fn archives_over_4_gib_are_read_by_other_programs() {
    const LONG_BYTES: u64 = (4 << 30) + 17;
    const MANY_BYTES: u64 = 512 << 20;
    let (sender, blocks) = block_channel();
    let writing = tokio::spawn(async move {
        let mut archive = Archive::new(sender, MADE_AT);
        for (path, bytes) in [("long", LONG_BYTES), ("after it", MANY_BYTES)] {
            let mut entry = archive
                .entry(path.to_owned(), Some(bytes))
                .expect("an entry");
            let zeros = tokio::io::repeat(0).take(bytes);
            entry.copy(zeros).await.expect("copies");
            entry.close();
        }
        add(&mut archive, "last", None, b"hello").await;
        archive.finish().await.expect("finishes");
    });
    let mut file = NamedTempFile::new().expect("a file");
    let total = write_sparse(blocks, file.as_file_mut()).await;
    writing.await.expect("no panic");
    assert!(total > LONG_BYTES + MANY_BYTES);
    let mut reader = ZipArchive::new(file.reopen().expect("the file")).expect("a zip");
    let mut last = String::new();
    let mut entry = reader.by_name("last").expect("an entry beyond 4 GiB");
    entry.read_to_string(&mut last).expect("reads");
    assert_eq!(last, "hello");
    let read = read_with_python(file.path()).expect("python3 is needed");
    assert_eq!(
        read.lines()
            .map(|line| line.split(" (").next())
            .collect::<Vec<_>>(),
        [
            Some(format!("long {LONG_BYTES}").as_str()),
            Some(format!("after it {MANY_BYTES}").as_str()),
            Some("last 5"),
        ]
    );
    // unzip reads the local headers and compares them with the central directory.
    let unzip = Command::new("unzip").arg("-tq").arg(file.path()).output();
    if let Ok(output) = unzip {
        assert!(output.status.success(), "{output:?}");
    }
}

#[tokio::test]
async fn an_unfinished_archive_is_an_error() {
    let (sender, blocks) = block_channel();
    let mut archive = Archive::new(sender, MADE_AT);
    let mut entry = archive.entry("a".to_owned(), None).expect("an entry");
    entry.write(b"half").await.expect("writes");
    drop(archive);
    let read: io::Result<Vec<Bytes>> = blocks.try_collect().await;
    assert!(read.is_err());
}
