//! The joined text of all pages and the position of each page in it.

use std::ops::Range;

use super::Page;

pub const PAGE_BREAK: &str = "\n\n";

pub(super) struct DocumentText<'page> {
    text: String,
    /// The pages that have text, with their byte ranges.
    pages: Vec<(Range<usize>, Page<'page>)>,
}

impl<'page> DocumentText<'page> {
    pub(super) fn new(pages: &[Page<'page>]) -> Self {
        let mut text = String::with_capacity(
            pages
                .iter()
                .map(|page| page.text.len() + PAGE_BREAK.len())
                .sum(),
        );
        let mut positioned = Vec::with_capacity(pages.len());
        for page in pages.iter().filter(|page| !page.text.trim().is_empty()) {
            if !text.is_empty() {
                text.push_str(PAGE_BREAK);
            }
            let start = text.len();
            text.push_str(page.text);
            positioned.push((start..text.len(), *page));
        }
        Self {
            text,
            pages: positioned,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// Returns the pages that overlap a range, with their byte ranges.
    pub(super) fn pages_of(&self, range: &Range<usize>) -> &[(Range<usize>, Page<'page>)] {
        let first = self.index(range.start);
        let after = self
            .pages
            .partition_point(|(range, _)| range.start < range.end);
        &self.pages[first.min(after)..after]
    }

    fn index(&self, byte: usize) -> usize {
        self.pages
            .partition_point(|(range, _)| range.start <= byte)
            .saturating_sub(1)
    }
}
