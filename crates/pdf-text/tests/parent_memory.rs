//! How much memory a small malicious file takes in the parent process, which also serves users.
//!
//! The only test of its program, because it measures the whole process.

#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "tests fail by panicking")]

#[path = "documents/pdf.rs"]
#[expect(dead_code, reason = "this test uses only a part of the builder")]
mod pdf;

use std::time::Duration;

use pdf::Pdf;
use pdf_text::{Extractor, ExtractorConfig, Limits};
use rag::{ChunkConfig, Chunker, PositionedWord};
use tokio::sync::mpsc;

const PAGES: usize = 40;
const WORDS_PER_PAGE: usize = 9_800;
/// Chunks of the document, a page, and buffers. The words of all pages would not fit.
const MAX_GROWTH_KIB: u64 = 12 * 1024;

/// A file of a few KB: all pages share one compressed stream of words.
fn file() -> Vec<u8> {
    const WORDS_PER_LINE: usize = 280;
    let mut content = b"BT /F 1 Tf 1 TL 10 790 Td ".to_vec();
    for _ in 0..WORDS_PER_PAGE / WORDS_PER_LINE {
        content.extend_from_slice(b"(");
        content.extend_from_slice("a ".repeat(WORDS_PER_LINE).as_bytes());
        content.extend_from_slice(b")' ");
    }
    content.extend_from_slice(b"ET");
    let mut stream = pdf_extract::Stream::new(pdf_extract::Dictionary::new(), content);
    stream.compress().expect("the stream can be compressed");
    let mut pdf = Pdf::default();
    let font = pdf.helvetica();
    let content = pdf.stream("/Filter /FlateDecode", &stream.content);
    let pages: Vec<_> = (0..PAGES)
        .map(|_| {
            pdf.object(format!(
                "<< /Type /Page /MediaBox [0 0 600 800] /Contents {content} /Resources << /Font << /F {font} >> >> >>"
            ))
        })
        .collect();
    pdf.finish(&pages)
}

/// The largest resident memory of this process so far.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("the peak");
    let number = line.trim().trim_end_matches(" kB");
    number.parse().expect("a number")
}

/// Cuts the pages into chunks one by one, as the app does. Returns the number of words and chunks.
fn chunk(mut pages: mpsc::Receiver<pdf_text::Page>) -> (usize, usize) {
    let mut chunker = Chunker::new(ChunkConfig::default());
    let (mut words, mut chunks) = (0, Vec::new());
    while let Some(page) = pages.blocking_recv() {
        words += page.words.len();
        let positioned: Vec<PositionedWord> = page
            .words
            .iter()
            .map(|word| PositionedWord {
                range: word.range(),
                x: word.x,
                y: word.y,
                width: word.width,
                height: word.height,
            })
            .collect();
        chunks.extend(chunker.page(&rag::Page {
            number: page.number,
            text: &page.text,
            words: &positioned,
            tables: &[],
        }));
    }
    (words, chunks.len())
}

#[tokio::test]
async fn many_words_in_a_small_file_take_little_memory_in_the_parent() {
    let file = file();
    assert!(file.len() < 20_000, "{} bytes", file.len());
    let extractor = Extractor::new(ExtractorConfig {
        program: env!("CARGO_BIN_EXE_pdf-text").into(),
        args: vec!["extract".into()],
        // Without optimizations, the child needs more time than in production.
        limits: Limits {
            max_cpu_seconds: 300,
            wall_timeout: Duration::from_mins(10),
            ..Limits::default()
        },
    });
    // Loads the table of the tokenizer.
    Chunker::new(ChunkConfig::default());
    let before = peak_kib();
    let (sender, pages) = mpsc::channel(1);
    let chunking = tokio::task::spawn_blocking(move || chunk(pages));
    let report = extractor
        .extract_pages(file.as_slice(), sender, |_| ())
        .await
        .expect("within the limits");
    let (words, chunks) = chunking.await.expect("no panic");
    assert_eq!(report.page_count as usize, PAGES);
    assert!(words > 380_000, "{words}");
    let growth = peak_kib() - before;
    assert!(
        growth < MAX_GROWTH_KIB,
        "{words} words, {chunks} chunks, {growth} KiB"
    );
}
