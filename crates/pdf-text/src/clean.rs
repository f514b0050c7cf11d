//! Converts lines to clean text: without ligatures, hyphenation and repeated page headers and
//! footers, and with a blank line between paragraphs. Each word keeps its position in the text.

mod assemble;
mod hyphens;
mod line_joins;
mod page_numbers;
mod repeated_lines;

use crate::layout::PageLines;
use crate::page::Page;

/// Cleans the pages of a document, given as `(number, lines)` in order. Repeated headers and the
/// spelling of compounds can only be determined from the whole document.
pub(crate) fn clean(pages: Vec<(u32, PageLines)>) -> Vec<Page> {
    let compounds = hyphens::Compounds::of(pages.iter().map(|(_, page)| page));
    let repeated = repeated_lines::find(&pages);
    let mut pages: Vec<Page> = pages
        .into_iter()
        .zip(repeated)
        .map(|((number, mut page), repeated)| {
            let mut is_repeated = repeated.into_iter();
            page.lines.retain(|_| !is_repeated.next().unwrap_or(false));
            assemble::assemble(number, page, &compounds)
        })
        .collect();
    continue_tables(&mut pages);
    pages
}

/// Gives tables that continue on the next page the header of their first page.
fn continue_tables(pages: &mut [Page]) {
    let cells = |row: &str| row.split('\t').count();
    let mut continued: Option<(u32, String)> = None;
    for page in pages {
        if let (Some((number, header)), Some(table)) = (continued.take(), page.tables.first_mut()) {
            let rows = page.text.get(table.start as usize..table.end as usize);
            let first_row = rows.unwrap_or_default().lines().next().unwrap_or_default();
            let same_columns = header.lines().any(|line| cells(line) == cells(first_row));
            if number + 1 == page.number
                && table.start == 0
                && table.header.is_empty()
                && same_columns
            {
                table.header = header;
            }
        }
        continued = page
            .tables
            .last()
            .filter(|table| table.end as usize == page.text.len() && !table.header.is_empty())
            .map(|table| (page.number, table.header.clone()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::extractor::is_valid_page;
    use crate::layout::{Glyph, PageBuilder, lay_out};

    const SIZE: f32 = 600.0;

    /// Glyphs of several scripts at any position on and around a page, in any direction and size,
    /// including invalid values.
    fn glyph() -> impl Strategy<Value = (String, [f64; 5])> {
        let text = prop_oneof![
            6 => "[a-z]",
            1 => " ",
            1 => "-",
            1 => "[ﬁﬃ²•.\u{300}\u{ad}\u{200b}]",
            1 => "[א-תء-ي漢字か]",
            1 => any::<String>(),
        ];
        let position = prop_oneof![-50.0..650.0, Just(300.0), Just(f64::NAN), Just(1e300)];
        let advance = prop_oneof![4 => Just(5.0), 1 => -20.0..20.0];
        let em = prop_oneof![4 => Just(10.0), 1 => 0.0..60.0];
        (
            text,
            position.clone(),
            position,
            advance.clone(),
            advance,
            em,
        )
            .prop_map(|(text, x, y, across, down, em)| (text, [x, y, across, down, em]))
    }

    fn page(glyphs: &[(String, [f64; 5])]) -> PageLines {
        let mut builder = PageBuilder::new(SIZE, SIZE);
        for (text, [x, y, advance_x, advance_y, em]) in glyphs {
            builder.push(&Glyph {
                text,
                x: *x,
                y: *y,
                advance_x: *advance_x,
                advance_y: *advance_y,
                em: *em,
            });
        }
        lay_out(builder)
    }

    proptest! {
        #[test]
        fn all_words_are_in_the_text_and_on_the_page(
            glyphs in prop::collection::vec(prop::collection::vec(glyph(), 0..60), 1..5),
        ) {
            let pages: Vec<(u32, PageLines)> = (1..).zip(glyphs.iter().map(|glyphs| page(glyphs))).collect();
            for page in clean(pages) {
                prop_assert!(is_valid_page(&page), "{page:?}");
                for word in &page.words {
                    prop_assert!(!page.word_text(word).contains(char::is_whitespace));
                    prop_assert!(word.x + word.width <= SIZE + 0.1 && word.y + word.height <= SIZE + 0.1);
                }
            }
        }
    }
}
