//! Reads one document from its bytes to clean pages: with the first reader, with the second if the
//! first fails, and within the limits.

use std::io;
use std::sync::Arc;

use crate::clean::clean;
use crate::document_error::DocumentError;
use crate::garbled::is_garbled;
use crate::layout::{PageBuilder, PageLines, PageSummary, lay_out};
use crate::limits::Limits;
use crate::page::Page;
use crate::readers::{Container, HayroReader, PageSink, PdfExtractReader, Reader};
use crate::report::{PageKind, PageReport};
use crate::wire::{Message, ReaderKind};

/// Number of pages between two progress messages.
const PROGRESS_INTERVAL_PAGES: u32 = 32;
/// Maximum offset of the PDF header, in bytes. Some files start with a mail or printer header.
const PDF_HEADER_WITHIN_BYTES: usize = 1024;
const PDF_HEADER: &[u8] = b"%PDF-";
/// Minimum number of letters and digits per page of a document of images. A document with fewer is
/// a scan with stamps.
const MIN_CHARACTERS_PER_PAGE: usize = 3;
/// Minimum number and share of unknown glyphs of a page with unreadable fonts. Pages with fewer
/// have symbols without a reading.
const MIN_UNKNOWN_GLYPHS: usize = 10;
const MAX_UNKNOWN_PERCENT: usize = 30;
/// Number of letters and digits below which a page with an image is a scan: page numbers, stamps.
const MAX_STAMP_CHARACTERS: usize = 60;
/// Minimum share of the area of a scanned page that images cover.
const MIN_IMAGE_SHARE: f32 = 0.4;
/// Minimum number of paths of a page whose text is drawn as outlines.
const MIN_DRAWING_PATHS: u32 = 100;
/// Share of the pages that may be missing, as a divisor. A file that has lost more is incomplete.
const MAX_MISSING_SHARE: u32 = 4;
/// Text of the placeholder page of a dynamic XFA form, which Adobe's programs write.
const XFA_PLACEHOLDER: &str = "Please wait";

/// Reason why reading ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The parent process no longer reads.
    #[error("failed to write the output")]
    Output(#[from] io::Error),
}

/// Reads the document and emits messages. The last message is the result.
pub(crate) fn process(
    file: Vec<u8>,
    limits: &Limits,
    emit: &mut dyn FnMut(&Message) -> io::Result<()>,
) -> io::Result<()> {
    match read(file, limits, emit) {
        Ok(()) => Ok(()),
        Err(ReadError::Output(error)) => Err(error),
        Err(ReadError::Document(error)) => emit(&Message::Failed(error)),
    }
}

fn read(
    file: Vec<u8>,
    limits: &Limits,
    emit: &mut dyn FnMut(&Message) -> io::Result<()>,
) -> Result<(), ReadError> {
    if file.is_empty() {
        return Err(DocumentError::Empty.into());
    }
    let max_bytes = limits.max_input_bytes;
    if file.len() as u64 > max_bytes {
        return Err(DocumentError::TooLarge { max_bytes }.into());
    }
    let has_pdf_header = file
        .windows(PDF_HEADER.len())
        .take(PDF_HEADER_WITHIN_BYTES)
        .any(|window| window == PDF_HEADER);
    let file = Arc::new(file);
    let result = read_with(&HayroReader, &file, limits, emit);
    let (read, reader) = match result {
        Err(ReadError::Document(DocumentError::Broken)) if !has_pdf_header => {
            return Err(DocumentError::NotPdf.into());
        }
        Err(ReadError::Document(error @ (DocumentError::Broken | DocumentError::Empty))) => {
            emit(&Message::Fallback {
                error: error.clone(),
            })?;
            match read_with(&PdfExtractReader, &file, limits, emit) {
                Ok(read) => (read, ReaderKind::PdfExtract),
                Err(ReadError::Output(error)) => return Err(error.into()),
                Err(ReadError::Document(_)) => return Err(error.into()),
            }
        }
        result => (result?, ReaderKind::Hayro),
    };
    for page in read.pages {
        emit(&Message::Page(page))?;
    }
    emit(&Message::Done {
        report: read.report,
        reader,
    })?;
    Ok(())
}

struct ReadDocument {
    pages: Vec<Page>,
    report: PageReport,
}

/// Reads the document with one reader.
fn read_with(
    reader: &dyn Reader,
    file: &Arc<Vec<u8>>,
    limits: &Limits,
    emit: &mut dyn FnMut(&Message) -> io::Result<()>,
) -> Result<ReadDocument, ReadError> {
    let mut collector = Collector {
        limits,
        emit,
        output_error: None,
        pages: Vec::new(),
        unread: Vec::new(),
        container: Container::default(),
        page_count: 0,
        text_bytes: 0,
    };
    let read = reader.read(file, &mut collector);
    if let Some(error) = collector.output_error.take() {
        return Err(error.into());
    }
    read?;
    let Collector {
        pages,
        unread,
        container,
        page_count,
        ..
    } = collector;
    if pages.is_empty() {
        return Err(DocumentError::Broken.into());
    }
    let summaries: Vec<PageSummary> = pages.iter().map(|(_, page)| page.summary).collect();
    let mut pages = clean(pages);
    check_words(&pages, limits)?;
    for (page, summary) in pages.iter_mut().zip(summaries) {
        page.kind = kind(page, summary);
        page.unknown_glyphs = summary.unknown_glyphs;
    }
    let report = report(&pages, unread, container, page_count);
    check(&pages, &report)?;
    Ok(ReadDocument { pages, report })
}

/// Whether all pages are images with the same stamp, apart from numbers.
fn is_stamped(pages: &[Page]) -> bool {
    let stamp = |page: &Page| -> String {
        page.text
            .chars()
            .filter(|mark| mark.is_alphabetic())
            .collect()
    };
    pages.len() > 1
        && pages.iter().all(|page| page.kind == PageKind::Image)
        && pages.windows(2).all(|pair| match pair {
            [a, b] => stamp(a) == stamp(b),
            _ => true,
        })
}

fn report(
    pages: &[Page],
    unread: Vec<(u32, PageKind)>,
    container: Container,
    page_count: u32,
) -> PageReport {
    let mut kinds: Vec<(u32, PageKind)> =
        pages.iter().map(|page| (page.number, page.kind)).collect();
    kinds.extend(unread);
    kinds.sort_by_key(|(number, _)| *number);
    let mut report = PageReport {
        page_count,
        attachments: container.attachments,
        is_portfolio: container.is_portfolio,
        is_xfa: container.is_xfa,
        announced_pages: container.announced_pages,
        labels: pages
            .iter()
            .filter_map(|page| Some((page.number, page.label.clone()?)))
            .collect(),
        ..PageReport::default()
    };
    for (number, kind) in kinds {
        report.push(number, kind);
    }
    report
}

/// Returns what the page consists of.
fn kind(page: &Page, summary: PageSummary) -> PageKind {
    let known = characters(page);
    let unknown = summary.unknown_glyphs as usize;
    if unknown >= MIN_UNKNOWN_GLYPHS && unknown * 100 > (known + unknown) * MAX_UNKNOWN_PERCENT {
        PageKind::UnreadableFont
    } else if is_garbled(&page.text) {
        PageKind::Garbled
    } else if known < MAX_STAMP_CHARACTERS && summary.image_share >= MIN_IMAGE_SHARE {
        PageKind::Image
    } else if known > 0 {
        PageKind::Text
    } else if summary.image_share > 0.0 || summary.paths >= MIN_DRAWING_PATHS {
        PageKind::Image
    } else {
        PageKind::Empty
    }
}

/// Number of letters and digits of a page.
fn characters(page: &Page) -> usize {
    page.text
        .chars()
        .filter(|character| character.is_alphanumeric())
        .count()
}

/// Checks that the document has text.
fn check(pages: &[Page], report: &PageReport) -> Result<(), DocumentError> {
    let missing = report.count(PageKind::Missing);
    if missing * MAX_MISSING_SHARE > report.page_count {
        return Err(DocumentError::Incomplete {
            expected: report.page_count,
            found: report.page_count - missing,
        });
    }
    let text: usize = pages.iter().map(characters).sum();
    let images = report.count(PageKind::Image) as usize;
    let is_scan = images * 2 >= pages.len()
        && (text < MIN_CHARACTERS_PER_PAGE * pages.len() || is_stamped(pages));
    let is_placeholder = report.is_xfa
        && pages.len() == 1
        && pages
            .iter()
            .any(|page| page.text.trim_start().starts_with(XFA_PLACEHOLDER));
    if is_placeholder {
        Err(DocumentError::XfaForm)
    } else if text > 0 && !is_scan {
        Ok(())
    } else if report.is_portfolio && !report.attachments.is_empty() {
        Err(DocumentError::Portfolio {
            files: u32::try_from(report.attachments.len()).unwrap_or(u32::MAX),
        })
    } else if report.count(PageKind::UnreadableFont) > 0 {
        Err(DocumentError::UnreadableFont)
    } else {
        Err(DocumentError::NoText)
    }
}

fn check_words(pages: &[Page], limits: &Limits) -> Result<(), DocumentError> {
    let mut words = 0;
    for page in pages {
        if page.words.len() > limits.max_page_words as usize {
            return Err(DocumentError::TooMuchTextOnPage { page: page.number });
        }
        words += page.words.len();
    }
    let max_words = limits.max_words;
    if words > max_words as usize {
        return Err(DocumentError::TooManyWords { max_words });
    }
    Ok(())
}

/// Collects the pages until the whole document can be cleaned.
struct Collector<'a> {
    limits: &'a Limits,
    emit: &'a mut dyn FnMut(&Message) -> io::Result<()>,
    output_error: Option<io::Error>,
    pages: Vec<(u32, PageLines)>,
    /// Pages that are damaged or missing.
    unread: Vec<(u32, PageKind)>,
    container: Container,
    page_count: u32,
    text_bytes: u64,
}

impl Collector<'_> {
    fn progress(&mut self, read: u32) -> Result<(), DocumentError> {
        let pages = self.page_count;
        (self.emit)(&Message::Progress { read, pages }).map_err(|error| {
            self.output_error = Some(error);
            DocumentError::Internal // stops the reader; `read_with` returns the output error instead
        })
    }
}

impl PageSink for Collector<'_> {
    fn pages(&mut self, pages: u32) -> Result<(), DocumentError> {
        self.page_count = pages;
        let max_pages = self.limits.max_pages;
        if pages == 0 {
            Err(DocumentError::Empty)
        } else if pages > max_pages {
            Err(DocumentError::TooManyPages { pages, max_pages })
        } else {
            self.progress(0)
        }
    }

    fn container(&mut self, container: Container) {
        self.container = container;
    }

    fn missing(&mut self, number: u32) -> Result<(), DocumentError> {
        self.unread.push((number, PageKind::Missing));
        Ok(())
    }

    fn page(&mut self, number: u32, page: Option<PageBuilder>) -> Result<(), DocumentError> {
        match page {
            Some(page) => {
                let page_bytes = page.text.len() as u64;
                if page_bytes > self.limits.max_page_text_bytes {
                    return Err(DocumentError::TooMuchTextOnPage { page: number });
                }
                self.text_bytes += page_bytes;
                let max_bytes = self.limits.max_text_bytes;
                if self.text_bytes > max_bytes {
                    return Err(DocumentError::TooMuchText { max_bytes });
                }
                self.pages.push((number, lay_out(page)));
            }
            None => self.unread.push((number, PageKind::Damaged)),
        }
        if number.is_multiple_of(PROGRESS_INTERVAL_PAGES) || number == self.page_count {
            self.progress(number)?;
        }
        Ok(())
    }
}
