//! Files that tests bring: of our own making, of others', and of ill will.

use std::path::PathBuf;

use anyhow::Result;
use xtask::{install, sample_pdf};

/// A page about a subject of its own, of so many pages that are each about another number, and long enough for a passage
/// of their own.
pub fn about(subject: &str, pages: usize) -> Vec<u8> {
    let texts: Vec<String> = (1..=pages)
        .map(|page| {
            let talk: Vec<String> = (1..=FILLER_LINES)
                .map(|line| {
                    format!("Line {line} of page {page} is only here to fill the page, as lines do, with words.")
                })
                .collect();
            format!(
                "{subject}, part {page}\n\nThis page tells of {subject}. The secret number of {subject}, part {page}, is {}.\n\
                 Nothing else on this page matters to anybody who reads it.\n\n{}",
                secret_number(subject, page),
                talk.join("\n")
            )
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    sample_pdf(&texts)
}

/// Lines of a page that say nothing.
const FILLER_LINES: usize = 12;

/// The number that stands on a page of [`about`].
pub fn secret_number(subject: &str, page: usize) -> usize {
    let seed: usize = subject.bytes().map(usize::from).sum();
    seed * 1_000 + page
}

/// A form that draws itself: 700 bytes that overflow the stack of a reader which trusts them.
pub fn that_draws_itself() -> Vec<u8> {
    let text = String::from_utf8_lossy(&sample_pdf(&["x"])).into_owned();
    // The page's only font becomes a form, the content draws it, and the form's content is the page's.
    text.replace(
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        "<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F1 3 0 R >> >> /Length 7 >>\nstream\n/F1 Do\nendstream",
    )
    .replace("/Font << /F1 3 0 R >>", "/XObject << /F1 3 0 R >>")
    .replace("(x) Tj", "/F1 Do")
    .into_bytes()
}

/// Manuals that other programs wrote, each with a question that one of its pages answers.
pub fn manuals() -> Result<Vec<PathBuf>> {
    let folder = install::manuals()?;
    Ok(["fhs.pdf", "policy.pdf", "developers-reference.pdf"]
        .map(|name| folder.join(name))
        .to_vec())
}
