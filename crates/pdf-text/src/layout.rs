//! From glyphs with places to lines of words in the order in which a person reads them.
//!
//! [`Sheet`] takes a page's glyphs and makes words of those that stand together; `columns` finds the gutters between columns of
//! prose; `lines` puts words on lines and lines in order. All measures are in ems of the text itself, so that they hold for any size.

mod columns;
mod lines;
mod sheet;

pub(crate) use lines::{LaidOut, Line, LineWord};
pub(crate) use sheet::{Glyph, Sheet};
