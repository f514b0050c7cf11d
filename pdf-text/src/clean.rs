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
