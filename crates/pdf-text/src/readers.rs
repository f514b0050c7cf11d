//! Readers convert the bytes of a file to glyphs with positions. There are two implementations, so
//! that a file that one cannot open, or a page whose glyphs are unknown to one, may still be read by
//! the other. Later stages do not depend on the reader. The second reader is not tried for pages
//! that are images: in the corpus it found no text either, and took many times as long.

mod catalog;
mod drawn_boxes;
mod font_program;
mod font_repair;
mod form_fields;
mod glyph_text;
mod hayro;
mod pdf_extract;
mod plain_copy;
mod rulings;
mod type3;

use std::sync::Arc;

pub(crate) use catalog::Container;
pub(crate) use hayro::HayroReader;
pub(crate) use pdf_extract::PdfExtractReader;

use crate::document_error::DocumentError;
use crate::layout::PageBuilder;

pub(crate) trait Reader {
    /// Reads all pages in order. Stops at an error of the sink and returns it.
    fn read(&self, file: &Arc<Vec<u8>>, sink: &mut dyn PageSink) -> Result<(), DocumentError>;
}

/// Receives the pages of a document.
pub(crate) trait PageSink {
    /// Called with the page count before the first page.
    fn pages(&mut self, count: u32) -> Result<(), DocumentError>;
    /// Called before the pages if the reader knows more about the file.
    fn container(&mut self, _: Container) {}
    /// Called in the order of the pages with the number of a page that the file has lost.
    fn missing(&mut self, _: u32) -> Result<(), DocumentError> {
        Ok(())
    }
    /// Called with each page by number, starting at 1, or with `None` if it cannot be read.
    fn page(&mut self, number: u32, page: Option<PageBuilder>) -> Result<(), DocumentError>;
}

/// Converts an index to a page number. The conversion cannot overflow for pages that fit in memory.
fn page_number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use ::pdf_extract::content::{Content, Operation};
    use ::pdf_extract::{Document, Object, Stream, dictionary};

    use super::*;
    use crate::layout::{PageLines, lay_out};

    #[derive(Default)]
    struct CollectedPages(Vec<Option<PageLines>>);

    impl PageSink for CollectedPages {
        fn pages(&mut self, count: u32) -> Result<(), DocumentError> {
            assert_eq!(count, 1);
            Ok(())
        }

        fn page(&mut self, number: u32, page: Option<PageBuilder>) -> Result<(), DocumentError> {
            assert_eq!(number, 1);
            self.0.push(page.map(lay_out));
            Ok(())
        }
    }

    /// A page with two lines whose media box does not start at the origin.
    fn file(rotate: i64) -> Vec<u8> {
        let mut document = Document::with_version("1.5");
        let tree = document.new_object_id();
        let font = document.add_object(dictionary! {
            "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica", "Encoding" => "WinAnsiEncoding",
        });
        let line = |x: i64, y: i64, text: &str| {
            [
                Operation::new("BT", vec![]),
                Operation::new("Tf", vec!["F".into(), 12.into()]),
                Operation::new("Td", vec![x.into(), y.into()]),
                Operation::new("Tj", vec![Object::string_literal(text)]),
                Operation::new("ET", vec![]),
            ]
        };
        let operations = [line(50, 300, "two readers"), line(50, 100, "one text")].concat();
        let content = Content { operations }.encode().unwrap_or_default();
        let content = document.add_object(Stream::new(dictionary! {}, content));
        let page = document.add_object(dictionary! {
            "Type" => "Page", "Parent" => tree, "Contents" => content, "Rotate" => rotate,
            "MediaBox" => vec![10.into(), 20.into(), 310.into(), 420.into()],
            "Resources" => dictionary! { "Font" => dictionary! { "F" => font } },
        });
        document.objects.insert(
            tree,
            Object::Dictionary(dictionary! {
                "Type" => "Pages", "Count" => 1, "Kids" => vec![page.into()],
            }),
        );
        let root = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
        document.trailer.set("Root", root);
        let mut bytes = Vec::new();
        assert!(document.save_to(&mut bytes).is_ok());
        bytes
    }

    fn words(reader: &dyn Reader, file: &Arc<Vec<u8>>) -> Vec<(String, [f32; 4])> {
        let mut pages = CollectedPages::default();
        assert_eq!(reader.read(file, &mut pages), Ok(()));
        let mut words = Vec::new();
        for page in pages.0.iter().flatten() {
            for word in page.lines.iter().flat_map(|line| &line.words) {
                let bounds = word.bounds;
                words.push((
                    page.word(word).to_owned(),
                    [bounds.x, bounds.y, bounds.width, bounds.height],
                ));
            }
        }
        words
    }

    #[test]
    fn both_readers_find_the_same_words_at_the_same_positions() {
        for rotate in [0, 90, 180, 270, -90] {
            let file = Arc::new(file(rotate));
            let (first, second) = (words(&HayroReader, &file), words(&PdfExtractReader, &file));
            let mut texts: Vec<&str> = first.iter().map(|(text, _)| text.as_str()).collect();
            texts.sort_unstable();
            assert_eq!(
                texts,
                ["one", "readers", "text", "two"],
                "rotated by {rotate}"
            );
            assert_eq!(first.len(), second.len(), "rotated by {rotate}");
            for ((text, bounds), (other_text, other)) in first.iter().zip(&second) {
                assert_eq!(text, other_text, "rotated by {rotate}");
                let distance = bounds
                    .iter()
                    .zip(other)
                    .map(|(a, b)| (a - b).abs())
                    .fold(0.0, f32::max);
                assert!(
                    distance < 0.5,
                    "rotated by {rotate}, {text}: {bounds:?} {other:?}"
                );
            }
        }
    }
}
