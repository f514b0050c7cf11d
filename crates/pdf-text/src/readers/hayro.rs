//! The first reader. hayro is an interpreter of page descriptions made for rendering. It caches
//! fonts across pages, supports the predefined East Asian encodings, follows form `XObject`s with
//! their transforms, repairs broken cross-reference tables, and limits nesting.

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

use super::form_fields::add_undrawn_values;
use super::{PageSink, Reader, page_number};
use crate::document_error::DocumentError;
use crate::layout::{Glyph, PageBuilder};

/// Units of glyph space per em.
const UNITS_PER_EM: f64 = 1000.0;
/// Advance of a glyph whose font does not define it: half an em, as for most letters.
const DEFAULT_ADVANCE: f32 = 500.0;
/// Minimum size of the compressed content of a page that is not empty, in bytes.
const MIN_COMPRESSED_BYTES: usize = 48;
/// Key of a page's content.
const CONTENTS: &[u8] = b"Contents";

pub(crate) struct HayroReader;

impl Reader for HayroReader {
    fn read(&self, file: &Arc<Vec<u8>>, sink: &mut dyn PageSink) -> Result<(), DocumentError> {
        let pdf = catch_unwind(|| Pdf::new(Arc::clone(file)))
            .map_err(|_| DocumentError::Broken)?
            .map_err(|error| match error {
                LoadPdfError::Decryption(DecryptionError::PasswordProtected) => {
                    DocumentError::Encrypted
                }
                LoadPdfError::Decryption(_) | LoadPdfError::Invalid => DocumentError::Broken,
            })?;
        let pages = pdf.pages();
        sink.pages(u32::try_from(pages.len()).unwrap_or(u32::MAX))?;
        let mut cache = InterpreterCache::new();
        for (index, page) in pages.iter().enumerate() {
            let page = catch_unwind(AssertUnwindSafe(|| read_page(page, &pdf, &cache)));
            if page.is_err() {
                cache = InterpreterCache::new(); // the panic may have left it inconsistent
            }
            sink.page(page_number(index), page.ok().flatten())?;
        }
        Ok(())
    }
}

fn read_page<'a>(
    page: &Page<'a>,
    pdf: &'a Pdf,
    cache: &InterpreterCache<'a>,
) -> Option<PageBuilder> {
    if is_damaged(page) {
        return None;
    }
    let (width, height) = page.render_dimensions();
    let mut device = TextDevice {
        page: PageBuilder::new(width, height),
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
    add_undrawn_values(page, &mut device.page);
    Some(device.page)
}

/// Whether the page's content cannot be decompressed: it exists, but its result is empty.
fn is_damaged(page: &Page<'_>) -> bool {
    let compressed_bytes = |stream: Stream<'_>| stream.raw_data().len();
    match page.page_stream() {
        Some(content) if !content.trim_ascii().is_empty() => false,
        Some(_) => {
            let contents = page.raw();
            let bytes = match contents.get::<Stream<'_>>(CONTENTS) {
                Some(stream) => compressed_bytes(stream),
                None => contents
                    .get::<Array<'_>>(CONTENTS)
                    .map(|streams| streams.iter::<Stream<'_>>().map(compressed_bytes).sum())
                    .unwrap_or_default(),
            };
            bytes >= MIN_COMPRESSED_BYTES
        }
        None => page.raw().contains_key(CONTENTS),
    }
}

/// A device that records only text.
struct TextDevice {
    page: PageBuilder,
    /// Buffer for one character in UTF-8.
    fallback: [u8; 4],
}

impl Device<'_> for TextDevice {
    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, '_>, props: DrawProps<'_>, _: &DrawMode) {
        let vertical = matches!(run.writing_mode(), WritingMode::Vertical);
        for glyph in run.glyphs() {
            let Some(unicode) = glyph.as_unicode() else {
                continue;
            };
            // Direction along the text, direction across it (upwards), and origin of the glyph.
            let [along_x, along_y, up_x, up_y, x, y] =
                (props.transform * glyph.transform()).as_coeffs();
            let advance = match &**glyph {
                FontGlyph::Outline(glyph) => glyph.advance_width(),
                FontGlyph::Type3(glyph) => glyph.advance_width(),
            };
            let advance = f64::from(advance.unwrap_or(DEFAULT_ADVANCE));
            let (advance_x, advance_y) = if vertical {
                (-up_x * UNITS_PER_EM, -up_y * UNITS_PER_EM)
            } else {
                (along_x * advance, along_y * advance)
            };
            let text = match &unicode {
                BfString::Char(character) => character.encode_utf8(&mut self.fallback),
                BfString::String(text) => text.as_str(),
            };
            self.page.push(&Glyph {
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
        self.page.has_picture = true; // the image is not decoded
    }
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
    fn draw_rect(&mut self, _: &Rect, _: DrawProps<'_>, _: &DrawMode) {}
}
