//! The second reader: pdf-extract, asked page by page. It panics on much that is odd, so each page stands alone: what it
//! cannot read is counted, and the rest is taken.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pdf_extract::{
    Dictionary, Document, MediaBox, Object, ObjectId, OutputDev, OutputError, Transform,
    output_doc_page,
};

use super::{Reader, Sink, page_number};
use crate::layout::{Glyph, Sheet};
use crate::refusal::Refusal;

/// How far up a page looks for what it inherits: page trees are three or four levels deep.
const PARENTS_MAX: usize = 64;

/// Reads with pdf-extract.
pub(crate) struct Second;

impl Reader for Second {
    fn read(&self, file: &Arc<Vec<u8>>, sink: &mut dyn Sink) -> Result<(), Refusal> {
        let document = catch_unwind(|| open(file)).map_err(|_| Refusal::Broken)??;
        let pages =
            catch_unwind(AssertUnwindSafe(|| document.get_pages())).map_err(|_| Refusal::Broken)?;
        sink.pages(u32::try_from(pages.len()).unwrap_or(u32::MAX))?;
        for (index, (&number, &id)) in pages.iter().enumerate() {
            let sheet = catch_unwind(AssertUnwindSafe(|| read_page(&document, number, id)));
            sink.page(page_number(index), sheet.ok().flatten())?;
        }
        Ok(())
    }
}

fn open(file: &[u8]) -> Result<Document, Refusal> {
    let mut document = Document::load_mem(file).map_err(|_| Refusal::Broken)?;
    if document.is_encrypted() {
        document.decrypt("").map_err(|_| Refusal::Encrypted)?;
    }
    Ok(document)
}

fn read_page(document: &Document, number: u32, id: ObjectId) -> Option<Sheet> {
    let mut device = Text {
        sheet: None,
        rotation: rotation(document, id),
        frame: Frame::default(),
    };
    output_doc_page(document, &mut device, number).ok()?;
    device.sheet
}

/// The page's `Rotate`, which it may have from its parents, in quarter turns clockwise.
fn rotation(document: &Document, id: ObjectId) -> i64 {
    let mut dictionary: Option<&Dictionary> = document.get_dictionary(id).ok();
    for _ in 0..PARENTS_MAX {
        let Some(here) = dictionary else { break };
        if let Ok(degrees) = here.get(b"Rotate").and_then(Object::as_i64) {
            return degrees.rem_euclid(360) / 90;
        }
        dictionary = here
            .get(b"Parent")
            .and_then(Object::as_reference)
            .and_then(|parent| document.get_dictionary(parent))
            .ok();
    }
    0
}

/// A device that writes nothing but text.
struct Text {
    sheet: Option<Sheet>,
    /// Quarter turns clockwise.
    rotation: i64,
    frame: Frame,
}

/// From the page's own coordinates (upwards, from its media box) to those of the page as it is seen (downwards, from its corner).
#[derive(Default)]
struct Frame {
    rotation: i64,
    left: f64,
    bottom: f64,
    width: f64,
    height: f64,
}

impl Frame {
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let (x, y) = (x - self.left, y - self.bottom);
        match self.rotation {
            1 => (y, x),
            2 => (self.width - x, y),
            3 => (self.height - y, self.width - x),
            _ => (x, self.height - y),
        }
    }

    fn turn(&self, x: f64, y: f64) -> (f64, f64) {
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

impl OutputDev for Text {
    fn begin_page(
        &mut self,
        _: u32,
        media: &MediaBox,
        _: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
        self.frame = Frame {
            rotation: self.rotation,
            left: media.llx.min(media.urx),
            bottom: media.lly.min(media.ury),
            width: (media.urx - media.llx).abs(),
            height: (media.ury - media.lly).abs(),
        };
        let (width, height) = self.frame.size();
        #[expect(clippy::cast_possible_truncation, reason = "points of a page")]
        let sheet = Sheet::new(width as f32, height as f32);
        self.sheet = Some(sheet);
        Ok(())
    }

    fn output_character(
        &mut self,
        transform: &Transform,
        width: f64,
        _: f64,
        font_size: f64,
        text: &str,
    ) -> Result<(), OutputError> {
        if let Some(sheet) = &mut self.sheet {
            let (x, y) = self.frame.place(transform.m31, transform.m32);
            let advance = width * font_size;
            let (advance_x, advance_y) = self
                .frame
                .turn(transform.m11 * advance, transform.m12 * advance);
            sheet.push(&Glyph {
                text,
                x,
                y,
                advance_x,
                advance_y,
                em: (transform.m21 * font_size).hypot(transform.m22 * font_size),
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
