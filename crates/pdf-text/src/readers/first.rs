//! The first reader: hayro, an interpreter of page descriptions made for rendering. It keeps fonts from page to page, knows the
//! predefined encodings of East Asia, follows forms with their places, repairs broken cross references, and bounds nesting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hayro_interpret::font::{Glyph as FontGlyph, GlyphRun};
use hayro_interpret::hayro_cmap::{BfString, WritingMode};
use hayro_interpret::hayro_syntax::object::{Array, Stream};
use hayro_interpret::hayro_syntax::page::Page;
use hayro_interpret::hayro_syntax::{DecryptionError, LoadPdfError, Pdf};
use hayro_interpret::kurbo::{Affine, BezPath, Rect};
use hayro_interpret::{
    BlendMode, ClipPath, Context, Device, DrawMode, DrawProps, Image, ImageDrawProps,
    InterpreterCache, InterpreterSettings, SoftMask, interpret_page,
};

use super::fields::write_undrawn;
use super::{Reader, Sink, page_number};
use crate::layout::{Glyph, Sheet};
use crate::refusal::Refusal;

/// Glyph space has 1,000 units an em.
const UNITS_PER_EM: f64 = 1000.0;
/// The advance of a glyph whose font does not say: half an em, as most letters have.
const ADVANCE_UNKNOWN: f32 = 500.0;
/// An empty page takes fewer bytes than this, packed in whatever way.
const PACKED_BYTES_MIN: usize = 48;
/// Where a page keeps its content.
const CONTENTS: &[u8] = b"Contents";

/// Reads with hayro.
pub(crate) struct First;

impl Reader for First {
    fn read(&self, file: &Arc<Vec<u8>>, sink: &mut dyn Sink) -> Result<(), Refusal> {
        let pdf = catch_unwind(|| Pdf::new(Arc::clone(file)))
            .map_err(|_| Refusal::Broken)?
            .map_err(|error| match error {
                LoadPdfError::Decryption(DecryptionError::PasswordProtected) => Refusal::Encrypted,
                LoadPdfError::Decryption(_) | LoadPdfError::Invalid => Refusal::Broken,
            })?;
        let pages = pdf.pages();
        sink.pages(u32::try_from(pages.len()).unwrap_or(u32::MAX))?;
        let mut cache = InterpreterCache::new();
        for (index, page) in pages.iter().enumerate() {
            let sheet = catch_unwind(AssertUnwindSafe(|| read_page(page, &pdf, &cache)));
            if sheet.is_err() {
                cache = InterpreterCache::new(); // what the panic left half-done
            }
            sink.page(page_number(index), sheet.ok().flatten())?;
        }
        Ok(())
    }
}

fn read_page<'a>(page: &Page<'a>, pdf: &'a Pdf, cache: &InterpreterCache<'a>) -> Option<Sheet> {
    if is_damaged(page) {
        return None;
    }
    let (width, height) = page.render_dimensions();
    let mut device = Text {
        sheet: Sheet::new(width, height),
        fallback: [0; 4],
    };
    let mut context = Context::new(
        Affine::new(page.initial_transform(true).as_coeffs()),
        Rect::new(0.0, 0.0, width.into(), height.into()),
        cache,
        pdf.xref(),
        InterpreterSettings::default(),
    );
    interpret_page(page, &mut context, &mut device);
    write_undrawn(page, &mut device.sheet);
    Some(device.sheet)
}

/// Whether the page's content cannot be unpacked: something is there, and nothing comes out of it.
fn is_damaged(page: &Page<'_>) -> bool {
    let packed = |stream: Stream<'_>| stream.raw_data().len();
    match page.page_stream() {
        Some(content) if !content.trim_ascii().is_empty() => false,
        Some(_) => {
            let contents = page.raw();
            let bytes = match contents.get::<Stream<'_>>(CONTENTS) {
                Some(stream) => packed(stream),
                None => contents
                    .get::<Array<'_>>(CONTENTS)
                    .map(|streams| streams.iter::<Stream<'_>>().map(packed).sum())
                    .unwrap_or_default(),
            };
            bytes >= PACKED_BYTES_MIN
        }
        None => page.raw().contains_key(CONTENTS),
    }
}

/// A device that writes nothing but text.
struct Text {
    sheet: Sheet,
    /// Room for one character as UTF-8.
    fallback: [u8; 4],
}

impl Device<'_> for Text {
    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, '_>, props: DrawProps<'_>, _: &DrawMode) {
        let vertical = matches!(run.writing_mode(), WritingMode::Vertical);
        for glyph in run.glyphs() {
            let Some(unicode) = glyph.as_unicode() else {
                continue;
            };
            // Along the text, across it (upwards), and where the glyph begins.
            let [along_x, along_y, up_x, up_y, x, y] =
                (props.transform * glyph.transform()).as_coeffs();
            let advance = match &**glyph {
                FontGlyph::Outline(glyph) => glyph.advance_width(),
                FontGlyph::Type3(glyph) => glyph.advance_width(),
            };
            let advance = f64::from(advance.unwrap_or(ADVANCE_UNKNOWN));
            let (advance_x, advance_y) = if vertical {
                (-up_x * UNITS_PER_EM, -up_y * UNITS_PER_EM)
            } else {
                (along_x * advance, along_y * advance)
            };
            let text = match &unicode {
                BfString::Char(character) => character.encode_utf8(&mut self.fallback),
                BfString::String(text) => text.as_str(),
            };
            self.sheet.push(&Glyph {
                text,
                x,
                y,
                advance_x,
                advance_y,
                em: up_x.hypot(up_y) * UNITS_PER_EM,
            });
        }
    }

    fn draw_path(&mut self, _: &BezPath, _: DrawProps<'_>, _: &DrawMode) {}
    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_clip_rect(&mut self, _: &Rect) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'_>>, _: BlendMode) {}
    fn draw_image(&mut self, _: Image<'_, '_>, _: ImageDrawProps<'_>) {
        self.sheet.has_picture = true; // it is not even unpacked
    }
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
    fn draw_rect(&mut self, _: &Rect, _: DrawProps<'_>, _: &DrawMode) {}
}
