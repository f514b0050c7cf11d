//! What is said about pages and files that cannot be read completely.

use pdf_text::{DocumentError, Extraction, Limits, PageKind};

use crate::extract;
use crate::pdf::{Id, Pdf, line};

async fn read(file: &[u8]) -> Result<Extraction, DocumentError> {
    extract(Limits::default(), file).await
}

/// Returns a document with this number of pages.
fn pages(pdf: &mut Pdf, count: usize) -> Vec<Id> {
    (1..=count)
        .map(|number| {
            pdf.page(
                &line(72.0, 700.0, 12.0, &format!("This is page {number}.")),
                "",
                "",
            )
        })
        .collect()
}

/// Makes the page tree refer to an object that does not exist instead of this page. Only for
/// object numbers of two digits, so that no offset changes.
fn lose(file: &mut [u8], page: Id) {
    let reference = format!(" {page}");
    assert_eq!(reference.len(), " 10 0 R".len());
    let kids = file
        .windows(5)
        .position(|window| window == b"/Kids")
        .expect("the file has a page tree");
    let at = file[kids..]
        .windows(reference.len())
        .position(|window| {
            window == reference.as_bytes() || window[1..] == reference.as_bytes()[1..]
        })
        .expect("the page is in the tree");
    file[kids + at + 1..][..2].copy_from_slice(b"99");
}

#[tokio::test]
async fn a_lost_page_is_named_and_the_others_keep_their_numbers() {
    let mut pdf = Pdf::default();
    let all = pages(&mut pdf, 6);
    let mut file = pdf.finish(&all);
    lose(&mut file, all[4]);
    let extraction = read(&file).await.expect("the document can be read");
    let numbers: Vec<u32> = extraction.pages.iter().map(|page| page.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 6]);
    assert_eq!(extraction.report.page_count, 6);
    assert_eq!(extraction.report.count(PageKind::Missing), 1);
    assert_eq!(extraction.report.unread(), [5]);
}

#[tokio::test]
async fn a_file_without_many_of_its_pages_is_incomplete() {
    let mut pdf = Pdf::default();
    let all = pages(&mut pdf, 6);
    let mut file = pdf.finish(&all);
    for &page in &all[3..] {
        lose(&mut file, page);
    }
    assert_eq!(
        read(&file).await,
        Err(DocumentError::Incomplete {
            expected: 6,
            found: 3
        })
    );
}

#[tokio::test]
async fn a_page_count_larger_than_the_pages_is_a_warning() {
    let mut pdf = Pdf::default();
    let all = pages(&mut pdf, 3);
    let file = pdf.finish(&all);
    let at = file
        .windows(8)
        .position(|window| window == b"/Count 3")
        .expect("the page tree has a count");
    let mut larger = file.clone();
    larger[at..][..8].copy_from_slice(b"/Count 9");
    let report = |extraction: Extraction| extraction.report;
    let correct = read(&file).await.map(report).expect("it can be read");
    assert_eq!((correct.announced_pages, correct.summary()), (None, None));
    let larger = read(&larger).await.map(report).expect("it can be read");
    assert_eq!((larger.page_count, larger.announced_pages), (3, Some(9)));
    assert!(larger.summary().is_some());
    assert_eq!(larger.warnings().len(), 1);
}

#[tokio::test]
async fn printed_page_labels_are_kept() {
    let mut pdf = Pdf::default();
    let all = pages(&mut pdf, 4);
    let file = pdf.finish_with(
        &all,
        "/PageLabels << /Nums [0 << /S /r >> 2 << /S /D /P (A-) >>] >>",
    );
    let extraction = read(&file).await.expect("the document can be read");
    let labels: Vec<Option<&str>> = extraction
        .pages
        .iter()
        .map(|page| page.label.as_deref())
        .collect();
    assert_eq!(labels, [Some("i"), Some("ii"), Some("A-1"), Some("A-2")]);
}

#[tokio::test]
async fn attached_files_are_named() {
    let mut pdf = Pdf::default();
    let content = pdf.stream("/Type /EmbeddedFile", b"attached");
    let attachment = pdf.object(format!(
        "<< /Type /Filespec /F (te\\000rms.pdf) /EF << /F {content} >> >>"
    ));
    let all = pages(&mut pdf, 1);
    let names = format!("/Names << /EmbeddedFiles << /Names [(a) {attachment}] >> >>");
    let report = read(&pdf.finish_with(&all, &names))
        .await
        .expect("the document can be read")
        .report;
    assert_eq!(report.attachments, ["terms.pdf"]);
    assert!(
        report
            .warnings()
            .iter()
            .any(|warning| warning.contains("terms.pdf"))
    );
}

#[tokio::test]
async fn a_portfolio_without_text_says_what_it_is() {
    let mut pdf = Pdf::default();
    let content = pdf.stream("/Type /EmbeddedFile", b"attached");
    let attachment = pdf.object(format!(
        "<< /Type /Filespec /F (terms.pdf) /EF << /F {content} >> >>"
    ));
    let cover = pdf.page("", "", "");
    let names = format!(
        "/Collection << /Type /Collection >> /Names << /EmbeddedFiles << /Names [(a) {attachment}] >> >>"
    );
    assert_eq!(
        read(&pdf.finish_with(&[cover], &names)).await,
        Err(DocumentError::Portfolio { files: 1 })
    );
}

#[tokio::test]
async fn the_placeholder_of_an_xfa_form_is_not_its_content() {
    let mut pdf = Pdf::default();
    let page = pdf.page(
        &line(
            72.0,
            700.0,
            12.0,
            "Please wait... If this message is not replaced",
        ),
        "",
        "",
    );
    let form = "/AcroForm << /Fields [] /XFA (template) >>";
    assert_eq!(
        read(&pdf.finish_with(&[page], form)).await,
        Err(DocumentError::XfaForm)
    );
}
