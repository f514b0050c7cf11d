//! One document, from bytes to clean pages: the first reader, the second if the first found nothing, limits on the way.

use std::io;
use std::sync::Arc;

use crate::clean::{clean, is_scanned};
use crate::layout::{LaidOut, Sheet};
use crate::limits::Limits;
use crate::readers::{First, Reader, Second, Sink};
use crate::refusal::Refusal;
use crate::wire::{Line, Opinion};

/// Progress is told every so many pages.
const PROGRESS_PAGES: u32 = 32;
/// Where the mark of a PDF may stand, in bytes from the beginning: some files have a header of a mail or a printer before it.
const MARK_WITHIN_BYTES: usize = 1024;
const MARK: &[u8] = b"%PDF-";
/// Letters and digits per page of a document with pictures, headers apart. Less than this is a scan with stamps.
const CHARACTERS_PER_PAGE_MIN: usize = 3;

/// Why reading ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The document is the reason.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody listens any more.
    #[error("the answer cannot be written")]
    Answer(#[from] io::Error),
}

/// Reads the document and answers line by line; the last line says that it is done, or why not.
pub(crate) fn answer(
    file: Vec<u8>,
    limits: &Limits,
    emit: &mut dyn FnMut(&Line) -> io::Result<()>,
) -> io::Result<()> {
    match read(file, limits, emit) {
        Ok(()) => Ok(()),
        Err(Failure::Answer(error)) => Err(error),
        Err(Failure::Refused(refusal)) => emit(&Line::Refused { refusal }),
    }
}

fn read(
    file: Vec<u8>,
    limits: &Limits,
    emit: &mut dyn FnMut(&Line) -> io::Result<()>,
) -> Result<(), Failure> {
    if file.is_empty() {
        return Err(Refusal::Empty.into());
    }
    let bytes_max = limits.input_bytes_max;
    if file.len() as u64 > bytes_max {
        return Err(Refusal::TooLarge { bytes_max }.into());
    }
    let marked = file
        .windows(MARK.len())
        .take(MARK_WITHIN_BYTES)
        .any(|window| window == MARK);
    let file = Arc::new(file);
    let first = collect(&First, &file, limits, emit);
    let (read, opinion) = match first {
        Err(Failure::Refused(Refusal::Broken)) if !marked => {
            return Err(Refusal::NotPdf.into());
        }
        Err(Failure::Refused(refusal @ (Refusal::Broken | Refusal::Empty))) => {
            emit(&Line::Second {
                refusal: refusal.clone(),
            })?;
            match collect(&Second, &file, limits, emit) {
                Ok(read) => (read, Opinion::Second),
                Err(Failure::Answer(error)) => return Err(error.into()),
                Err(Failure::Refused(_)) => return Err(refusal.into()),
            }
        }
        first => (first?, Opinion::First),
    };
    for page in read.pages {
        emit(&Line::Page(page))?;
    }
    emit(&Line::Done {
        pages: read.page_count,
        unreadable: read.unreadable,
        opinion,
    })?;
    Ok(())
}

struct Read {
    pages: Vec<crate::page::Page>,
    unreadable: Vec<u32>,
    page_count: u32,
}

/// What one reader makes of the document.
fn collect(
    reader: &dyn Reader,
    file: &Arc<Vec<u8>>,
    limits: &Limits,
    emit: &mut dyn FnMut(&Line) -> io::Result<()>,
) -> Result<Read, Failure> {
    let mut collector = Collector {
        limits,
        emit,
        broken_pipe: None,
        pages: Vec::new(),
        unreadable: Vec::new(),
        page_count: 0,
        text_bytes: 0,
    };
    let read = reader.read(file, &mut collector);
    if let Some(error) = collector.broken_pipe.take() {
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
        return Err(Refusal::Broken.into());
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
    if characters == 0 || (scanned && characters < CHARACTERS_PER_PAGE_MIN * pages.len()) {
        return Err(Refusal::NoText.into());
    }
    Ok(Read {
        pages,
        unreadable,
        page_count,
    })
}

/// Keeps the pages until the whole document can be cleaned.
struct Collector<'a> {
    limits: &'a Limits,
    emit: &'a mut dyn FnMut(&Line) -> io::Result<()>,
    broken_pipe: Option<io::Error>,
    pages: Vec<(u32, LaidOut)>,
    unreadable: Vec<u32>,
    page_count: u32,
    text_bytes: u64,
}

impl Collector<'_> {
    fn progress(&mut self, read: u32) -> Result<(), Refusal> {
        let pages = self.page_count;
        (self.emit)(&Line::Progress { read, pages }).map_err(|error| {
            self.broken_pipe = Some(error);
            Refusal::Internal // ends the reading; nobody hears it
        })
    }
}

impl Sink for Collector<'_> {
    fn pages(&mut self, pages: u32) -> Result<(), Refusal> {
        self.page_count = pages;
        let pages_max = self.limits.pages_max;
        if pages == 0 {
            Err(Refusal::Empty)
        } else if pages > pages_max {
            Err(Refusal::TooManyPages { pages, pages_max })
        } else {
            self.progress(0)
        }
    }

    fn page(&mut self, number: u32, sheet: Option<Sheet>) -> Result<(), Refusal> {
        match sheet {
            Some(sheet) => {
                self.text_bytes += sheet.text.len() as u64;
                let bytes_max = self.limits.text_bytes_max;
                if self.text_bytes > bytes_max {
                    return Err(Refusal::TooMuchText { bytes_max });
                }
                self.pages.push((number, sheet.lay_out()));
            }
            None => self.unreadable.push(number),
        }
        if number.is_multiple_of(PROGRESS_PAGES) || number == self.page_count {
            self.progress(number)?;
        }
        Ok(())
    }
}
