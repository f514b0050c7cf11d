//! Reads one document from its bytes to clean pages: with the first reader, with the second if the
//! first fails, and within the limits.

use std::io;
use std::sync::Arc;

use crate::clean::{clean, is_scanned};
use crate::document_error::DocumentError;
use crate::layout::{PageBuilder, PageLines, lay_out};
use crate::limits::Limits;
use crate::readers::{HayroReader, PageSink, PdfExtractReader, Reader};
use crate::wire::{Message, ReaderKind};

/// Number of pages between two progress messages.
const PROGRESS_INTERVAL_PAGES: u32 = 32;
/// Maximum offset of the PDF header, in bytes. Some files start with a mail or printer header.
const PDF_HEADER_WITHIN_BYTES: usize = 1024;
const PDF_HEADER: &[u8] = b"%PDF-";
/// Minimum number of letters and digits per page of a document with pictures, not counting headers.
/// A document with fewer is a scan with stamps.
const MIN_CHARACTERS_PER_PAGE: usize = 3;

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
        Err(ReadError::Document(error)) => emit(&Message::Failed { error }),
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
        pages: read.page_count,
        unreadable: read.unreadable,
        reader,
    })?;
    Ok(())
}

struct ReadDocument {
    pages: Vec<crate::page::Page>,
    unreadable: Vec<u32>,
    page_count: u32,
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
        unreadable: Vec::new(),
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
        unreadable,
        page_count,
        ..
    } = collector;
    if pages.is_empty() {
        return Err(DocumentError::Broken.into());
    }
    let scanned = is_scanned(&pages);
    let pages = clean(pages);
    let characters: usize = pages
        .iter()
        .map(|page| {
            page.text
                .chars()
                .filter(|character| character.is_alphanumeric())
                .count()
        })
        .sum();
    if characters == 0 || (scanned && characters < MIN_CHARACTERS_PER_PAGE * pages.len()) {
        return Err(DocumentError::NoText.into());
    }
    Ok(ReadDocument {
        pages,
        unreadable,
        page_count,
    })
}

/// Collects the pages until the whole document can be cleaned.
struct Collector<'a> {
    limits: &'a Limits,
    emit: &'a mut dyn FnMut(&Message) -> io::Result<()>,
    output_error: Option<io::Error>,
    pages: Vec<(u32, PageLines)>,
    unreadable: Vec<u32>,
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

    fn page(&mut self, number: u32, page: Option<PageBuilder>) -> Result<(), DocumentError> {
        match page {
            Some(page) => {
                self.text_bytes += page.text.len() as u64;
                let max_bytes = self.limits.max_text_bytes;
                if self.text_bytes > max_bytes {
                    return Err(DocumentError::TooMuchText { max_bytes });
                }
                self.pages.push((number, lay_out(page)));
            }
            None => self.unreadable.push(number),
        }
        if number.is_multiple_of(PROGRESS_INTERVAL_PAGES) || number == self.page_count {
            self.progress(number)?;
        }
        Ok(())
    }
}
