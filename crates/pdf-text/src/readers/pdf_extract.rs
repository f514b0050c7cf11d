//! The second reader. pdf-extract panics on many unusual files, so each page is read separately: a
//! page that it cannot read is counted, and the others are kept.

use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ::pdf_extract::{
    Dictionary, Document, MediaBox, Object, ObjectId, OutputDev, OutputError, Transform,
    output_doc_page,
};

use super::{PageSink, Reader, page_number};
use crate::document_error::DocumentError;
use crate::layout::{Glyph, PageBuilder};

/// Maximum depth of parents from which a page inherits attributes. Page trees usually have three or
/// four levels.
const MAX_PARENTS: usize = 64;

pub(crate) struct PdfExtractReader;

impl Reader for PdfExtractReader {
    fn read(&self, file: &Arc<Vec<u8>>, sink: &mut dyn PageSink) -> Result<(), DocumentError> {
        let document = catch_unwind(|| open(file)).map_err(|_| DocumentError::Broken)??;
        let pages = catch_unwind(AssertUnwindSafe(|| document.get_pages()))
            .map_err(|_| DocumentError::Broken)?;
        sink.pages(u32::try_from(pages.len()).unwrap_or(u32::MAX))?;
        for (index, (&number, &id)) in pages.iter().enumerate() {
            let page = catch_unwind(AssertUnwindSafe(|| read_page(&document, number, id)));
            sink.page(page_number(index), page.ok().flatten())?;
        }
        Ok(())
    }
}

/// Reads single pages of a file that the first reader has opened.
#[derive(Default)]
pub(super) struct SecondReader(OnceCell<Option<Document>>);

impl SecondReader {
    /// Reads a page by number. The file is opened at the first call.
    pub(super) fn page(&mut self, file: &[u8], number: u32) -> Option<PageBuilder> {
        let document = self
            .0
            .get_or_init(|| catch_unwind(|| open(file).ok()).ok().flatten())
            .as_ref()?;
        catch_unwind(AssertUnwindSafe(|| {
            let id = *document.get_pages().get(&number)?;
            read_page(document, number, id)
        }))
        .ok()
        .flatten()
    }
}

/// Opens a file, without its encryption if it needs no password.
pub(super) fn open(file: &[u8]) -> Result<Document, DocumentError> {
    let mut document = Document::load_mem(file).map_err(|_| DocumentError::Broken)?;
    if document.is_encrypted() {
        document.decrypt("").map_err(|_| DocumentError::Encrypted)?;
    }
    Ok(document)
}

fn read_page(document: &Document, number: u32, id: ObjectId) -> Option<PageBuilder> {
    let mut device = TextDevice {
        page: None,
        rotation: rotation(document, id),
        transform: PageTransform::default(),
    };
    output_doc_page(document, &mut device, number).ok()?;
    device.page
}

/// Returns the page's `Rotate`, which it may inherit, in clockwise quarter turns.
fn rotation(document: &Document, id: ObjectId) -> i64 {
    let mut dictionary: Option<&Dictionary> = document.get_dictionary(id).ok();
    for _ in 0..MAX_PARENTS {
        let Some(current) = dictionary else { break };
        if let Ok(degrees) = current.get(b"Rotate").and_then(Object::as_i64) {
            return degrees.rem_euclid(360) / 90;
        }
        dictionary = current
            .get(b"Parent")
            .and_then(Object::as_reference)
            .and_then(|parent| document.get_dictionary(parent))
            .ok();
    }
    0
}

/// A device that records only text.
struct TextDevice {
    page: Option<PageBuilder>,
    /// Clockwise quarter turns.
    rotation: i64,
    transform: PageTransform,
}

/// Transform from the page's coordinates (upwards, relative to its media box) to the coordinates of
/// the displayed page (downwards, from its top left corner).
#[derive(Default)]
struct PageTransform {
    rotation: i64,
    left: f64,
    bottom: f64,
    width: f64,
    height: f64,
}

impl PageTransform {
    fn position(&self, x: f64, y: f64) -> (f64, f64) {
        let (x, y) = (x - self.left, y - self.bottom);
        match self.rotation {
            1 => (y, x),
            2 => (self.width - x, y),
            3 => (self.height - y, self.width - x),
            _ => (x, self.height - y),
        }
    }

    fn direction(&self, x: f64, y: f64) -> (f64, f64) {
        match self.rotation {
            1 => (y, x),
            2 => (-x, y),
            3 => (-y, -x),
            _ => (x, -y),
        }
    }

    fn size(&self) -> (f64, f64) {
        if self.rotation % 2 == 1 {
            (self.height, self.width)
        } else {
            (self.width, self.height)
        }
    }
}

impl OutputDev for TextDevice {
    fn begin_page(
        &mut self,
        _: u32,
        media: &MediaBox,
        _: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
        self.transform = PageTransform {
            rotation: self.rotation,
            left: media.llx.min(media.urx),
            bottom: media.lly.min(media.ury),
            width: (media.urx - media.llx).abs(),
            height: (media.ury - media.lly).abs(),
        };
        let (width, height) = self.transform.size();
        #[expect(clippy::cast_possible_truncation, reason = "points of a page")]
        let page = PageBuilder::new(width as f32, height as f32);
        self.page = Some(page);
        Ok(())
    }

    fn output_character(
        &mut self,
        text_transform: &Transform,
        width: f64,
        _: f64,
        font_size: f64,
        text: &str,
    ) -> Result<(), OutputError> {
        if let Some(page) = &mut self.page {
            let (x, y) = self
                .transform
                .position(text_transform.m31, text_transform.m32);
            let advance = width * font_size;
            let (advance_x, advance_y) = self
                .transform
                .direction(text_transform.m11 * advance, text_transform.m12 * advance);
            page.push(&Glyph {
                text,
                x,
                y,
                advance_x,
                advance_y,
                em: (text_transform.m21 * font_size).hypot(text_transform.m22 * font_size),
            });
        }
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
    fn begin_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
    fn end_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
    fn end_line(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}
