//! Builds lines in reading order from glyphs with positions.
//!
//! The steps, in order: [`PageBuilder`] joins adjacent glyphs to fragments of words; `runs` joins
//! fragments on one baseline; `initials` joins large initials with their words; `grid` finds the rows
//! of ruled tables; `regions` parts the page into bands and columns, in which `beside` joins lines of
//! one row; `tables` finds rows with aligned cells; `line_builder` builds the words of each line, with `bidi` and `double_strike`. All distances
//! are in ems of the text, so that they apply to every font size.

mod beside;
mod bidi;
mod columns;
mod double_strike;
mod fragment;
mod geometry;
mod grid;
mod initials;
mod line_builder;
mod page_builder;
mod page_lines;
mod raised;
mod regions;
mod rows;
mod rulings;
mod runs;
mod tables;

pub(crate) use fragment::Glyph;
pub(crate) use page_builder::{PageBuilder, PageSummary};
pub(crate) use page_lines::{LineWord, PageLines, TextLine, WordGap};
pub(crate) use rulings::Rulings;

use fragment::TextFragment;
use line_builder::LineBuilder;

/// Builds the lines of a page.
pub(crate) fn lay_out(builder: PageBuilder) -> PageLines {
    let PageBuilder {
        width,
        height,
        text,
        words,
        glyph_starts,
        rulings,
        summary,
        label,
        ..
    } = builder;
    let mut page = PageLines {
        width,
        height,
        text,
        summary,
        label,
        ..PageLines::default()
    };
    let reads_right_to_left = bidi::is_right_to_left(&page.text);
    let mut tables = 0;
    for (angle, fragments) in by_direction(words) {
        // Rulings are collected for horizontal text only.
        let rulings = (angle == 0).then_some(&rulings);
        let runs = initials::join(runs::runs(fragments), &page.text);
        let ordered = regions::read(runs, rulings, &page.text);
        let ordered = tables::find(ordered, rulings, &page.text, &mut tables);
        let mut lines = LineBuilder {
            text: &mut page.text,
            glyph_starts: &glyph_starts,
            angle,
            size: (width, height),
            reads_right_to_left,
        };
        for row in ordered {
            page.lines.extend(lines.build(row));
        }
    }
    page
}

/// Groups words by direction. The most frequent direction comes first, the others in the order of
/// the file.
fn by_direction(words: Vec<TextFragment>) -> Vec<(u16, Vec<TextFragment>)> {
    let mut groups: Vec<(u16, Vec<TextFragment>)> = Vec::new();
    for word in words {
        match groups.iter_mut().find(|(angle, _)| *angle == word.angle) {
            Some((_, group)) => group.push(word),
            None => groups.push((word.angle, vec![word])),
        }
    }
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.len()));
    groups
}
