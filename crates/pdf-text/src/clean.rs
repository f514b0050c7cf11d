//! From lines to text that a person would copy out by hand: no ligatures, no hyphens at line ends, no page headers, paragraphs
//! parted by a blank line; and each word knows where in that text it stands.

mod assemble;
mod characters;
mod hyphens;
mod repeated;

pub(crate) use characters::characters;

use crate::layout::LaidOut;
use crate::page::Page;

/// Clean pages out of a whole document: what is repeated on its pages, and how it writes its compounds, only the whole can tell.
/// The pages come as `(number, page)`, in order.
pub(crate) fn clean(pages: Vec<(u32, LaidOut)>) -> Vec<Page> {
    let compounds = hyphens::Compounds::of(pages.iter().map(|(_, page)| page));
    let mut repeated = repeated::repeated(&pages);
    let nothing_left = repeated.iter().flatten().all(|&repeated| repeated);
    if nothing_left && !is_scanned(&pages) {
        // Pages with one line each, much alike: what looks like headers is the text.
        for page in &mut repeated {
            page.fill(false);
        }
    }
    pages
        .into_iter()
        .zip(repeated)
        .map(|((number, mut page), repeated)| {
            let mut repeated = repeated.into_iter();
            page.lines.retain(|_| !repeated.next().unwrap_or(false));
            assemble::assemble(number, page, &compounds)
        })
        .collect()
}

/// Whether at least half of the pages show a picture.
pub(crate) fn is_scanned(pages: &[(u32, LaidOut)]) -> bool {
    pages.iter().filter(|(_, page)| page.has_picture).count() * 2 >= pages.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::extractor::is_sound;
    use crate::layout::{Glyph, Sheet};

    const SIZE: f32 = 600.0;

    /// Glyphs of several scripts anywhere on and around a page, in any direction and size, some of them wild.
    fn glyph() -> impl Strategy<Value = (String, [f64; 5])> {
        let text = prop_oneof![
            6 => "[a-z]",
            1 => " ",
            1 => "-",
            1 => "[ﬁﬃ²•.\u{300}\u{ad}\u{200b}]",
            1 => "[א-תء-ي漢字か]",
            1 => any::<String>(),
        ];
        let place = prop_oneof![-50.0..650.0, Just(300.0), Just(f64::NAN), Just(1e300)];
        let advance = prop_oneof![4 => Just(5.0), 1 => -20.0..20.0];
        let em = prop_oneof![4 => Just(10.0), 1 => 0.0..60.0];
        (text, place.clone(), place, advance.clone(), advance, em)
            .prop_map(|(text, x, y, across, down, em)| (text, [x, y, across, down, em]))
    }

    fn page(glyphs: &[(String, [f64; 5])]) -> LaidOut {
        let mut sheet = Sheet::new(SIZE, SIZE);
        for (text, [x, y, advance_x, advance_y, em]) in glyphs {
            sheet.push(&Glyph {
                text,
                x: *x,
                y: *y,
                advance_x: *advance_x,
                advance_y: *advance_y,
                em: *em,
            });
        }
        sheet.lay_out()
    }

    proptest! {
        #[test]
        fn whatever_is_drawn_words_are_in_the_text_and_on_the_page(
            glyphs in prop::collection::vec(prop::collection::vec(glyph(), 0..60), 1..5),
        ) {
            let pages: Vec<(u32, LaidOut)> = (1..).zip(glyphs.iter().map(|glyphs| page(glyphs))).collect();
            for page in clean(pages) {
                prop_assert!(is_sound(&page), "{page:?}");
                for word in &page.words {
                    prop_assert!(!page.word_text(word).contains(char::is_whitespace));
                    prop_assert!(word.x + word.width <= SIZE + 0.1 && word.y + word.height <= SIZE + 0.1);
                }
            }
        }
    }
}
