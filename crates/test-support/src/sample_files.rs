//! Files that tests upload: generated ones, real-world manuals, and a malicious one.

use std::path::PathBuf;

use anyhow::Result;
use local_stack::sample_pdf;

/// Lines per page without any information, so that each page fills a passage.
const FILLER_LINES: usize = 12;

/// A document about a subject. Each page states another secret number.
pub fn document_about(subject: &str, pages: usize) -> Vec<u8> {
    let texts: Vec<String> = (1..=pages)
        .map(|page| {
            let filler: Vec<String> = (1..=FILLER_LINES)
                .map(|line| {
                    format!("Line {line} of page {page} is only here to fill the page, as lines do, with words.")
                })
                .collect();
            format!(
                "{subject}, part {page}\n\nThis page tells of {subject}. The secret number of {subject}, part {page}, is {}.\n\
                 Nothing else on this page matters to anybody who reads it.\n\n{}",
                secret_number(subject, page),
                filler.join("\n")
            )
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    sample_pdf(&texts)
}

/// The number on a page of [`document_about`].
pub fn secret_number(subject: &str, page: usize) -> usize {
    let seed: usize = subject.bytes().map(usize::from).sum();
    seed * 1_000 + page
}

/// A PDF of 700 bytes with a form that draws itself. It overflows the stack of a reader without a
/// recursion limit.
pub fn self_referencing_form() -> Vec<u8> {
    let text = String::from_utf8_lossy(&sample_pdf(&["x"])).into_owned();
    // The page's only font becomes a form, which the page draws and whose content draws it again.
    text.replace(
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        "<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F1 3 0 R >> >> /Length 7 >>\nstream\n/F1 Do\nendstream",
    )
    .replace("/Font << /F1 3 0 R >>", "/XObject << /F1 3 0 R >>")
    .replace("(x) Tj", "/F1 Do")
    .into_bytes()
}

/// Debian manuals, which were produced by three different programs.
pub fn manuals() -> Result<Vec<PathBuf>> {
    let folder = installer::manuals()?;
    Ok(["fhs.pdf", "policy.pdf", "developers-reference.pdf"]
        .map(|name| folder.join(name))
        .to_vec())
}
