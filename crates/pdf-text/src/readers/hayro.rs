//! The first reader. hayro is an interpreter of page descriptions made for rendering. It caches
//! fonts across pages, supports the predefined East Asian encodings, follows form `XObject`s with
//! their transforms, repairs broken cross-reference tables, and limits nesting.

use std::cell::OnceCell;
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

use super::catalog::{self, Container, Labels, PageTree};
use super::drawn_boxes::DrawnBoxes;
use super::font_repair::Misreadings;
use super::form_fields::add_values;
use super::glyph_text::{GlyphText, GlyphTexts};
use super::pdf_extract::SecondReader;
use super::type3::Type3Sizes;
use super::{PageSink, Reader, font_repair, plain_copy, rulings};
use crate::document_error::DocumentError;
use crate::garbled::is_garbled;
use crate::layout::{Glyph, PageBuilder, PageSummary};

/// Units of glyph space per em.
const UNITS_PER_EM: f64 = 1000.0;
/// Advance of a glyph whose font does not define it: half an em, as for most letters.
const DEFAULT_ADVANCE: f32 = 500.0;
/// Number of known glyphs per unknown glyph below which the second reader is tried.
const UNKNOWN_PER_KNOWN: usize = 4;
/// Minimum size of the compressed content of a page that is not empty, in bytes.
const MIN_COMPRESSED_BYTES: usize = 48;
/// Key of a page's content.
const CONTENTS: &[u8] = b"Contents";

pub(crate) struct HayroReader;

impl Reader for HayroReader {
    fn read(&self, file: &Arc<Vec<u8>>, sink: &mut dyn PageSink) -> Result<(), DocumentError> {
        let pdf = open(Arc::clone(file))?;
        let tree = catch_unwind(AssertUnwindSafe(|| PageTree::of(&pdf, file)))
            .map_err(|_| DocumentError::Broken)?;
        let catalog = catalog::catalog(&pdf);
        let labels = catalog.as_ref().map(Labels::of).unwrap_or_default();
        sink.container(Container {
            announced_pages: tree.announced,
            ..catalog.as_ref().map(catalog::container).unwrap_or_default()
        });
        sink.pages(u32::try_from(tree.count()).unwrap_or(u32::MAX))?;
        let repaired = OnceCell::new();
        let mut pages = Pages {
            file,
            original: Source::new(&pdf),
            repaired_file: &repaired,
            repaired: None,
            texts: GlyphTexts::default(),
            second: SecondReader::default(),
            misreadings: Misreadings::default(),
        };
        let mut missing = tree.missing.iter().copied().peekable();
        for (index, &number) in tree.numbers.iter().enumerate() {
            while let Some(lost) = missing.next_if(|lost| *lost < number) {
                sink.missing(lost)?;
            }
            let mut page = pages.read(index, number);
            if let Some(page) = &mut page {
                page.label = labels.of_page(number);
            }
            sink.page(number, page)?;
        }
        for lost in missing {
            sink.missing(lost)?;
        }
        Ok(())
    }
}

fn open(file: Arc<Vec<u8>>) -> Result<Pdf, DocumentError> {
    catch_unwind(|| Pdf::new(file))
        .map_err(|_| DocumentError::Broken)?
        .map_err(|error| match error {
            LoadPdfError::Decryption(DecryptionError::PasswordProtected) => {
                DocumentError::Encrypted
            }
            LoadPdfError::Decryption(_) | LoadPdfError::Invalid => DocumentError::Broken,
        })
}

/// Returns the file with repaired fonts.
fn repair_fonts(file: &[u8], pdf: &Pdf) -> Option<Pdf> {
    let repair = |file: &[u8], pdf: &Pdf| {
        let repaired = font_repair::repair(file, pdf)?;
        open(Arc::new(repaired)).ok()
    };
    let repair = || {
        if !font_repair::needs_copy(file, pdf) {
            return repair(file, pdf);
        }
        let copy = Arc::new(plain_copy::of(file)?);
        repair(&copy, &open(Arc::clone(&copy)).ok()?)
    };
    catch_unwind(AssertUnwindSafe(repair))
        .ok()?
        .filter(|repaired| repaired.pages().len() == pdf.pages().len())
}

/// Reads the pages of a file, and reads a page again in other ways if glyphs are unknown.
struct Pages<'pdf> {
    file: &'pdf Arc<Vec<u8>>,
    original: Source<'pdf>,
    /// The file with repaired fonts, which is made for the first page that may need it. `None` if
    /// there is nothing to repair.
    repaired_file: &'pdf OnceCell<Option<Pdf>>,
    repaired: Option<Source<'pdf>>,
    texts: GlyphTexts,
    second: SecondReader,
    misreadings: Misreadings,
}

impl Pages<'_> {
    fn read(&mut self, index: usize, number: u32) -> Option<PageBuilder> {
        let source = self.original.pdf.pages().get(index)?;
        let misreadings = &mut self.misreadings;
        let may_be_misread =
            catch_unwind(AssertUnwindSafe(|| misreadings.may_be_on(source))).ok()?;
        let mut repaired = None;
        if may_be_misread {
            repaired = self.read_repaired(index);
            if let Some(page) = repaired.take_if(|page| page.summary.unknown_glyphs == 0) {
                return Some(page);
            }
        }
        let page = self.original.read(index, &mut self.texts)?;
        if page.summary.unknown_glyphs == 0 && !may_be_misread {
            return Some(page);
        }
        if !may_be_misread {
            repaired = self.read_repaired(index);
        }
        let page = match repaired {
            Some(repaired) if repaired.summary.unknown_glyphs <= page.summary.unknown_glyphs => {
                repaired
            }
            _ => page,
        };
        let known = page.text.chars().count();
        if page.summary.unknown_glyphs as usize * UNKNOWN_PER_KNOWN < known {
            return Some(page);
        }
        // A reading is better if it has at least half of the glyphs that are unknown to this one.
        let other = self.second.page(self.file, number);
        Some(match other {
            Some(mut other)
                if other.text.chars().count()
                    >= known + page.summary.unknown_glyphs as usize / 2
                    && !is_garbled(&other.text) =>
            {
                other.rulings = page.rulings;
                other.summary = PageSummary {
                    unknown_glyphs: 0,
                    ..page.summary
                };
                other
            }
            _ => page,
        })
    }

    fn read_repaired(&mut self, index: usize) -> Option<PageBuilder> {
        let repaired = self
            .repaired_file
            .get_or_init(|| repair_fonts(self.file, self.original.pdf))
            .as_ref()?;
        self.repaired
            .get_or_insert_with(|| Source::new(repaired))
            .read(index, &mut self.texts)
    }
}

/// A file, and what was read of it for earlier pages.
struct Source<'pdf> {
    pdf: &'pdf Pdf,
    cache: InterpreterCache<'pdf>,
}

impl<'pdf> Source<'pdf> {
    fn new(pdf: &'pdf Pdf) -> Self {
        Self {
            pdf,
            cache: InterpreterCache::new(),
        }
    }

    fn read(&mut self, index: usize, texts: &mut GlyphTexts) -> Option<PageBuilder> {
        let page = self.pdf.pages().get(index)?;
        let read = catch_unwind(AssertUnwindSafe(|| {
            read_page(page, self.pdf, &self.cache, texts)
        }));
        if read.is_err() {
            self.cache = InterpreterCache::new(); // the panic may have left it inconsistent
        }
        read.ok()?
    }
}

fn read_page<'a>(
    page: &Page<'a>,
    pdf: &'a Pdf,
    cache: &InterpreterCache<'a>,
    texts: &mut GlyphTexts,
) -> Option<PageBuilder> {
    if is_damaged(page) {
        return None;
    }
    let (width, height) = page.render_dimensions();
    let mut device = TextDevice {
        page: PageBuilder::new(width, height),
        fallback: [0; 4],
        texts,
        type3: Type3Sizes::default(),
        boxes: DrawnBoxes::default(),
    };
    let mut context = Context::new(
        Affine::new(page.initial_transform(true).as_coeffs()),
        Rect::new(0.0, 0.0, width.into(), height.into()),
        cache,
        pdf.xref(),
        InterpreterSettings::default(),
    );
    interpret_page(page, &mut context, &mut device);
    add_values(page, &mut device.page);
    device.boxes.write(&mut device.page);
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

/// A device that records text, and where there are lines and images.
struct TextDevice<'pages> {
    page: PageBuilder,
    /// Buffer for one character in UTF-8.
    fallback: [u8; 4],
    texts: &'pages mut GlyphTexts,
    type3: Type3Sizes,
    boxes: DrawnBoxes,
}

impl Device<'_> for TextDevice<'_> {
    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, '_>, props: DrawProps<'_>, _: &DrawMode) {
        let vertical = matches!(run.writing_mode(), WritingMode::Vertical);
        for glyph in run.glyphs() {
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
            let mut em = up_x.hypot(up_y) * UNITS_PER_EM;
            if matches!(&**glyph, FontGlyph::Type3(_)) {
                em = self.type3.em(em, advance_x.hypot(advance_y));
            }
            let unicode = match self.texts.of(glyph) {
                GlyphText::Known(unicode) => unicode,
                GlyphText::Blank => BfString::Char(' '),
                GlyphText::Unknown => {
                    // Marks have no width.
                    self.page.add_unknown(x, y, advance == 0.0);
                    continue;
                }
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
                em,
            });
        }
    }

    fn draw_path(&mut self, path: &BezPath, props: DrawProps<'_>, mode: &DrawMode) {
        self.page.summary.paths = self.page.summary.paths.saturating_add(1);
        rulings::add(path, props.transform, mode, &mut self.page.rulings);
        self.boxes.add(path, props.transform, mode, &props.paint);
    }
    fn draw_rect(&mut self, rect: &Rect, props: DrawProps<'_>, mode: &DrawMode) {
        self.page.summary.paths = self.page.summary.paths.saturating_add(1);
        rulings::add_rectangle(*rect, props.transform, mode, &mut self.page.rulings);
        self.boxes
            .add_rectangle(*rect, props.transform, mode, &props.paint);
    }
    fn draw_image(&mut self, image: Image<'_, '_>, props: ImageDrawProps<'_>) {
        // The image is not decoded.
        let area = props.transform.determinant().abs()
            * f64::from(image.width())
            * f64::from(image.height());
        self.page.add_image(area);
    }
    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_clip_rect(&mut self, _: &Rect) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'_>>, _: BlendMode) {}
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
}
