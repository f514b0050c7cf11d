//! Readers turn the bytes of a file into sheets of glyphs, each glyph with its place. There are two, so that a file that one of
//! them cannot open still has a chance; nothing after them knows which one it was. Where the first finds pages without text, the second
//! found none either in any file of the corpus, and took many times as long: it is not asked.

mod fields;
mod first;
mod second;

use std::sync::Arc;

pub(crate) use first::First;
pub(crate) use second::Second;

use crate::layout::Sheet;
use crate::refusal::Refusal;

/// A library that reads PDF files.
pub(crate) trait Reader {
    /// Goes over all pages, in order. An error of the sink ends the reading and is handed back.
    fn read(&self, file: &Arc<Vec<u8>>, sink: &mut dyn Sink) -> Result<(), Refusal>;
}

/// Takes what a reader finds.
pub(crate) trait Sink {
    /// How many pages there are; comes before the first of them.
    fn pages(&mut self, count: u32) -> Result<(), Refusal>;
    /// The page of this number (from 1), or `None` if it cannot be read.
    fn page(&mut self, number: u32, sheet: Option<Sheet>) -> Result<(), Refusal>;
}

/// Page counts are a count of things in memory: they fit.
fn page_number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use pdf_extract::content::{Content, Operation};
    use pdf_extract::{Document, Object, Stream, dictionary};

    use super::*;
    use crate::layout::LaidOut;

    #[derive(Default)]
    struct Pages(Vec<Option<LaidOut>>);

    impl Sink for Pages {
        fn pages(&mut self, count: u32) -> Result<(), Refusal> {
            assert_eq!(count, 1);
            Ok(())
        }

        fn page(&mut self, number: u32, sheet: Option<Sheet>) -> Result<(), Refusal> {
            assert_eq!(number, 1);
            self.0.push(sheet.map(Sheet::lay_out));
            Ok(())
        }
    }

    /// One page with two lines; its media box does not begin at zero.
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
        let mut pages = Pages::default();
        assert_eq!(reader.read(file, &mut pages), Ok(()));
        let mut words = Vec::new();
        for page in pages.0.iter().flatten() {
            for word in page.lines.iter().flat_map(|line| &line.words) {
                let place = word.place;
                words.push((
                    page.word(word).to_owned(),
                    [place.x, place.y, place.width, place.height],
                ));
            }
        }
        words
    }

    #[test]
    fn both_readers_find_the_same_words_at_the_same_places() {
        for rotate in [0, 90, 180, 270, -90] {
            let file = Arc::new(file(rotate));
            let (first, second) = (words(&First, &file), words(&Second, &file));
            let mut texts: Vec<&str> = first.iter().map(|(text, _)| text.as_str()).collect();
            texts.sort_unstable();
            assert_eq!(
                texts,
                ["one", "readers", "text", "two"],
                "turned by {rotate}"
            );
            assert_eq!(first.len(), second.len(), "turned by {rotate}");
            for ((text, place), (other_text, other)) in first.iter().zip(&second) {
                assert_eq!(text, other_text, "turned by {rotate}");
                let apart = place
                    .iter()
                    .zip(other)
                    .map(|(a, b)| (a - b).abs())
                    .fold(0.0, f32::max);
                assert!(
                    apart < 0.5,
                    "turned by {rotate}, {text}: {place:?} {other:?}"
                );
            }
        }
    }
}
