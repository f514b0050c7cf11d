//! Files that exceed a limit.

use pdf_text::{DocumentError, Limits};

use super::{read, tight};
use crate::extract;
use crate::pdf::{Pdf, document, line};

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut stream = pdf_extract::Stream::new(pdf_extract::Dictionary::new(), bytes.to_vec());
    stream.compress().expect("the stream can be compressed");
    stream.content
}

#[tokio::test]
async fn errors_contain_the_exceeded_limit() {
    let file = document(&["one", "two", "three"]);
    let with = |change: fn(&mut Limits)| {
        let mut limits = tight();
        change(&mut limits);
        limits
    };
    assert_eq!(
        extract(with(|limits| limits.max_pages = 2), &file).await,
        Err(DocumentError::TooManyPages {
            pages: 3,
            max_pages: 2
        })
    );
    assert_eq!(
        extract(with(|limits| limits.max_text_bytes = 10), &file).await,
        Err(DocumentError::TooMuchText { max_bytes: 10 })
    );
    assert_eq!(
        extract(with(|limits| limits.max_input_bytes = 500), &file).await,
        Err(DocumentError::TooLarge { max_bytes: 500 })
    );
}

/// Each form draws the next lower one ten times; the lowest draws `lowest`.
fn billion_laughs(depth: usize, lowest: &str) -> Vec<u8> {
    let mut pdf = Pdf::default();
    let font = pdf.helvetica();
    let mut form = pdf.stream(
        &format!("/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources << /Font << /F {font} >> >>"),
        lowest.as_bytes(),
    );
    for _ in 0..depth {
        form = pdf.stream(
            &format!("/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources << /XObject << /X {form} >> >>"),
            "/X Do ".repeat(10).as_bytes(),
        );
    }
    let page = pdf.page("/X Do", &format!("/XObject << /X {form} >>"), "");
    pdf.finish(&[page])
}

#[tokio::test]
async fn a_billion_empty_forms_take_too_long() {
    assert_eq!(
        read(&billion_laughs(9, "0 0 m")).await,
        Err(DocumentError::TooSlow)
    );
}

#[tokio::test]
async fn a_billion_lines_of_text_exceed_a_limit() {
    let error = read(&billion_laughs(
        9,
        &line(72.0, 700.0, 12.0, &"laugh and ".repeat(400)),
    ))
    .await;
    assert!(
        matches!(
            error,
            Err(DocumentError::TooSlow
                | DocumentError::TooComplex
                | DocumentError::TooMuchText { .. })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_decompression_bomb_is_too_complex() {
    // 4 GB of spaces, compressed twice, fit in a few kilobytes.
    let once: Vec<u8> = deflate(&vec![b' '; 32 * 1024 * 1024]).repeat(1);
    let bomb = deflate(&once);
    let mut pdf = Pdf::default();
    let parts: String = {
        let part = pdf.stream("/Filter [/FlateDecode /FlateDecode]", &bomb);
        format!("{part} ").repeat(128)
    };
    let page = pdf.object(format!(
        "<< /Type /Page /MediaBox [0 0 600 800] /Contents [{parts}] >>"
    ));
    assert_eq!(
        read(&pdf.finish(&[page])).await,
        Err(DocumentError::TooComplex)
    );
}

#[tokio::test]
async fn a_file_with_a_hundred_thousand_pages_has_too_many_pages() {
    let mut pdf = Pdf::default();
    let direct = "<< /Type /Page /MediaBox [0 0 9 9] >> ".repeat(100_000);
    let tree = pdf.object(format!("<< /Type /Pages /Count 1 /Kids [{direct}] >>"));
    let root = pdf.object(format!("<< /Type /Catalog /Pages {tree} >>"));
    // The page tree is read as a whole, which takes a second or two on a busy machine.
    let limits = Limits {
        max_cpu_seconds: Limits::default().max_cpu_seconds,
        ..tight()
    };
    let error = extract(limits, &pdf.bytes(root, "")).await;
    assert_eq!(
        error,
        Err(DocumentError::TooManyPages {
            pages: 100_000,
            max_pages: 5_000
        })
    );
}

/// A small file whose pages share one compressed stream of words.
fn many_words(words: usize, pages: usize) -> Vec<u8> {
    let mut content = b"BT /F 1 Tf 1 TL 10 790 Td ".to_vec();
    for line in 0..words.div_ceil(200) {
        let words = (words - line * 200).min(200);
        content.extend_from_slice(b"(");
        content.extend_from_slice("ab ".repeat(words).as_bytes());
        content.extend_from_slice(b")' ");
    }
    content.extend_from_slice(b"ET");
    let mut pdf = Pdf::default();
    let font = pdf.helvetica();
    let content = pdf.stream("/Filter /FlateDecode", &deflate(&content));
    let pages: Vec<_> = (0..pages)
        .map(|_| {
            pdf.object(format!(
                "<< /Type /Page /MediaBox [0 0 600 800] /Contents {content} /Resources << /Font << /F {font} >> >> >>"
            ))
        })
        .collect();
    pdf.finish(&pages)
}

#[tokio::test]
async fn a_page_and_a_document_have_a_maximum_number_of_words() {
    let limits = Limits {
        max_page_words: 1_000,
        max_words: 2_000,
        ..Limits::default()
    };
    let read = async |words, pages| extract(limits.clone(), &many_words(words, pages)).await;
    let accepted = read(1_000, 2).await.expect("within the limits");
    assert_eq!(accepted.pages[1].words.len(), 1_000);
    assert_eq!(
        read(1_001, 1).await,
        Err(DocumentError::TooMuchTextOnPage { page: 1 })
    );
    assert_eq!(
        read(1_000, 3).await,
        Err(DocumentError::TooManyWords { max_words: 2_000 })
    );
}

#[tokio::test]
async fn a_page_has_a_maximum_size_of_text() {
    let limits = Limits {
        max_page_text_bytes: 10_000,
        ..Limits::default()
    };
    let read = async |words| extract(limits.clone(), &many_words(words, 1)).await;
    assert!(read(500).await.is_ok());
    assert_eq!(
        read(10_000).await,
        Err(DocumentError::TooMuchTextOnPage { page: 1 })
    );
}
