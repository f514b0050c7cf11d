//! Reads real-world PDFs. Every file must give text or an expected error. `make test` reads the
//! files of one package; `make test-long` reads the whole corpus and compares the text with
//! poppler's.

#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod files;
mod mutations;
mod poppler;
#[path = "../support/random.rs"]
mod random;

use std::path::Path;
use std::time::Duration;

use files::Part;
use pdf_text::{DocumentError, ExtractError, Extraction, Extractor, ExtractorConfig, Limits};

/// Minimum number of files in the corpus; fewer means that some are missing.
const MIN_FILES: usize = 200;
/// Number of files with random errors of the short run.
const SHORT_MUTATIONS: u64 = 150;
/// Time of the long run, and the number of files that it reads at least on a slow machine.
const LONG_MUTATIONS: Duration = Duration::from_mins(30);
const MIN_LONG_MUTATIONS: u64 = 1_000;
/// Minimum share of the rows of the manuals' tables that are on one line.
const MIN_WHOLE_ROWS_PERCENT: usize = 75;
/// Minimum median agreement of the manuals' text with poppler's.
const MIN_MEDIAN_WORD_F1: f64 = 0.98;

async fn read(path: &Path) -> Result<Extraction, DocumentError> {
    let file = tokio::fs::File::open(path).await.expect("the file exists");
    let extractor = Extractor::new(ExtractorConfig {
        program: env!("CARGO_BIN_EXE_pdf-text").into(),
        args: vec!["extract".into()],
        limits: Limits::default(),
    });
    match extractor.extract(file, |_| ()).await {
        Ok(extraction) => Ok(extraction),
        Err(ExtractError::Document(error)) => Err(error),
        Err(error) => panic!("{}: the extractor failed: {error:?}", path.display()),
    }
}

/// Reads all files of the part. Returns the number of files and unexpected results.
async fn read_part(part: Part) -> (usize, Vec<String>) {
    let files = part.files().expect("the corpus is available");
    let mut unexpected = Vec::new();
    for file in &files {
        let name = file.display();
        match read(file).await {
            Ok(extraction) if extraction.pages.is_empty() => {
                unexpected.push(format!("{name}: no page"));
            }
            Ok(_)
            | Err(
                DocumentError::NoText
                | DocumentError::Encrypted
                | DocumentError::Empty
                | DocumentError::Broken
                | DocumentError::NotPdf,
            ) => {}
            Err(error) => unexpected.push(format!("{name}: {error:?}")),
        }
    }
    (files.len(), unexpected)
}

#[tokio::test]
async fn the_files_of_one_package_give_text_or_an_expected_error() {
    let (count, unexpected) = read_part(Part::SMALL).await;
    assert!(count > 60, "{count} files are too few");
    assert_eq!(unexpected, Vec::<String>::new());
}

#[tokio::test]
async fn files_with_random_errors_give_text_or_an_expected_error() {
    let seeds = mutations::cases();
    let (unexpected, read) =
        mutations::read_changed_files(&seeds, SHORT_MUTATIONS, Duration::MAX).await;
    assert_eq!(unexpected, Vec::<String>::new());
    assert_eq!(read, SHORT_MUTATIONS);
}

#[tokio::test]
#[ignore = "takes 30 minutes: make test-long"]
async fn files_of_the_corpus_with_random_errors_give_text_or_an_expected_error() {
    let mut files = Vec::new();
    for part in Part::ALL {
        files.extend(part.files().expect("the corpus is available"));
    }
    let mut seeds = mutations::cases();
    seeds.extend(mutations::seeds(&files));
    let (unexpected, read) = mutations::read_changed_files(&seeds, u64::MAX, LONG_MUTATIONS).await;
    assert_eq!(unexpected, Vec::<String>::new());
    assert!(read >= MIN_LONG_MUTATIONS, "{read} files are too few");
}

#[tokio::test]
#[ignore = "downloads tens of megabytes and reads ten thousand pages: make test-long"]
async fn every_file_of_the_corpus_gives_text_or_an_expected_error() {
    let mut count = 0;
    let mut unexpected = Vec::new();
    for part in Part::ALL {
        let (files, of_part) = read_part(part).await;
        count += files;
        unexpected.extend(of_part);
    }
    assert!(count >= MIN_FILES, "{count} files are too few");
    assert_eq!(unexpected, Vec::<String>::new());
}

#[tokio::test]
#[ignore = "downloads tens of megabytes and needs pdftotext: make test-long"]
async fn the_manuals_text_agrees_with_popplers() {
    let mut agreement = Vec::new();
    let (mut rows, mut whole) = (0, 0);
    for file in Part::Manuals.files().expect("the corpus is available") {
        let extraction = read(&file).await.expect("a manual can be read");
        let ours: Vec<&str> = extraction
            .pages
            .iter()
            .map(|page| page.text.as_str())
            .collect();
        let theirs = poppler::text(&file)
            .expect("poppler is there")
            .expect("poppler reads a manual");
        let ours = ours.join("\n");
        agreement.push(poppler::word_f1(&ours, &theirs));
        let of_file = poppler::rows(&file, &ours).expect("poppler is there");
        (rows, whole) = (rows + of_file.count, whole + of_file.whole);
    }
    let median = poppler::median(agreement);
    assert!(median >= MIN_MEDIAN_WORD_F1, "the median is {median:.4}");
    assert!(
        whole * 100 >= rows * MIN_WHOLE_ROWS_PERCENT,
        "{whole} of {rows} rows are whole"
    );
}
