//! The text of all pages in one, and which page stands where in it.

use std::ops::Range;

use super::Page;

/// Stands between two pages.
pub const PAGE_BREAK: &str = "\n\n";

pub(super) struct Joined<'page> {
    text: String,
    /// The pages that say anything, with their bytes in the text.
    pages: Vec<(Range<usize>, Page<'page>)>,
}

impl<'page> Joined<'page> {
    pub(super) fn new(pages: &[Page<'page>]) -> Self {
        let mut text = String::with_capacity(
            pages
                .iter()
                .map(|page| page.text.len() + PAGE_BREAK.len())
                .sum(),
        );
        let mut placed = Vec::with_capacity(pages.len());
        for page in pages.iter().filter(|page| !page.text.trim().is_empty()) {
            if !text.is_empty() {
                text.push_str(PAGE_BREAK);
            }
            let start = text.len();
            text.push_str(page.text);
            placed.push((start..text.len(), *page));
        }
        Self {
            text,
            pages: placed,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of each page that says anything, in order.
    pub(super) fn pages(&self) -> impl Iterator<Item = Range<usize>> {
        self.pages.iter().map(|(place, _)| place.clone())
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// The pages that a range touches, each with its bytes in the text.
    pub(super) fn pages_of(&self, range: &Range<usize>) -> &[(Range<usize>, Page<'page>)] {
        let first = self.index(range.start);
        let after = self
            .pages
            .partition_point(|(place, _)| place.start < range.end);
        &self.pages[first.min(after)..after]
    }

    /// Where the page of this byte begins.
    pub(super) fn page_start(&self, byte: usize) -> usize {
        self.pages
            .get(self.index(byte))
            .map_or(0, |(place, _)| place.start)
    }

    /// The number of the page of this byte.
    pub(super) fn page_number(&self, byte: usize) -> u32 {
        self.pages
            .get(self.index(byte))
            .map_or(1, |(_, page)| page.number)
    }

    fn index(&self, byte: usize) -> usize {
        self.pages
            .partition_point(|(place, _)| place.start <= byte)
            .saturating_sub(1)
    }
}
