//! Builds lines in reading order from glyphs with positions.
//!
//! [`PageBuilder`] joins adjacent glyphs to words, `column_gaps` finds the gaps between columns of
//! prose, and [`lay_out`] builds lines and sorts them. All distances are in ems of the text, so
//! that they apply to every font size.

mod column_gaps;
mod lines;
mod page_builder;

pub(crate) use lines::{LineWord, PageLines, TextLine, lay_out};
pub(crate) use page_builder::{Glyph, PageBuilder};
