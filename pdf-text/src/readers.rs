//! Readers turn the bytes of a file into sheets of glyphs, each glyph with its place. There are two, so that a file that one of
//! them cannot open still has a chance; nothing after them knows which one it was. Where the first finds pages without text, the second
//! found none either, in all 238 files of the corpus, and took thirty times as long: it is not asked.

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
