//! Malicious and invalid files: each ends with an expected error or its text, within the limits,
//! and does not affect the parent.

mod limits;

use pdf_extract::encryption::{EncryptionState, EncryptionVersion, Permissions};
use pdf_extract::{Document, Object, StringFormat};
use pdf_text::{DocumentError, Extraction, Limits};

use crate::pdf::{Id, Pdf, document, line};
use crate::{extract, texts};

/// Limits that a test reaches within a second.
fn tight() -> Limits {
    Limits {
        max_memory_bytes: 512 * 1024 * 1024,
        max_cpu_seconds: 2,
        ..Limits::default()
    }
}

async fn read(file: &[u8]) -> Result<Extraction, DocumentError> {
    extract(tight(), file).await
}

/// Returns the text of the first page.
async fn text(file: &[u8]) -> Result<String, DocumentError> {
    Ok(texts(&read(file).await?).join("|"))
}

#[tokio::test]
async fn a_file_that_is_not_a_pdf_is_reported_as_such() {
    assert_eq!(read(b"").await, Err(DocumentError::Empty));
    for file in [
        &b"Dear Sir or Madam, this is a letter and no PDF."[..],
        b"<!doctype html><html><body>404</body></html>",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"PK\x03\x04 a document of another program",
        &vec![0; 100_000],
    ] {
        assert_eq!(read(file).await, Err(DocumentError::NotPdf));
    }
}

#[tokio::test]
async fn a_truncated_file_is_broken_or_partially_read() {
    let pages: Vec<String> = (0..20).map(|page| format!("This is page {page}")).collect();
    let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
    let file = document(&pages);
    let (head, _) = file.split_at(20);
    assert_eq!(read(head).await, Err(DocumentError::Broken));
    for share in [30, 60, 90, 99] {
        let (head, _) = file.split_at(file.len() * share / 100);
        match text(head).await {
            Ok(text) => assert!(text.contains("This is page"), "{text}"),
            Err(error) => assert!(
                matches!(error, DocumentError::Broken | DocumentError::Empty),
                "{share} %: {error:?}"
            ),
        }
    }
}

#[tokio::test]
async fn a_broken_cross_reference_table_is_repaired() {
    let mut file = document(&["still here"]);
    let at = file
        .windows(9)
        .position(|window| window == b"startxref")
        .unwrap();
    file.truncate(at);
    file.extend_from_slice(b"startxref\n99999999\n%%EOF");
    assert_eq!(text(&file).await, Ok("still here".into()));
}

#[tokio::test]
async fn only_a_file_with_a_user_password_is_encrypted() {
    let encrypted = |user_password: &str| {
        let mut document = Document::load_mem(&document(&["behind a lock"])).unwrap();
        let id = Object::String(vec![7; 16], StringFormat::Hexadecimal);
        document
            .trailer
            .set("ID", Object::Array(vec![id.clone(), id]));
        let version = EncryptionVersion::V2 {
            document: &document,
            owner_password: "owner",
            user_password,
            key_length: 128,
            permissions: Permissions::all(),
        };
        let state = EncryptionState::try_from(version).unwrap();
        document.encrypt(&state).unwrap();
        let mut bytes = Vec::new();
        document.save_to(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(
        read(&encrypted("secret")).await,
        Err(DocumentError::Encrypted)
    );
    assert_eq!(text(&encrypted("")).await, Ok("behind a lock".into()));
}

#[tokio::test]
async fn a_scan_has_no_text() {
    let scan = |stamp: &str| {
        let mut pdf = Pdf::default();
        let pages: Vec<Id> = (1..=4)
            .map(|number| {
                let picture = pdf.stream(
                    "/Type /XObject /Subtype /Image /Width 8 /Height 8 /BitsPerComponent 8 /ColorSpace /DeviceGray",
                    &[128; 64],
                );
                let stamp = stamp.replace('#', &number.to_string());
                pdf.page(
                    &format!("q 600 0 0 800 0 0 cm /P Do Q {}", line(280.0, 20.0, 9.0, &stamp)),
                    &format!("/XObject << /P {picture} >>"),
                    "",
                )
            })
            .collect();
        pdf.finish(&pages)
    };
    assert_eq!(read(&scan("")).await, Err(DocumentError::NoText));
    assert_eq!(
        read(&scan("Scanned by Example, page #")).await,
        Err(DocumentError::NoText)
    );
}

#[tokio::test]
async fn a_file_without_pages_is_empty() {
    assert_eq!(
        read(&Pdf::default().finish(&[])).await,
        Err(DocumentError::Empty)
    );
}

#[tokio::test]
async fn a_recursive_form_is_read() {
    let mut pdf = Pdf::default();
    let itself = pdf.next();
    let form = pdf.stream(
        &format!("/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources << /XObject << /X {itself} >> >>"),
        b"/X Do",
    );
    assert_eq!(form, itself);
    let page = pdf.page(
        &format!("{} /X Do", line(72.0, 700.0, 12.0, "survives")),
        &format!("/XObject << /X {form} >>"),
        "",
    );
    assert_eq!(text(&pdf.finish(&[page])).await, Ok("survives".into()));
}

#[tokio::test]
async fn a_character_map_with_four_billion_characters_is_harmless() {
    let map = b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def\n\
        1 begincodespacerange <00000000> <ffffffff> endcodespacerange\n\
        2 beginbfrange <0000> <ffffffff> <0041> <00000000> <ffffffff> <00410042> endbfrange\n\
        1 begincidrange <00000000> <ffffffff> 0 endcidrange endcmap end end";
    let mut pdf = Pdf::default();
    let map = pdf.stream("", map);
    let font = pdf.object(format!(
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode {map} >>"
    ));
    let page = pdf.page(
        &format!(
            "{} BT /B 12 Tf 72 500 Td (mapped) Tj ET",
            line(72.0, 700.0, 12.0, "plain")
        ),
        &format!("/Font << /B {font} >>"),
        "",
    );
    let outcome = read(&pdf.finish(&[page])).await;
    assert!(
        matches!(
            outcome,
            Ok(_) | Err(DocumentError::TooComplex | DocumentError::TooSlow | DocumentError::NoText)
        ),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn deep_nesting_is_harmless() {
    for (open, close) in [("[", "]"), ("<< /A ", " >>"), ("(", ")")] {
        for depth in [1_000, 1_000_000] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            // Both in an object that the page needs and in its content.
            let mut pdf = Pdf::default();
            let deep = pdf.object(&nested);
            let page = pdf.page(
                &format!("{}\n{nested} TJ\n", line(72.0, 700.0, 12.0, "above")),
                &format!("/Properties {deep} /ColorSpace {deep} /XObject << /X {deep} >>"),
                "",
            );
            let outcome = text(&pdf.finish(&[page])).await;
            assert!(
                matches!(&outcome, Ok(text) if text.contains("above"))
                    || matches!(
                        outcome,
                        Err(DocumentError::TooComplex
                            | DocumentError::TooSlow
                            | DocumentError::Broken
                            | DocumentError::Empty)
                    ),
                "{open} {depth}: {outcome:?}"
            );
        }
    }
}

#[tokio::test]
async fn endless_cross_references_are_harmless() {
    let file = document(&["found all the same"]);
    let text_of = String::from_utf8_lossy(&file).into_owned();
    let start: usize = text_of
        .split("startxref\n")
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .and_then(|number| number.parse().ok())
        .unwrap();
    // The table is its own predecessor, or its predecessor is beyond the end of the file.
    for previous in [start, 1 << 40] {
        let at = file
            .windows(9)
            .rposition(|window| window == b"startxref")
            .unwrap();
        let (head, tail) = file.split_at(at);
        let cut = head.windows(2).rposition(|window| window == b">>").unwrap();
        let (head, _) = head.split_at(cut);
        let looped = [head, format!("/Prev {previous} >>\n").as_bytes(), tail].concat();
        assert_eq!(text(&looped).await, Ok("found all the same".into()));
    }
}

#[tokio::test]
async fn a_cyclic_page_tree_is_harmless() {
    let mut pdf = Pdf::default();
    let page = pdf.page(&line(72.0, 700.0, 12.0, "once"), "", "");
    let tree = pdf.next();
    pdf.object(format!(
        "<< /Type /Pages /Count 2000000000 /Kids [{page} {tree} {page} {tree}] /Parent {tree} >>"
    ));
    let root = pdf.object(format!("<< /Type /Catalog /Pages {tree} >>"));
    assert_eq!(text(&pdf.bytes(root, "")).await, Ok("once".into()));
}

#[tokio::test]
async fn pages_with_an_invalid_size_get_the_default_size() {
    for media in [
        "[0 0 1000000000000000000000000000000 1000000000000000000000000000000]",
        "[0 0 0 0]",
        "[0 0 -5 -5]",
        "[9 9 9]",
        "(no box)",
        "[0 0 99999999999999999999999 7]",
    ] {
        let mut pdf = Pdf::default();
        let page = pdf.page(
            &line(72.0, 700.0, 12.0, "still there"),
            "",
            &format!("/MediaBox {media}"),
        );
        let outcome = read(&pdf.finish(&[page])).await;
        let is_default = match &outcome {
            Ok(extraction) => extraction.pages.iter().all(|page| {
                page.width.is_finite()
                    && page.width >= 1.0
                    && page.height.is_finite()
                    && page.height >= 1.0
            }),
            Err(error) => *error == DocumentError::NoText, // the line lies beyond the page
        };
        assert!(is_default, "{media}: {outcome:?}");
    }
}

#[tokio::test]
async fn scripts_attachments_and_actions_are_ignored() {
    let mut pdf = Pdf::default();
    let script = pdf.object("<< /S /JavaScript /JS (app.launchURL\\('http://127.0.0.1/'\\);) >>");
    let file = pdf.stream("/Type /EmbeddedFile", b"attached words");
    let attachment = pdf.object(format!(
        "<< /Type /Filespec /F (../../etc/passwd) /EF << /F {file} >> >>"
    ));
    let external = pdf.stream("/F (/etc/hostname) /FFilter /FlateDecode", b"");
    let page = pdf.page(
        &line(72.0, 700.0, 12.0, "only this"),
        &format!("/XObject << /E {external} >>"),
        &format!("/AA << /O {script} >>"),
    );
    let file = pdf.finish_with(
        &[page],
        &format!(
            "/OpenAction {script} /Names << /JavaScript << /Names [(a) {script}] >> /EmbeddedFiles << /Names [(b) {attachment}] >> >>"
        ),
    );
    assert_eq!(text(&file).await, Ok("only this".into()));
}

#[tokio::test]
async fn an_unreadable_page_is_listed_and_the_others_are_read() {
    let mut pdf = Pdf::default();
    let first = pdf.page(&line(72.0, 700.0, 12.0, "the first"), "", "");
    let garbage = pdf.stream("/Filter /FlateDecode", &b"garbage ".repeat(20));
    let broken = pdf.object(format!(
        "<< /Type /Page /MediaBox [0 0 600 800] /Contents {garbage} >>"
    ));
    let last = pdf.page(&line(72.0, 700.0, 12.0, "the last"), "", "");
    let extraction = read(&pdf.finish(&[first, broken, last])).await.unwrap();
    assert_eq!(texts(&extraction), ["the first", "the last"]);
    assert_eq!(
        (
            extraction.report.page_count,
            extraction.report.unread().as_slice()
        ),
        (3, &[2][..])
    );
    assert_eq!(
        extraction.report.warnings().first().map(String::as_str),
        Some("Page 2 is damaged and could not be read.")
    );
}

#[tokio::test]
async fn text_hidden_in_invisible_characters_is_removed() {
    let mut pdf = Pdf::default();
    let map = pdf.stream(
        "",
        b"begincmap 1 begincodespacerange <00> <ff> endcodespacerange\n\
          2 beginbfchar <41> <DB40DC41> <42> <0042> endbfchar endcmap",
    );
    let font = pdf.object(format!(
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode {map} >>"
    ));
    let page = pdf.page(
        "BT /H 12 Tf 72 700 Td (BAAAB) Tj ET",
        &format!("/Font << /H {font} >>"),
        "",
    );
    let mut read = text(&pdf.finish(&[page])).await.unwrap();
    read.retain(|character| !character.is_whitespace());
    assert_eq!(read, "BB");
}
